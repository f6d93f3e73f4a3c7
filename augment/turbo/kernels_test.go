//go:build cgo

package turbo

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"resslt/augment"
	"resslt/schemas"
	"resslt/schemas/racetest"
)

// randomStep draws any step with any arguments that a plan may have.
func randomStep(rng *rand.Rand) augment.Step {
	kind := augment.StepKind(1 + rng.IntN(int(augment.StepSolarizeAdd)))
	s := augment.Step{Kind: kind}
	switch kind {
	case augment.StepBrightness, augment.StepContrast, augment.StepSaturation, augment.StepSharpness:
		s.Arg[0] = rng.Int32N(2 << 14)
		if rng.IntN(4) == 0 {
			s.Arg[0] = rng.Int32N(4<<14 + 1)
		}
	case augment.StepHue:
		s.Arg[0] = rng.Int32N(256)
	case augment.StepBlur:
		s.Arg[0] = 1 + rng.Int32N(2<<16)
		if rng.IntN(8) == 0 {
			s.Arg[0] = 1 + rng.Int32N(16<<16)
		}
	case augment.StepSolarize:
		s.Arg[0] = rng.Int32N(257)
	case augment.StepAffine, augment.StepAffineBilinear, augment.StepAffineBicubic:
		s.Arg = [7]int32{
			1<<16 + rng.Int32N(1<<14), rng.Int32N(1 << 15), rng.Int32N(1<<20) - 1<<19,
			-rng.Int32N(1 << 15), 1<<16 - rng.Int32N(1<<14), rng.Int32N(1<<20) - 1<<19,
		}
		if kind != augment.StepAffine {
			s.Arg[6] = rng.Int32N(1 << 24)
		}
	case augment.StepPosterize:
		s.Arg[0] = rng.Int32N(9)
	case augment.StepSolarizeAdd:
		s.Arg[0] = rng.Int32N(129)
	}
	return s
}

// randomPlan draws a plan of a w×h picture: any box, small and large views, now
// and then an axis that keeps its length.
func randomPlan(rng *rand.Rand, w, h int) augment.Plan {
	side := func(n int) (at, length int) {
		length = 1 + rng.IntN(n)
		return rng.IntN(n - length + 1), length
	}
	p := augment.Plan{SrcW: w, SrcH: h, Size: 1 + rng.IntN(96), Filter: augment.Bilinear}
	if rng.IntN(2) == 0 {
		p.Filter = augment.Bicubic
	}
	p.Box.X, p.Box.W = side(w)
	p.Box.Y, p.Box.H = side(h)
	switch rng.IntN(8) {
	case 0:
		p.Size = p.Box.W
	case 1:
		p.Size = p.Box.H
	case 2:
		p.Size = 224
	}
	p.Size = min(p.Size, 256)
	if rng.IntN(4) == 0 {
		p.Window = randomWindow(rng, &p)
	}
	for range rng.IntN(5) {
		p.Steps = append(p.Steps, randomStep(rng))
	}
	return p
}

// randomWindow keeps some of a larger resized box, whose axes now and then keep their
// length.
func randomWindow(rng *rand.Rand, p *augment.Plan) augment.Window {
	side := func(n int) (length, at int) {
		length = p.Size + rng.IntN(200)
		if rng.IntN(4) == 0 && n >= p.Size {
			length = n
		}
		return length, rng.IntN(length - p.Size + 1)
	}
	var w augment.Window
	w.W, w.X = side(p.Box.W)
	w.H, w.Y = side(p.Box.H)
	return w
}

