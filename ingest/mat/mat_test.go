package mat

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"

	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Files that SciPy wrote (testdata/make.py).
func TestReadSciPy(t *testing.T) {
	for _, name := range []string{"plain.mat", "deflated.mat"} {
		v, err := Read(file(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for key, want := range map[string][]float64{"labels": {77, 1, 102}, "weights": {1.5, 3.25, -2, 4}, "big": {1 << 40, -5}, "nothing": {}} {
			if got, err := v.Numbers(key); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s %s is %v, %v; want %v", name, key, got, err, want)
			}
		}
		if a := v["title"]; a.Kind != Text || a.Text != "tulips é" {
			t.Errorf("%s title is %+v", name, a)
		}
		if got, err := v.Strings("names"); err != nil || len(got) != 2 || got[1] != "Acura RL Sedan 2012" {
			t.Errorf("%s names %q, %v", name, got, err)
		}
		a, err := v.Structs("annotations", "fname", "class")
		if err != nil || a.Len() != 2 {
			t.Fatalf("%s annotations: %+v, %v", name, a, err)
		}
		if f, c := a.Field(1, "fname"), a.Field(1, "class"); f.Text != "00002.jpg" || !slices.Equal(c.Numbers, []float64{2}) {
			t.Errorf("%s annotation 2: %+v %+v", name, f, c)
		}
		if a.Field(2, "fname") != nil || a.Field(-1, "fname") != nil || a.Field(0, "none") != nil {
			t.Errorf("%s: fields out of range", name)
		}
	}
}

func TestReadBigEndian(t *testing.T) {
	b := make([]byte, headerBytes, 256)
	copy(b[124:], "\x01\x00MI")
	put := binary.BigEndian.AppendUint32
	var m []byte
	m = put(put(put(put(m, miUint32), 8), 9), 0)                       // flags: class uint8
	m = put(put(put(put(m, miInt32), 8), 1), 3)                        // 1×3
	m = append(put(m, 1<<16|miInt8), 'x', 0, 0, 0)                     // name
	m = append(put(put(m, miUint16), 6), 0, 7, 1, 0, 0xff, 0xff, 0, 0) // values
	b = append(put(put(b, miMatrix), uint32(len(m))), m...)
	v, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Numbers("x"); err != nil || !slices.Equal(got, []float64{7, 256, 65535}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	racetest.SkipNumbers(t)
	plain := file(t, "plain.mat")
	bomb := func() []byte {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		zeros := make([]byte, 1<<20)
		for range maxInflated>>20 + 1 {
			w.Write(zeros)
		}
		w.Close()
		b := bytes.Clone(plain[:headerBytes])
		b = binary.LittleEndian.AppendUint32(b, miCompressed)
		return append(binary.LittleEndian.AppendUint32(b, uint32(z.Len())), z.Bytes()...)
	}
	hdf := make([]byte, 1024)
	copy(hdf[512:], "\x89HDF\r\n\x1a\n")
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"empty": {nil, errs.ErrCorrupt}, "text": {bytes.Repeat([]byte("no mat "), 100), errs.ErrCorrupt},
		"truncated": {plain[:len(plain)-9], errs.ErrCorrupt}, "complex": {file(t, "complex.mat"), errs.ErrUnsupported},
		"level 7.3": {hdf, errs.ErrUnsupported}, "bomb": {bomb(), errs.ErrTooLarge},
	} {
		if v, err := Read(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, v, err, c.want)
		}
	}
	v, err := Read(plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Numbers("absent"); !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("absent: %v", err)
	}
	if _, err := v.Strings("labels"); !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("wrong kind: %v", err)
	}
	if _, err := v.Structs("annotations", "wheels"); !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("no such field: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"plain.mat", "deflated.mat", "complex.mat"} {
		f.Add(file(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedtest.Allocates(t, 8<<20, 2000, len(b), func() {
			v, err := Read(b)
			if err != nil {
				if !errors.Is(err, errs.ErrCorrupt) && !errors.Is(err, errs.ErrUnsupported) && !errors.Is(err, errs.ErrTooLarge) {
					t.Fatalf("an error of no kind: %v", err)
				}
				return
			}
			for _, a := range v {
				if n := a.Len(); a.Kind == Number && n != len(a.Numbers) || a.Kind == Cell && n != len(a.Items) {
					t.Fatalf("%v of %v holds %d, %d", a.Kind, a.Dims, len(a.Numbers), len(a.Items))
				}
			}
		})
	})
}
