//go:build cgo

package turbo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"resslt/augment"
	"resslt/augment/augmenttest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
)

// rig is a renderer with buffers.
type rig struct {
	*augmenttest.Rig
	r *augment.Renderer
}

func newRig(tb testing.TB, e augment.Engine, preset string) *rig {
	tb.Helper()
	p, err := augment.Preset(preset)
	if err != nil {
		tb.Fatal(err)
	}
	return newPolicyRig(tb, e, p)
}

func newPolicyRig(tb testing.TB, e augment.Engine, p *augment.Policy) *rig {
	tb.Helper()
	r, err := augment.NewRenderer(e, p)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return &rig{r: r, Rig: augmenttest.NewRig(tb, p.ViewSpecs(), func(s *schemas.Sample, epoch int64, pixels, plans [][]byte) ([][]byte, error) {
		return r.Render(s, augment.Key{Seed: 1, Epoch: epoch, Sample: s.ID}, pixels, plans)
	})}
}

func TestTurboIsTheDefault(t *testing.T) {
	if got := augment.DefaultEngine().Name(); got != "turbo/2" {
		t.Errorf("the default engine is %s", got)
	}
	if _, err := augment.EngineByName("turbo/0"); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("another version: %v, want ErrMismatch", err)
	}
	t.Logf("kernels: %s", chosen.tier)
}

// TestEnginesAgree holds turbo to gift and ref on the same plans: a mean absolute
// difference of at most 1/255. ref and gift decode JPEG in Go, whose IDCT rounds
// otherwise; on PNG turbo and ref are equal.
func TestEnginesAgree(t *testing.T) {
	racetest.SkipNumbers(t)
	jpg := readFile(t, parityFiles+"jpeg420.jpg")
	png := readFile(t, "../testdata/parity/picture.png")
	for _, other := range []string{"ref", "gift"} {
		for _, preset := range []string{"small", "imagenet", "imagenet-strong"} {
			e, err := augment.EngineByFamily(other)
			if err != nil {
				t.Fatal(err)
			}
			got, want := newRig(t, chosen, preset), newRig(t, e, preset)
			total, n := 0.0, 0
			for i := range 40 {
				s := &schemas.Sample{ID: int64(i), Key: "jpeg", Data: jpg}
				if i%2 == 1 {
					s.Data = png
				}
				got.Render(s, 7)
				want.Render(s, 7)
				for v := range got.Pixels {
					if !bytes.Equal(got.Plans[v], want.Plans[v]) {
						t.Fatalf("%s: plans differ", preset)
					}
					if other == "ref" && i%2 == 1 && !bytes.Equal(got.Pixels[v], want.Pixels[v]) {
						t.Errorf("%s: view %d of sample %d differs from ref", preset, v, i)
					}
					total, n = total+meanDifference(got.Pixels[v], want.Pixels[v]), n+1
				}
			}
			t.Logf("%s, %s: mean difference %.3f/255", other, preset, total/float64(n))
			if total/float64(n) > 1 {
				t.Errorf("%s, %s: mean difference %.3f/255, want at most 1", other, preset, total/float64(n))
			}
		}
	}
}

// TestEvaluationParity holds the evaluation transform to torchvision's Resize and
// CenterCrop on PIL pictures, byte for byte, on every tier: JPEG of every kind, PNG and raw
// pictures of odd sizes.
func TestEvaluationParity(t *testing.T) {
	racetest.SkipNumbers(t)
	for _, tier := range tiers() {
		jpegs, others := 0, 0
		for _, c := range augmenttest.EvalCases(t, parityDir) {
			g := newPolicyRig(t, engine{tier: tier}, evalPolicy(t, c.Resize, c.Size, c.Filter))
			g.Render(c.Sample, 0)
			if got := augmenttest.Digest(g.Pixels[0]); got != c.SHA256 {
				t.Errorf("%s: %s resized to %d, %d by %s: pixels %s, torchvision %s", tier, c.Sample.Key, c.Resize, c.Size, c.Filter, got, c.SHA256)
			}
			if strings.HasSuffix(c.Sample.Key, ".jpg") {
				jpegs++
			} else {
				others++
			}
		}
		t.Logf("%s: %d views of JPEG and %d others equal", tier, jpegs, others)
		if jpegs < 40 || others < 60 {
			t.Errorf("only %d and %d cases", jpegs, others)
		}
	}
}

// TestEvaluationParityOfPhotos is the same on the sample of ImageNet: Resize(256) and
// CenterCrop(224), bilinear and bicubic.
func TestEvaluationParityOfPhotos(t *testing.T) {
	racetest.SkipNumbers(t)
	const all = 700
	want := goldenDigests(t, parityDir+"eval_photos.txt", 2)
	samples := photos(t, all)
	if len(samples) != all || len(want) != all {
		t.Fatalf("%d photos, %d lines of digests", len(samples), len(want))
	}
	for i, filter := range []string{"bilinear", "bicubic"} {
		g := newPolicyRig(t, chosen, evalPolicy(t, 256, 224, filter))
		differ := 0
		for _, s := range samples {
			g.Render(s, 0)
			if augmenttest.Digest(g.Pixels[0]) != want[s.Key][i] {
				differ++
				t.Errorf("%s %s: differs from torchvision", s.Key, filter)
			}
		}
		t.Logf("%s: %d of %d photos differ", filter, differ, all)
	}
}

