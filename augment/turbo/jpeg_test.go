//go:build cgo

package turbo

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"resslt/augment"
	"resslt/schemas"
)

// TestJPEGIsWhatPILReads holds decoding to PIL's pixels, byte for byte: grey,
// CMYK, YCCK, progressive, every subsampling, EXIF orientation ignored.
func TestJPEGIsWhatPILReads(t *testing.T) {
	p := newPainter(t, chosen.tier)
	for name, data := range jpegs(t) {
		m := whole(t, p, &schemas.Sample{Key: name, Data: data})
		want := readFile(t, parityFiles+name+".rgb")
		if len(want) != len(m.Pix) {
			t.Errorf("%s: %d bytes, want %d", name, len(m.Pix), len(want))
		} else if at := firstDifference(m.Pix, want); at >= 0 {
			t.Errorf("%s (%d×%d): byte %d (row %d, column %d) is %d, PIL has %d", name, m.W, m.H, at, at/3/m.W, at/3%m.W, m.Pix[at], want[at])
		}
	}
}

// TestPartIsTheWholeCut decodes boxes and compares with the whole picture.
func TestPartIsTheWholeCut(t *testing.T) {
	samples := map[string]*schemas.Sample{}
	for name, data := range jpegs(t) {
		samples[name] = &schemas.Sample{Key: name, Data: data}
	}
	for name, data := range madeJPEGs(t) {
		samples[name] = &schemas.Sample{Key: name, Data: data}
	}
	p, q := newPainter(t, chosen.tier), newPainter(t, chosen.tier)
	rng := rand.New(rand.NewPCG(3, 4))
	boxes := 0
	for name, s := range samples {
		m := whole(t, p, s)
		for range 150 {
			box := randomBox(rng, m)
			open(t, q, s, box)
			checkTiles(t, q, m, box, name)
			boxes++
		}
	}
	t.Logf("%d boxes of %d files", boxes, len(samples))
}

// TestPartsOfPhotos is the same on real pictures with the boxes of real plans.
func TestPartsOfPhotos(t *testing.T) {
	p, q := newPainter(t, chosen.tier), newPainter(t, chosen.tier)
	policy, err := augment.Preset("imagenet-multi")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range photos(t, 60) {
		m := whole(t, p, s)
		for v := range policy.Views {
			box := augment.Draw(policy, v, augment.Key{Seed: 9, Sample: s.ID}, m.W, m.H).Box
			open(t, q, s, box)
			checkTiles(t, q, m, box, s.Key)
		}
	}
}

// checkTiles compares what p decoded of the box with the whole picture.
func checkTiles(t *testing.T, p augment.Painter, m *augment.Image, box augment.Box, name string) {
	t.Helper()
	size := min(box.W, box.H, 64)
	tile := make([]byte, 3*size*size)
	for y := box.Y; y < box.Y+box.H; y += size {
		for x := box.X; x < box.X+box.W; x += size {
			x0, y0 := min(x, box.X+box.W-size), min(y, box.Y+box.H-size)
			plan := augment.Plan{Size: size, SrcW: m.W, SrcH: m.H, Box: augment.Box{X: x0, Y: y0, W: size, H: size}, Filter: augment.Bilinear}
			if err := p.Paint(&plan, tile); err != nil {
				t.Fatal(err)
			}
			for r := range size {
				got, want := tile[3*r*size:3*(r+1)*size], m.Pix[3*((y0+r)*m.W+x0):][:3*size]
				if at := firstDifference(got, want); at >= 0 {
					t.Fatalf("%s, box %+v of %d×%d: pixel (%d, %d) is %d, want %d", name, box, m.W, m.H, x0+at/3, y0+r, got[at], want[at])
				}
			}
		}
	}
}

