package pth

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// files are the checkpoints that testdata/generate.py saved with each PyTorch.
func files(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.pth", "*.ckpt"} {
		found, err := filepath.Glob(filepath.Join("testdata", "torch*", pattern))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	if len(out) != 14 {
		t.Fatalf("%d files of testdata: run generate.py", len(out))
	}
	return out
}

// TestRead: every tensor has the type, sizes and bytes that PyTorch says it has.
func TestRead(t *testing.T) {
	for _, path := range files(t) {
		t.Run(filepath.ToSlash(strings.TrimPrefix(path, "testdata")), func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			var all map[string]map[string][3]any
			if err := json.Unmarshal(raw, &all); err != nil {
				t.Fatal(err)
			}
			want := all[filepath.Base(path)]
			if !Is(path) {
				t.Error("it is not known for PyTorch's")
			}
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := f.Read(nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) || len(want) == 0 {
				t.Errorf("%d tensors, want %d: %q", len(got), len(want), f.Names())
			}
			for _, g := range got {
				sum := sha256.Sum256(g.Data)
				is, _ := json.Marshal([3]any{g.DType, g.Shape, hex.EncodeToString(sum[:])})
				was, _ := json.Marshal(want[g.Name])
				if !bytes.Equal(is, was) {
					t.Errorf("%s is %s, PyTorch's %s", g.Name, is, was)
				}
			}
		})
	}
}

// code is a pickle, written by hand.
type code struct{ bytes.Buffer }

func (c *code) op(parts ...any) *code {
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			c.WriteByte(p)
		case rune:
			c.WriteByte(byte(p))
		case int: // a number
			c.WriteString("\x8a\x08")
			_ = binary.Write(c, binary.LittleEndian, int64(p))
		case string: // a str
			c.WriteByte('X')
			_ = binary.Write(c, binary.LittleEndian, uint32(len(p)))
			c.WriteString(p)
		case global:
			fmt.Fprintf(c, "c%s\n%s\n", p.module, p.name)
		}
	}
	return c
}

// storageOf is a persistent id of numel elements.
func (c *code) storageOf(class string, numel int) *code {
	return c.op('(', "storage", global{"torch", class}, "0", "cpu", numel, 't', 'Q')
}

// tensorOf is a pickle that holds one tensor as {"w": …}.
func tensorOf(class string, numel, offset int, shape, stride []int) []byte {
	c := new(code)
	c.op(byte(0x80), byte(2), '}', "w", global{"torch._utils", "_rebuild_tensor_v2"}, '(').storageOf(class, numel).op(offset)
	for _, numbers := range [][]int{shape, stride} {
		c.op('(')
		for _, n := range numbers {
			c.op(n)
		}
		c.op('t')
	}
	return c.op(byte(0x89), '}', 't', 'R', 's', '.').Bytes()
}