func evalPolicy(t *testing.T, resize, size int, filter string) *augment.Policy {
	t.Helper()
	p, err := augment.ParsePolicy("case.yaml", fmt.Appendf(nil,
		"{name: case, views: [{name: image, role: student, size: %d, ops: [resize_center_crop: {resize: %d, filter: %s}]}]}", size, resize, filter))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func meanDifference(a, b []byte) float64 {
	sum := 0
	for i := range a {
		d := int(a[i]) - int(b[i])
		sum += max(d, -d)
	}
	return float64(sum) / float64(len(a))
}

// TestRenderDependsOnItsArgumentsAlone: samples in two orders, refused ones in
// between, by painters of different pasts and tiers: equal bytes.
func TestRenderDependsOnItsArgumentsAlone(t *testing.T) {
	files := []string{"jpeg420.jpg", "cmyk.jpg", "lossy.webp", "gray.jpg", "narrow.jpg", "progressive.jpg", "rgb16.png"}
	sums := map[int][]byte{}
	forward := newRig(t, chosen, "imagenet-strong")
	visit := func(g *rig, i int) []byte {
		g.Render(&schemas.Sample{ID: int64(i), Key: files[i], Data: readFile(t, parityFiles+files[i])}, 1)
		return bytes.Join(g.Pixels, nil)
	}
	for i := range files {
		sums[i] = visit(forward, i)
	}
	for _, tier := range tiers() {
		backward := newRig(t, engine{tier: tier}, "imagenet-strong")
		for i := len(files) - 1; i >= 0; i-- {
			if _, err := backward.r.Render(&schemas.Sample{Key: "bad", Data: []byte("\xff\xd8\xffnot a JPEG")}, augment.Key{}, backward.Pixels, nil); err == nil {
				t.Fatal("a file that is no JPEG was rendered")
			}
			if !bytes.Equal(visit(backward, i), sums[i]) {
				t.Errorf("%s: %s renders otherwise", tier, files[i])
			}
		}
	}
}

// TestPainterRefusesMisuse: boxes outside of what was decoded, and a painter
// after Close.
func TestPainterRefusesMisuse(t *testing.T) {
	p := chosen.NewPainter(augment.DefaultLimits)
	s := &schemas.Sample{Key: "jpeg", Data: readFile(t, parityFiles+"jpeg420.jpg")}
	w, h := open(t, p, s, augment.Box{X: 10, Y: 10, W: 20, H: 15})
	px := make([]byte, 3*8*8)
	for _, box := range []augment.Box{{X: 9, Y: 10, W: 5, H: 5}, {X: 10, Y: 10, W: 21, H: 5}, {X: 10, Y: 11, W: 5, H: 15}, {}} {
		plan := augment.Plan{Size: 8, SrcW: w, SrcH: h, Box: box, Filter: augment.Bilinear}
		if err := p.Paint(&plan, px); !errors.Is(err, errs.ErrMismatch) {
			t.Errorf("box %+v: %v, want ErrMismatch", box, err)
		}
	}
	if err := p.Decode(augment.Box{X: 0, Y: 0, W: w + 1, H: h}); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("too wide a box: %v", err)
	}
	// The header is read again: a second Decode without Open has nothing to read.
	if err := p.Decode(augment.Box{W: w, H: h}); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("decoded twice: %v", err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := p.Open(s); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("open after close: %v", err)
	}
}

// TestRenderAllocatesNothing: in the steady state neither Go nor, as
// TestDamagedBits shows, C asks for memory that stays.
func TestRenderAllocatesNothing(t *testing.T) {
	g := newRig(t, chosen, "imagenet-multi")
	s := &schemas.Sample{ID: 3, Key: "jpeg", Data: readFile(t, parityFiles+"jpeg420.jpg")}
	g.Render(s, 0)
	epoch := int64(0)
	if n := testing.AllocsPerRun(200, func() { epoch++; g.Render(s, epoch) }); n > 0.5 {
		t.Errorf("%.2f allocations a sample", n)
	}
}

func benchmarkRender(b *testing.B, preset string, samples []*schemas.Sample) {
	for _, tier := range tiers() {
		b.Run(tier.String(), func(b *testing.B) {
			g := newRig(b, engine{tier: tier}, preset)
			g.Render(samples[0], 0)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				g.Render(samples[i%len(samples)], int64(i))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

// BenchmarkCIFAR is weak + strong 32×32 of a raw 32×32 sample.
func BenchmarkCIFAR(b *testing.B) {
	s := &schemas.Sample{Key: "raw", Encoding: schemas.RawRGB, Width: 32, Height: 32, Data: make([]byte, 3*32*32)}
	for i := range s.Data {
		s.Data[i] = byte(i * i)
	}
	benchmarkRender(b, "small", []*schemas.Sample{s})
}

// BenchmarkImageNet is weak + strong 224 of real JPEGs.
func BenchmarkImageNet(b *testing.B) { benchmarkRender(b, "imagenet", photos(b, 64)) }

// BenchmarkImageNetMulti is weak 224 and five crops of real JPEGs.
func BenchmarkImageNetMulti(b *testing.B) { benchmarkRender(b, "imagenet-multi", photos(b, 64)) }

// TestRasterFormats: what is no JPEG is decoded in Go, by every engine alike.
func TestRasterFormats(t *testing.T) {
	ref, err := augment.EngineByFamily("ref")
	if err != nil {
		t.Fatal(err)
	}
	got, want := newRig(t, chosen, "small"), newRig(t, ref, "small")
	for _, name := range []string{"pil.gif", "pil-alpha.bmp", "rle8.bmp", "pil.ppm", "rgb-planar.tif", "pil-orientation6.tif", "frame-beyond.gif"} {
		s := &schemas.Sample{Key: name, Data: readFile(t, "../raster/testdata/files/"+name)}
		got.Render(s, 1)
		want.Render(s, 1)
		for v := range got.Pixels {
			if !bytes.Equal(got.Pixels[v], want.Pixels[v]) {
				t.Errorf("%s: view %d differs from ref", name, v)
			}
		}
	}
}