// TestSamplesOfOtherFormats: everything that is no JPEG is augment's pixels.
func TestSamplesOfOtherFormats(t *testing.T) {
	p := newPainter(t, chosen.tier)
	for _, name := range []string{"rgb.png", "alpha.png", "rgb16.png", "palette.png", "gray.png", "lossless.webp", "lossy.webp"} {
		s := &schemas.Sample{Key: name, Data: readFile(t, parityFiles+name)}
		var want augment.Image
		if err := augment.Decode(s, augment.DefaultLimits, &want); err != nil {
			t.Fatal(err)
		}
		if got := whole(t, p, s); !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%s differs", name)
		}
	}
	grey := &schemas.Sample{Key: "grey", Encoding: schemas.RawGray, Width: 5, Height: 3, Data: []byte(strings.Repeat("\x01\x80\xff", 5))}
	for i, v := range whole(t, p, grey).Pix {
		if v != grey.Data[i/3] {
			t.Fatalf("byte %d of a grey sample is %d", i, v)
		}
	}
}

// madeJPEGs are the files of testdata/jpeg, which generate.py makes.
func madeJPEGs(tb testing.TB) map[string][]byte {
	tb.Helper()
	out := map[string][]byte{}
	for name := range sums(tb) {
		out[name] = readFile(tb, "testdata/jpeg/"+name)
	}
	return out
}

// sums are the SHA-256 of what PIL reads from the files of testdata/jpeg.
func sums(tb testing.TB) map[string]string {
	tb.Helper()
	out := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(readFile(tb, "testdata/jpeg/sums.txt"))), "\n") {
		sum, name, ok := strings.Cut(line, "  ")
		if !ok {
			tb.Fatalf("sums.txt: %q", line)
		}
		out[name] = sum
	}
	return out
}

// TestMadeJPEGsAreWhatPILReads: restart markers, progressive files, 4:1:1, 4:4:0
// and odd sizes, byte for byte.
func TestMadeJPEGsAreWhatPILReads(t *testing.T) {
	p := newPainter(t, chosen.tier)
	want := sums(t)
	for name, data := range madeJPEGs(t) {
		m := whole(t, p, &schemas.Sample{Key: name, Data: data})
		if got := fmt.Sprintf("%x", sha256.Sum256(m.Pix)); got != want[name] {
			t.Errorf("%s (%d×%d): the pixels are not PIL's", name, m.W, m.H)
		}
	}
}

// TestCropsAreWhatPILMakes goes the whole way from JPEG to view, by every tier,
// and asks for PIL's bytes (torchvision's resized_crop): all of them.
func TestCropsAreWhatPILMakes(t *testing.T) {
	for _, tier := range tiers() {
		p := newPainter(t, tier)
		n := 0
		for _, line := range strings.Split(strings.TrimSpace(string(readFile(t, "testdata/jpeg/crops.txt"))), "\n") {
			var name, filter, want string
			var plan augment.Plan
			if _, err := fmt.Sscan(line, &name, &plan.Box.X, &plan.Box.Y, &plan.Box.W, &plan.Box.H, &plan.Size, &filter, &want); err != nil {
				t.Fatalf("crops.txt: %q: %v", line, err)
			}
			plan.Filter = augment.Filter(filter)
			s := &schemas.Sample{Key: name, Data: readFile(t, "testdata/jpeg/"+name)}
			plan.SrcW, plan.SrcH = open(t, p, s, plan.Box)
			got := make([]byte, 3*plan.Size*plan.Size)
			if err := p.Paint(&plan, got); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprintf("%x", sha256.Sum256(got)) != want {
				t.Errorf("%s: %s of %s is not PIL's", tier, plan.String(), name)
			}
			n++
		}
		if n < 70 {
			t.Errorf("%d crops", n)
		}
	}
}

// randomBox is a part of a picture, often a small one.
func randomBox(rng *rand.Rand, m *augment.Image) augment.Box {
	w, h := 1+rng.IntN(m.W), 1+rng.IntN(m.H)
	if rng.IntN(3) == 0 {
		w, h = min(w, 1+rng.IntN(8)), min(h, 1+rng.IntN(8))
	}
	return augment.Box{X: rng.IntN(m.W - w + 1), Y: rng.IntN(m.H - h + 1), W: w, H: h}
}
