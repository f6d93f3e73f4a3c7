package packing

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"testing"

	"resslt/schemas/errs"
)

// A shrunk picture is the whole picture, smaller; small and undecodable ones stay as they are.
func TestShrink(t *testing.T) {
	for _, bad := range []*Shrink{{MaxSide: 15, Quality: 90}, {MaxSide: 100}, {MaxSide: 100, Quality: 101}} {
		if err := bad.Validate(); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	// A ramp to the right and downwards: its colours say where a pixel was.
	ramp := image.NewRGBA(image.Rect(0, 0, 1300, 700))
	for y := range 700 {
		for x := range 1300 {
			i := ramp.PixOffset(x, y)
			ramp.Pix[i], ramp.Pix[i+1], ramp.Pix[i+2], ramp.Pix[i+3] = uint8(x*255/1299), uint8(y*255/699), 128, 255
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, ramp); err != nil {
		t.Fatal(err)
	}
	s := &Shrink{MaxSide: 1100, Quality: 95}
	r, err := s.Recoder(nil)()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Recode("ramp", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(got.Data))
	if err != nil {
		t.Fatal(err)
	}
	if m.Bounds() != image.Rect(0, 0, 1100, 592) {
		t.Fatalf("it is %v", m.Bounds())
	}
	for y := 0; y < 592; y += 13 {
		for x := 0; x < 1100; x += 13 {
			red, green, _, _ := m.At(x, y).RGBA()
			// JPEG at quality 95 and chroma of half the size are within a few steps on a ramp.
			if dx, dy := float64(red>>8)-float64(x)*255/1099, float64(green>>8)-float64(y)*255/591; math.Abs(dx) > 6 || math.Abs(dy) > 6 {
				t.Fatalf("(%d, %d) is off by %.1f, %.1f", x, y, dx, dy)
			}
		}
	}
	small, err := os.ReadFile("../../../augment/turbo/testdata/jpeg/odd_33x17.jpg")
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"small": small, "no picture": []byte("\xff\xd8\xff no picture")} {
		if got, err := r.Recode(name, file); err != nil || !bytes.Equal(got.Data, file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.Report(); n.Shrunk != 1 || n.Kept != 1 || n.Undecodable != 1 || n.BytesBefore != int64(b.Len()) {
		t.Errorf("%+v", n)
	}
}