// TestKernelsAgreeWithReference paints thousands of random plans, with every
// step there is, by every tier of kernels, and asks for augment.Execute's bytes.
func TestKernelsAgreeWithReference(t *testing.T) {
	racetest.SkipNumbers(t)
	for _, tier := range tiers() {
		t.Run(tier.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, uint64(tier)))
			p := newPainter(t, tier)
			seen, windows := map[augment.StepKind]int{}, 0
			pictures := 60
			if testing.Short() {
				pictures = 20
			}
			for range pictures {
				// Now and then a long side, so that scales reach 20 and more.
				w, h := 1+rng.IntN(300), 1+rng.IntN(300)
				if rng.IntN(6) == 0 {
					w, h = 1+rng.IntN(3000), 1+rng.IntN(40)
				}
				s := noise(rng, w, h)
				src := &augment.Image{W: w, H: h, Pix: s.Data}
				for range 40 {
					plan := randomPlan(rng, w, h)
					// A window reads what Source says and no more.
					open(t, p, s, plan.Source())
					want := make([]byte, 3*plan.Size*plan.Size)
					if err := augment.Execute(&plan, src, want); err != nil {
						t.Fatal(err)
					}
					// Guard bytes on both sides: kernels write whole vectors.
					const guard = 64
					room := bytes.Repeat([]byte{0xa5}, len(want)+2*guard)
					got := room[guard : guard+len(want)]
					if err := p.Paint(&plan, got); err != nil {
						t.Fatal(err)
					}
					if at := firstDifference(got, want); at >= 0 {
						t.Fatalf("%s: byte %d (row %d, column %d) is %d, want %d", plan.String(), at, at/(3*plan.Size), at/3%plan.Size, got[at], want[at])
					}
					for _, edge := range [2][]byte{room[:guard], room[guard+len(want):]} {
						if len(bytes.Trim(edge, "\xa5")) != 0 {
							t.Fatalf("%s: wrote outside of the view", plan.String())
						}
					}
					for _, s := range plan.Steps {
						seen[s.Kind]++
					}
					if plan.Window != (augment.Window{}) {
						windows++
					}
				}
			}
			if windows < 5*pictures {
				t.Errorf("%d windows", windows)
			}
			for kind := augment.StepFlip; kind <= augment.StepSolarizeAdd; kind++ {
				if seen[kind] < pictures/3 {
					t.Errorf("step kind %d was drawn %d times", kind, seen[kind])
				}
			}
		})
	}
}

func firstDifference(a, b []byte) int {
	for i := range b {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// TestHueOnEveryColour compares the hue shift on all 2^24 colours.
func TestHueOnEveryColour(t *testing.T) {
	racetest.SkipNumbers(t)
	if testing.Short() {
		t.Skip("16 million colours")
	}
	const side = 256
	s := &schemas.Sample{Key: "colours", Encoding: schemas.RawRGB, Width: side, Height: side, Data: make([]byte, 3*side*side)}
	got, want := make([]byte, len(s.Data)), make([]byte, len(s.Data))
	painters := map[tier]augment.Painter{}
	for _, tier := range tiers() {
		painters[tier] = newPainter(t, tier)
	}
	for r := range 256 {
		for i := range side * side {
			s.Data[3*i], s.Data[3*i+1], s.Data[3*i+2] = byte(r), byte(i>>8), byte(i)
		}
		plan := augment.Plan{
			Size: side, SrcW: side, SrcH: side, Box: augment.Box{W: side, H: side}, Filter: augment.Bilinear,
			Steps: []augment.Step{{Kind: augment.StepHue, Arg: [7]int32{int32(r*37) % 256}}},
		}
		if err := augment.Execute(&plan, &augment.Image{W: side, H: side, Pix: s.Data}, want); err != nil {
			t.Fatal(err)
		}
		for tier, p := range painters {
			open(t, p, s, augment.Box{})
			if err := p.Paint(&plan, got); err != nil {
				t.Fatal(err)
			}
			if at := firstDifference(got, want); at >= 0 {
				c := at / 3
				t.Fatalf("%s: colour %d,%d,%d shifted by %d is %v, want %v", tier, r, c>>8, c&255, plan.Steps[0].Arg[0], got[3*c:3*c+3], want[3*c:3*c+3])
			}
		}
	}
}

// TestPhotosAgreeWithReference draws the plans of every preset for real
// pictures; the reference works on the pixels that turbo decoded.
func TestPhotosAgreeWithReference(t *testing.T) {
	racetest.SkipNumbers(t)
	samples := photos(t, 24)
	for _, tier := range tiers() {
		t.Run(tier.String(), func(t *testing.T) {
			p := newPainter(t, tier)
			n := 0
			for i, s := range samples {
				src := whole(t, p, s)
				preset := augment.Presets()[i%len(augment.Presets())]
				policy, err := augment.Preset(preset)
				if err != nil {
					t.Fatal(err)
				}
				for v := range policy.Views {
					plan := augment.Draw(policy, v, augment.Key{Seed: 3, Sample: s.ID}, src.W, src.H)
					open(t, p, s, plan.Source())
					got, want := make([]byte, 3*plan.Size*plan.Size), make([]byte, 3*plan.Size*plan.Size)
					if err := p.Paint(&plan, got); err != nil {
						t.Fatal(err)
					}
					if err := augment.Execute(&plan, src, want); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("%s, %s: %s differs", s.Key, preset, plan.String())
					}
					n++
				}
			}
			t.Logf("%d views equal", n)
		})
	}
}
