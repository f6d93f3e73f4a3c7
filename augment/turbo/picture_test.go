//go:build cgo

package turbo

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"resslt/augment"
	"resslt/augment/augmenttest"
	"resslt/schemas"
)

const (
	parityDir   = "../testdata/parity/"
	parityFiles = parityDir + "files/"
)

func newPainter(tb testing.TB, t tier) augment.Painter {
	tb.Helper()
	p := engine{tier: t}.NewPainter(augment.DefaultLimits)
	tb.Cleanup(func() { p.Close() })
	return p
}

// jpegs are the files of the parity fixtures that are JPEG.
func jpegs(tb testing.TB) map[string][]byte {
	tb.Helper()
	names, err := filepath.Glob(parityFiles + "*.jpg")
	if err != nil || len(names) < 8 {
		tb.Fatalf("%d fixtures, %v", len(names), err)
	}
	out := map[string][]byte{}
	for _, n := range names {
		out[filepath.Base(n)] = readFile(tb, n)
	}
	return out
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// photos are the first n pictures of the ImageNet sample, or a skip.
func photos(tb testing.TB, n int) []*schemas.Sample {
	tb.Helper()
	return augmenttest.Photos(tb, "../..", n)
}

// open opens and decodes a box; a zero box is the whole picture.
func open(tb testing.TB, p augment.Painter, s *schemas.Sample, box augment.Box) (w, h int) {
	tb.Helper()
	w, h, err := p.Open(s)
	if err != nil {
		tb.Fatal(err)
	}
	if box.W == 0 {
		box = augment.Box{W: w, H: h}
	}
	if err := p.Decode(box); err != nil {
		tb.Fatal(err)
	}
	return w, h
}

// whole is the decoded picture, put together from tiles: a plan whose box has
// the view's size copies.
func whole(tb testing.TB, p augment.Painter, s *schemas.Sample) *augment.Image {
	tb.Helper()
	w, h := open(tb, p, s, augment.Box{})
	m := &augment.Image{W: w, H: h, Pix: make([]byte, 3*w*h)}
	size := min(w, h, 64)
	tile := make([]byte, 3*size*size)
	for y := 0; y < h; y += size {
		for x := 0; x < w; x += size {
			x0, y0 := min(x, w-size), min(y, h-size)
			plan := augment.Plan{Size: size, SrcW: w, SrcH: h, Box: augment.Box{X: x0, Y: y0, W: size, H: size}, Filter: augment.Bilinear}
			if err := p.Paint(&plan, tile); err != nil {
				tb.Fatal(err)
			}
			for r := range size {
				copy(m.Pix[3*((y0+r)*w+x0):], tile[3*r*size:3*(r+1)*size])
			}
		}
	}
	return m
}

// noise is a picture of random pixels, a raw sample.
func noise(rng *rand.Rand, w, h int) *schemas.Sample {
	s := &schemas.Sample{Key: "noise", Encoding: schemas.RawRGB, Width: w, Height: h, Data: make([]byte, 3*w*h)}
	// Some greys, blacks and whites among them: the corners of the colour space.
	for i := 0; i < len(s.Data); i += 3 {
		v := rng.Uint32()
		switch v >> 29 {
		case 0:
			s.Data[i], s.Data[i+1], s.Data[i+2] = byte(v), byte(v), byte(v)
		case 1:
			s.Data[i], s.Data[i+1], s.Data[i+2] = byte(v&1*255), byte(v>>1&1*255), byte(v>>2&1*255)
		default:
			s.Data[i], s.Data[i+1], s.Data[i+2] = byte(v), byte(v>>8), byte(v>>16)
		}
	}
	return s
}