// archive is PyTorch's zip around a pickle, with one storage.
func archive(t testing.TB, program, storage []byte, more map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	put := func(name string, raw []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("archive/data.pkl", program)
	put("archive/data/0", storage)
	for name, text := range more {
		put(name, []byte(text))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(raw []byte) (*File, error) { return parse(bytes.NewReader(raw), int64(len(raw))) }

// TestNothingRuns: a pickle that would delete what it names, were it Python, is read as data.
func TestNothingRuns(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "here")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	program := new(code).op('}', "harm", global{"os", "remove"}, victim, byte(0x85), 'R', 's', '.').Bytes()
	f, err := open(archive(t, program, nil, nil))
	if err != nil || len(f.Names()) != 0 {
		t.Errorf("%v, %v", f, err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}

// doubled is a dictionary of depth levels, each holding the one below twice.
func doubled(depth int) []byte {
	c := new(code).op('}', 'q', byte(0))
	for range depth {
		c.op('}', '(', "a", 'h', byte(0), "b", 'h', byte(0), 'u', 'q', byte(0))
	}
	return c.op('.').Bytes()
}

// recursive is a dictionary that holds itself.
func recursive() []byte {
	return new(code).op('}', 'q', byte(0), "a", 'h', byte(0), 's', '.').Bytes()
}

// TestHostile: what cannot be is refused in one line, before memory is taken for it.
func TestHostile(t *testing.T) {
	eight := make([]byte, 32) // of eight float32
	const big = 1 << 60
	for name, c := range map[string]struct {
		raw  []byte
		kind error
		says string
	}{
		"empty":                     {nil, errs.ErrCorrupt, "0 bytes"},
		"another zip":               {archiveOf(t, "a.txt"), errs.ErrUnsupported, "PyTorch did not save it"},
		"another pickle":            {[]byte("\x80\x04N.                    "), errs.ErrUnsupported, "PyTorch did not save"},
		"TorchScript":               {archive(t, []byte("N."), nil, map[string]string{"archive/constants.pkl": ""}), errs.ErrUnsupported, "TorchScript"},
		"big-endian":                {archive(t, []byte("N."), nil, map[string]string{"archive/byteorder": "big"}), errs.ErrUnsupported, "byte order"},
		"the end's mark is missing": {[]byte("PK\x03\x04" + strings.Repeat("\x00", 60)), errs.ErrCorrupt, "end is missing"},
		"2^62 records":              {records64(1 << 62), errs.ErrTooLarge, "files"},
		"no storage":                {archive(t, tensorOf("FloatStorage", 9, 0, []int{3}, []int{1}), eight, nil), errs.ErrCorrupt, "storage of \"w\" has 32 bytes"},
		"a huge storage":            {archive(t, tensorOf("FloatStorage", big, 0, []int{1 << 58}, []int{1}), eight, nil), errs.ErrCorrupt, "32 bytes"},
		"more than an int64":        {archive(t, tensorOf("FloatStorage", 8, 0, []int{big, big}, []int{1, 1}), eight, nil), errs.ErrCorrupt, "sizes"},
		"more than the storage":     {archive(t, tensorOf("FloatStorage", 8, 0, []int{9}, []int{1}), eight, nil), errs.ErrCorrupt, "storage of 8 elements"},
		"an offset outside":         {archive(t, tensorOf("FloatStorage", 8, 6, []int{3}, []int{1}), eight, nil), errs.ErrCorrupt, "ends outside"},
		"an offset at the end":      {archive(t, tensorOf("FloatStorage", 8, 1<<62, []int{2}, []int{1}), eight, nil), errs.ErrCorrupt, "ends outside"},
		"a stride outside":          {archive(t, tensorOf("FloatStorage", 8, 0, []int{2, 2}, []int{7, 2}), eight, nil), errs.ErrCorrupt, "ends outside"},
		"a stride of 2^60":          {archive(t, tensorOf("FloatStorage", 8, 0, []int{8}, []int{big << 2}), eight, nil), errs.ErrCorrupt, "ends outside"},
		"a negative size":           {archive(t, tensorOf("FloatStorage", 8, 0, []int{-1}, []int{1}), eight, nil), errs.ErrCorrupt, "size or stride of -1"},
		"a negative stride":         {archive(t, tensorOf("FloatStorage", 8, 7, []int{8}, []int{-1}), eight, nil), errs.ErrCorrupt, "size or stride of -1"},
		"sizes and strides":         {archive(t, tensorOf("FloatStorage", 8, 0, []int{8}, nil), eight, nil), errs.ErrCorrupt, "strides []"},
		"an unknown storage":        {archive(t, tensorOf("OddStorage", 8, 0, []int{8}, []int{1}), eight, nil), errs.ErrUnsupported, "torch.OddStorage"},
		"a string of 4 GB":          {archive(t, []byte("X\xff\xff\xff\xff."), nil, nil), errs.ErrCorrupt, "cut off"},
		"bytes of 2^64":             {archive(t, []byte("\x8e\xff\xff\xff\xff\xff\xff\xff\xff."), nil, nil), errs.ErrCorrupt, "cut off"},
		"no end":                    {archive(t, []byte("N"), nil, nil), errs.ErrCorrupt, "cut off"},
		"an opcode of protocol 0":   {archive(t, []byte("I1\n."), nil, nil), errs.ErrUnsupported, "opcode 0x49 at byte 0"},
		"the extension registry":    {archive(t, []byte("\x82\x01."), nil, nil), errs.ErrUnsupported, "opcode 0x82"},
		"an empty stack":            {archive(t, []byte("0."), nil, nil), errs.ErrCorrupt, "where there is none"},
		"no mark":                   {archive(t, []byte("Nt."), nil, nil), errs.ErrCorrupt, "no mark"},
		"a mark for a value":        {archive(t, []byte("(."), nil, nil), errs.ErrCorrupt, "mark for a value"},
		"nothing kept":              {archive(t, []byte("h\x00."), nil, nil), errs.ErrCorrupt, "never kept"},
		"doubled 40 times":          {archive(t, doubled(40), nil, nil), errs.ErrTooLarge, "values"},
		"doubled 24 times":          {archive(t, doubled(24), nil, nil), errs.ErrTooLarge, "values"},
		"holds itself":              {archive(t, recursive(), nil, nil), errs.ErrTooLarge, "deep"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f, err := open(c.raw)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatalf("read: %q", f.Names())
			}
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %v, %q", err, c.kind, c.says)
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > 256<<20 {
				t.Errorf("it took %d MB", made>>20)
			}
		})
	}
}

// archiveOf is a zip with one empty file.
func archiveOf(t testing.TB, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	if _, err := z.Create(name); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// records64 is an end of a zip that claims n files.
func records64(n uint64) []byte {
	out := []byte("PK\x03\x04")
	at := len(out)
	out = append(out, "PK\x06\x06"...)
	out = append(out, make([]byte, 20)...)
	out = binary.LittleEndian.AppendUint64(out, n) // on this disk
	out = binary.LittleEndian.AppendUint64(out, n)
	out = append(out, make([]byte, 16)...)
	out = append(out, "PK\x06\x07\x00\x00\x00\x00"...)
	out = binary.LittleEndian.AppendUint64(out, uint64(at))
	out = append(out, 1, 0, 0, 0)
	return append(out, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
}

// TestUnread: a tensor of a kind that is not read here fails only who wants it, by its name.
func TestUnread(t *testing.T) {
	for says, program := range map[string][]byte{
		"is of type CharStorage":         tensorOf("CharStorage", 8, 0, []int{8}, []int{1}),
		"is of type ComplexFloatStorage": tensorOf("ComplexFloatStorage", 4, 0, []int{4}, []int{1}),
		"repeats a storage of 8":         tensorOf("FloatStorage", 8, 0, []int{4, 8}, []int{0, 1}),
		"torch._utils._rebuild_qtensor":  new(code).op('}', "w", global{"torch._utils", "_rebuild_qtensor"}, ')', 'R', 's', '.').Bytes(),
	} {
		f, err := open(archive(t, program, make([]byte, 32), nil))
		if err != nil || !slices.Equal(f.Names(), []string{"w"}) {
			t.Fatalf("%s: %v", says, err)
		}
		if got, err := f.Read(func(string) bool { return false }); err != nil || len(got) != 0 {
			t.Errorf("%s: %v", says, err)
		}
		_, err = f.Read(nil)
		errstest.Want(t, err, errs.ErrUnsupported, says, `"w"`)
	}
}

// TestSharedStorage: views of one storage are read as often as is sensible, and no oftener.
func TestSharedStorage(t *testing.T) {
	many := func(n int) []byte {
		c := new(code).op('}', '(')
		for i := range n {
			c.op(fmt.Sprint(i), global{"torch._utils", "_rebuild_tensor_v2"}, '(').storageOf("FloatStorage", 1<<16).op(0, '(', 1<<16, 't', '(', 1, 't', byte(0x89), '}', 't', 'R')
		}
		return archive(t, c.op('u', '.').Bytes(), make([]byte, 4<<16), nil)
	}
	for n, kind := range map[int]error{3: nil, 100: errs.ErrTooLarge} {
		f, err := open(many(n))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Read(nil); !errors.Is(err, kind) || kind == nil && len(got) != n {
			t.Errorf("%d views: %v", n, err)
		}
	}
}

// TestChecksum: a flipped bit of a weight is found in the form that has checksums, and a file
// that PyTorch saved without them is read.
func TestChecksum(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "torch2", "types.pth"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range z.File {
		if !strings.HasSuffix(file.Name, "/data/0") {
			continue
		}
		at, err := file.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		hurt := bytes.Clone(raw)
		hurt[at+3] ^= 1
		f, err := open(hurt)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Read(nil)
		errstest.Want(t, err, errs.ErrCorrupt, "checksum")
		sum := binary.LittleEndian.AppendUint32(nil, file.CRC32)
		if n := bytes.Count(raw, sum); n < 1 {
			t.Fatalf("the checksum stands %d times", n)
		}
		f, err = open(bytes.ReplaceAll(hurt, sum, make([]byte, 4)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(nil); err != nil {
			t.Error(err)
		}
		return
	}
	t.Fatal("no storage")
}

// TestAnyByte: a file that is cut off or has a wrong byte is read or refused, and what is read
// is as large as it says.
func TestAnyByte(t *testing.T) {
	for _, path := range files(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := open(raw)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := 0; i < len(raw); i += 7 {
			if _, err := open(raw[:i]); err == nil && i < len(raw)-64 && strings.Contains(path, "legacy") {
				t.Errorf("%s cut at %d of %d is read", path, i, len(raw))
			}
			hurt := bytes.Clone(raw)
			hurt[i] ^= 1 << (i % 8)
			f, err := open(hurt)
			if err != nil {
				refused++
				continue
			}
			readAll(t, f)
		}
		if refused < len(raw)/7/8 {
			t.Errorf("%s: %d of %d flips are noticed", path, refused, len(raw))
		}
		if names := whole.Names(); len(names) == 0 || reflect.DeepEqual(names, []string{""}) {
			t.Errorf("%s has %q", path, names)
		}
	}
}

// readAll reads what is there, and holds sizes against types and shapes.
func readAll(t *testing.T, f *File) {
	t.Helper()
	got, err := f.Read(nil)
	if err != nil {
		return
	}
	for _, g := range got {
		n := g.DType.Size()
		for _, s := range g.Shape {
			n *= s
		}
		if int64(len(g.Data)) != n {
			t.Fatalf("%q is %s%v of %d bytes", g.Name, g.DType, g.Shape, len(g.Data))
		}
	}
}

// FuzzOpen: no bytes crash the reader, or make it take more memory than they are worth.
func FuzzOpen(f *testing.F) {
	for _, path := range files(f) {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := open(raw); err == nil {
			readAll(t, p)
		}
	})
}

// FuzzPickle: the machine alone, which a zip's checksum keeps from the fuzzer.
func FuzzPickle(f *testing.F) {
	for _, raw := range [][]byte{doubled(3), recursive(), tensorOf("FloatStorage", 8, 0, []int{2, 2}, []int{2, 1}), tensorOf("LongStorage", 4, 0, nil, nil)} {
		f.Add(raw)
	}
	for _, path := range files(f) {
		z, err := zip.OpenReader(path)
		if err != nil {
			continue // a legacy one
		}
		for _, file := range z.File {
			if strings.HasSuffix(file.Name, "data.pkl") {
				raw, err := record(file, MaxPickle)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(raw)
			}
		}
		z.Close()
	}
	storage := make([]byte, 4096)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := open(archive(t, raw, storage, nil)); err == nil {
			readAll(t, p)
		}
	})
}
