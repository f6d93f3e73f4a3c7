package packing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"math"
	"os"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

const kindsDir = "../../../augment/testdata/kinds/"

func kindFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(kindsDir + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestConvertedNumbers: chosen bands and ranges of every kind of number give the bytes that NumPy
// makes of what tifffile and OpenCV read (testdata/kinds/generate.py).
func TestConvertedNumbers(t *testing.T) {
	var cases []struct {
		File   string
		Bands  []int
		Range  []float64
		SHA256 string
	}
	if err := json.Unmarshal(kindFile(t, "converted.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 300 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		conv := &Convert{Bands: c.Bands, Range: c.Range}
		if err := conv.Validate(); err != nil {
			t.Fatal(err)
		}
		r, err := conv.Recoder(nil)()
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Recode(c.File, kindFile(t, "files/"+c.File))
		if err != nil {
			t.Fatal(err)
		}
		m, err := png.Decode(bytes.NewReader(got.Data))
		if err != nil {
			t.Fatalf("%s: %v (%+v)", c.File, err, conv.Report())
		}
		if sum := sha256.Sum256(pixels(t, m, len(c.Bands))); hex.EncodeToString(sum[:])[:16] != c.SHA256 {
			t.Errorf("%s, bands %v, range %v: other pixels than NumPy's", c.File, c.Bands, c.Range)
		}
		if n := conv.Report(); n.Converted != 1 || n.Kept != 0 || n.Left != 0 {
			t.Errorf("%s: %+v", c.File, n)
		}
	}
}

// pixels are a picture's (h,w,channels) bytes. Colours that are all alike are stored as RGB.
func pixels(t *testing.T, m image.Image, channels int) (out []byte) {
	t.Helper()
	b := m.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			switch m := m.(type) {
			case *image.Gray:
				out = append(out, m.GrayAt(x, y).Y)
			case *image.RGBA:
				p := m.RGBAAt(x, y)
				out = append(out, p.R, p.G, p.B)
			default:
				t.Fatalf("it is stored as %T", m)
			}
		}
	}
	if len(out) != channels*b.Dx()*b.Dy() {
		t.Fatalf("%d bytes of %d channels", len(out), channels)
	}
	return out
}

// TestConvertLeaves: what is not to be converted stays byte for byte, and what cannot be is
// counted, the first with the reason.
func TestConvertLeaves(t *testing.T) {
	for _, c := range []struct {
		file  string
		bands []int
		span  []float64
		kept  bool
		says  string
	}{
		{"pillow-grey.jpg", nil, []float64{0, 100}, true, ""},
		{"pillow-rgb.png", []int{1}, nil, true, ""},
		{"tifffile-5bands16.tif", nil, nil, false, "5 bands, and none is said to be a colour"},
		{"tifffile-5bands16.tif", []int{6}, nil, false, "5 bands, and --bands names number 6"},
		{"tifffile-float.tif", nil, nil, false, "give --range"},
		{"tifffile-uint32.tif", nil, nil, false, "give --range"},
		{"tifffile-bigtiff.tif", nil, nil, false, "BigTIFF"},
		{"pillow-cmyk.tif", []int{1, 2, 3}, nil, false, "photometric interpretation 5"},
		{"pillow-palette.tif", []int{1}, nil, false, "photometric interpretation 3"},
	} {
		conv := &Convert{Bands: c.bands, Range: c.span}
		r, err := conv.Recoder(nil)()
		if err != nil {
			t.Fatal(err)
		}
		file := kindFile(t, "files/"+c.file)
		got, err := r.Recode(c.file, file)
		if err != nil || !bytes.Equal(got.Data, file) {
			t.Errorf("%s: %v, or other bytes", c.file, err)
		}
		n := conv.Report()
		if (n.Kept == 1) != c.kept || (n.Left == 1) == c.kept || !strings.Contains(n.First, c.says) || !c.kept && !strings.HasPrefix(n.First, c.file+": ") {
			t.Errorf("%s: %+v, want %q", c.file, n, c.says)
		}
	}
	for _, bad := range []*Convert{{Bands: []int{1, 2}}, {Bands: []int{0}}, {Range: []float64{1}}, {Range: []float64{2, 2}}, {Range: []float64{3, 2}}, {Range: []float64{0, math.Inf(1)}}, {Range: []float64{math.NaN(), 2}}} {
		if err := bad.Validate(); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%v, %v: %v", bad.Bands, bad.Range, err)
		}
	}
}

// TestConvertDamaged cuts files and flips their bits: a picture, or the file as it was.
func TestConvertDamaged(t *testing.T) {
	for _, name := range []string{"tifffile-13bands-planar.tif", "tifffile-deflate16.tif", "tifffile-tiles16.tif", "opencv-rgba16.png"} {
		conv := &Convert{Bands: []int{1}, Range: []float64{0, 1}}
		r, err := conv.Recoder(nil)()
		if err != nil {
			t.Fatal(err)
		}
		file := kindFile(t, "files/"+name)
		tries := int64(0)
		try := func(b []byte) {
			tries++
			if _, err := r.Recode(name, b); err != nil {
				t.Fatal(err)
			}
		}
		for n := 0; n < len(file); n += 7 {
			try(file[:n])
			b := bytes.Clone(file)
			b[n] ^= 1 << (n % 8)
			try(b)
		}
		if n := conv.Report(); n.Converted+n.Kept+n.Left != tries || n.Left == 0 {
			t.Errorf("%s: %+v of %d", name, n, tries)
		}
	}
}
