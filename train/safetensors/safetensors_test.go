package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
	"resslt/train/safetensors"
)

func some() []safetensors.Tensor {
	return []safetensors.Tensor{
		{Name: "b.weight", DType: safetensors.F32, Shape: []int64{2, 3}, Data: bytes.Repeat([]byte{1, 2, 3, 4}, 6)},
		{Name: "a \"quoted\" π", DType: safetensors.I64, Shape: []int64{}, Data: []byte{9, 0, 0, 0, 0, 0, 0, 0}},
		{Name: "empty", DType: safetensors.F32, Shape: []int64{0, 7}, Data: []byte{}},
		{Name: "u8", DType: safetensors.U8, Shape: []int64{5}, Data: []byte("hello")},
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	meta := map[string]string{"step": "12", "note": "a <b> & c"}
	if err := safetensors.WriteFile(path, some(), meta); err != nil {
		t.Fatal(err)
	}
	got, gotMeta, err := safetensors.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(meta, gotMeta) {
		t.Errorf("metadata %v, want %v", gotMeta, meta)
	}
	if len(got) != 4 {
		t.Fatalf("%d tensors, want 4", len(got))
	}
	byName := map[string]safetensors.Tensor{}
	for _, g := range got {
		byName[g.Name] = g
	}
	for _, want := range some() {
		g := byName[want.Name]
		if g.DType != want.DType || fmt.Sprint(g.Shape) != fmt.Sprint(want.Shape) || !bytes.Equal(g.Data, want.Data) {
			t.Errorf("%s came back as %s%v %v", want.Name, g.DType, g.Shape, g.Data)
		}
	}
	// Another order of the same tensors is the same file and the same digest.
	rev := some()
	rev[0], rev[3] = rev[3], rev[0]
	var a, b bytes.Buffer
	if err := errors.Join(safetensors.Write(&a, some(), meta), safetensors.Write(&b, rev, meta)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) || safetensors.Digest(some()) != safetensors.Digest(rev) {
		t.Error("the order of the tensors given moves the file or the digest")
	}
	rev[1].Data[0]++
	if safetensors.Digest(some()) == safetensors.Digest(rev) {
		t.Error("a changed byte leaves the digest as it was")
	}
}

func file(header string, data []byte) []byte {
	n := make([]byte, 8)
	binary.LittleEndian.PutUint64(n, uint64(len(header)))
	return append(append(n, header...), data...)
}

func TestHostileFiles(t *testing.T) {
	huge := make([]byte, 8)
	binary.LittleEndian.PutUint64(huge, 1<<62)
	for name, raw := range map[string][]byte{
		"empty":          nil,
		"seven bytes":    []byte("1234567"),
		"huge header":    append(huge, "{}"...),
		"header cut":     file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, nil)[:20],
		"no json":        file(`not json`, nil),
		"data cut":       file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, []byte{1, 2, 3, 4}),
		"data left over": file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, make([]byte, 8)),
		"huge shape":     file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}`, make([]byte, 4)),
		"negative shape": file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, make([]byte, 4)),
		"wrong size":     file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, make([]byte, 4)),
		"overlap":        file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, make([]byte, 6)),
		"gap":            file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, make([]byte, 4)),
		"other dtype":    file(`{"a":{"dtype":"Q3","shape":[4],"data_offsets":[0,4]}}`, make([]byte, 4)),
		"backwards":      file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[4,0]}}`, make([]byte, 4)),
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err := safetensors.ReadFile(path)
		if !errors.Is(err, errs.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want ErrCorrupt that names the file", name, err)
		}
	}
	if _, _, err := safetensors.ReadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("missing file: got %v, want ErrNotFound", err)
	}
}

func TestFailedWriteLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	if err := safetensors.WriteFile(path, some(), nil); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := some()
	bad[3].Data = bad[3].Data[:2]
	if err := safetensors.WriteFile(path, bad, nil); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("short tensor: got %v, want ErrUsage", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Error("the old file is gone or changed after a failed write")
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("a temporary file stayed behind: %v", names)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "none", "x"), some(), nil); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("missing folder: got %v, want ErrUnavailable", err)
	}
}

func FuzzParse(f *testing.F) {
	var ok bytes.Buffer
	if err := safetensors.Write(&ok, some(), map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	f.Add(ok.Bytes())
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, make([]byte, 4)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		boundedtest.Allocates(t, 1<<20, 500, len(raw), func() {
			path := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(path, raw, 0o644); err != nil {
				t.Fatal(err)
			}
			tensors, _, err := safetensors.ReadFile(path)
			if err != nil && !errors.Is(err, errs.ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			total := 0
			for _, x := range tensors {
				total += len(x.Data)
			}
			if total > len(raw) {
				t.Errorf("%d bytes of tensors from a file of %d", total, len(raw))
			}
		})
	})
}
