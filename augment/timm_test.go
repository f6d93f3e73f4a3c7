package augment

import (
	"encoding/json"
	"fmt"
	"testing"

	"resslt/augment/augmenttest"
	"resslt/schemas/racetest"
)

// The fixtures of this file are made by testdata/parity/timm_augment.py with timm and PIL.

// timmNames are timm's names for the operations of timmPool.
var timmNames = [...]string{
	"AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd",
	"Color", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
}

// TestTimmRandAugmentParity holds every operation of timm's RandAugment, of magnitudes from end
// to end, either sign and both interpolations, to the bytes of timm's own functions.
func TestTimmRandAugmentParity(t *testing.T) {
	racetest.SkipNumbers(t)
	var cases []struct {
		Op       string
		Level    float64
		Negative bool
		Filter   Filter
		Fill     Color
		Side     int
		SHA256   string
	}
	if err := json.Unmarshal(readFile(t, parityDir+"timm_augment.json"), &cases); err != nil {
		t.Fatal(err)
	}
	type named struct {
		kind       randKind
		increasing bool
	}
	ops := map[string]named{}
	for i, name := range timmNames {
		ops[name] = named{timmPool[i], false}
		ops[name+"Increasing"] = named{timmPool[i], true}
	}
	view := decodeFile(t, parityDir+"view.png")
	seen := map[string]int{}
	for _, c := range cases {
		o, ok := ops[c.Op]
		if !ok {
			t.Fatalf("timm has %s", c.Op)
		}
		plan := Plan{Size: c.Side, SrcW: view.W, SrcH: view.H, Box: Box{0, 0, view.W, view.H}, Filter: Bilinear}
		op := Op{Increasing: o.increasing, Fill: c.Fill}
		plan.Steps = []Step{timmStep(o.kind, c.Level, c.Negative, c.Filter, &op, c.Side)}
		got := make([]byte, 3*c.Side*c.Side)
		if err := Execute(&plan, view, got); err != nil {
			t.Fatal(err)
		}
		if augmenttest.Digest(got) != c.SHA256 {
			t.Errorf("%s at %g, negative %v, %s, on %d: differs from timm (%s)", c.Op, c.Level, c.Negative, c.Filter, c.Side, plan.String())
		}
		seen[c.Op]++
	}
	// Six operations have another form where increasing.
	if len(seen) != len(timmPool)+6 || len(cases) < 700 {
		t.Errorf("%d cases of %d operations", len(cases), len(seen))
	}
}

// TestTimmRandAugmentLaw counts what is drawn: each operation equally often and with
// probability p, within 5 standard deviations, and its levels as timm draws them.
func TestTimmRandAugmentLaw(t *testing.T) {
	var want []struct {
		M     int
		MStd  float64
		Drawn []int
	}
	if err := json.Unmarshal(readFile(t, parityDir+"timm_levels.json"), &want); err != nil {
		t.Fatal(err)
	}
	// Enough for 10,000 of one operation's levels, as many as timm's.
	const n, levels = 320_000, 10_000
	for _, w := range want {
		op := Op{Kind: TimmRandAugment, N: 1, M: w.M, MStd: w.MStd, P: 0.5, Filter: Bilinear}
		counts, drawn, turns := map[StepKind]int{}, make([]int, len(w.Drawn)), 0
		for i := range n {
			d := newDice(Key{Seed: 3, Sample: int64(i)}, 0)
			for _, s := range d.timmRandAugment(nil, &op, 100) {
				counts[s.Kind]++
				// Only a turn's map has the sine and its negative.
				if s.Kind == StepAffineBilinear && s.Arg[1] != 0 && s.Arg[1] == -s.Arg[3] {
					turns++
				}
				if s.Kind != StepBrightness || counts[s.Kind] > levels {
					continue
				}
				switch level := (float64(s.Arg[0])/factorOne - 0.1) / 0.18; s.Arg[0] {
				case fix(0.1, factorOne):
					drawn[0]++
				case fix(1.9, factorOne):
					drawn[len(drawn)-1]++
				default:
					drawn[1+int(4*level)]++
				}
			}
		}
		for kind, share := range map[StepKind]float64{
			StepAutoContrast: 1, StepEqualize: 1, StepPosterize: 1, StepSolarizeAdd: 1, StepSaturation: 1, StepContrast: 1,
			StepBrightness: 1, StepSharpness: 1, StepSolarize: 2, StepAffineBilinear: 5,
		} {
			mean := share * n * op.P / float64(len(timmPool))
			if d := float64(counts[kind]) - mean; d*d > 25*mean {
				t.Errorf("m %d: %s was drawn %d times, expected %.0f", w.M, stepArgs[kind].name, counts[kind], mean)
			}
		}
		if turns < counts[StepAffineBilinear]/8 {
			t.Errorf("m %d: %d turns of %d maps", w.M, turns, counts[StepAffineBilinear])
		}
		agree(t, fmt.Sprintf("levels of m %d, mstd %g", w.M, w.MStd), drawn, w.Drawn)
	}
}
