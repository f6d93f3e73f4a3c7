package augment

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"resslt/augment/augmenttest"
	"resslt/schemas"
	"resslt/schemas/racetest"
)

// The fixtures of this file are made by testdata/parity/supervised.py with torchvision and
// PIL.

// TestEvaluationParity holds the evaluation transform to torchvision's Resize and
// CenterCrop on PIL pictures, byte for byte, by every engine of this package. (turbo's test
// of that name has the JPEGs, which Go's decoder rounds otherwise.)
func TestEvaluationParity(t *testing.T) {
	racetest.SkipNumbers(t)
	n := 0
	for _, c := range augmenttest.EvalCases(t, parityDir) {
		if strings.HasSuffix(c.Sample.Key, ".jpg") {
			continue
		}
		policy := evalPolicy(t, &c)
		for _, name := range EngineNames() {
			e, err := EngineByName(name)
			if err != nil {
				t.Fatal(err)
			}
			g := newRig(t, e, policy)
			g.Render(c.Sample, 0)
			if got := augmenttest.Digest(g.Pixels[0]); got != c.SHA256 {
				plan, _ := ParsePlan(g.Plans[0])
				t.Errorf("%s: %s resized to %d, %d by %s: pixels %s, torchvision %s (%s)", name, c.Sample.Key, c.Resize, c.Size, c.Filter, got, c.SHA256, plan.String())
			}
			n++
		}
	}
	t.Logf("%d views equal", n)
	if least := 800; n < least && !testing.Short() || n < least/4 {
		t.Errorf("only %d cases", n)
	}
}

// evalPolicy is the policy of an evaluation case.
func evalPolicy(t *testing.T, c *augmenttest.EvalCase) *Policy {
	t.Helper()
	p, err := ParsePolicy("case.yaml", fmt.Appendf(nil,
		"{name: case, views: [{name: image, role: student, size: %d, ops: [resize_center_crop: {resize: %d, filter: %s}]}]}", c.Size, c.Resize, c.Filter))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEvaluationIgnoresTheKey: every key has the one plan, torchvision's sizes and offsets, and
// no more of the picture is decoded than the plan needs.
func TestEvaluationIgnoresTheKey(t *testing.T) {
	policy, err := Preset("eval")
	if err != nil {
		t.Fatal(err)
	}
	a, b := Draw(policy, 0, Key{Seed: 1, Epoch: 2, Sample: 3}, 500, 375), Draw(policy, 0, Key{Seed: 9}, 500, 375)
	if a.String() != b.String() {
		t.Errorf("two keys draw %s and %s", a.String(), b.String())
	}
	want := Plan{Size: 224, SrcW: 500, SrcH: 375, Box: Box{0, 0, 500, 375}, Window: Window{W: 341, H: 256, X: 58, Y: 16}, Filter: Bilinear}
	if a.String() != want.String() || a.Window != want.Window {
		t.Errorf("drew %s, want %s", a.String(), want.String())
	}
	if got := a.Source(); got != (Box{84, 23, 330, 329}) {
		t.Errorf("the part of the picture is %+v", got)
	}
}

// TestAutomaticAugmentationParity holds every operation of torchvision's RandAugment and
// TrivialAugmentWide, of every magnitude and sign, to torchvision's pixels.
func TestAutomaticAugmentationParity(t *testing.T) {
	racetest.SkipNumbers(t)
	var cases []struct {
		Law, Op  string
		M        int
		Negative bool
		Side     int
		SHA256   string
	}
	if err := json.Unmarshal(readFile(t, parityDir+"tv_augment.json"), &cases); err != nil {
		t.Fatal(err)
	}
	index := map[string]int{}
	for i, name := range []string{
		"Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color",
		"Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize",
	} {
		index[name] = i
	}
	view := decodeFile(t, parityDir+"view.png")
	seen := map[string]int{}
	for _, c := range cases {
		i, ok := index[c.Op]
		if !ok {
			t.Fatalf("torchvision has %s", c.Op)
		}
		plan := Plan{Size: c.Side, SrcW: view.W, SrcH: view.H, Box: Box{0, 0, view.W, view.H}, Filter: Bilinear}
		plan.Steps = appendTV(nil, i, c.M, c.Law == "wide", c.Negative, c.Side)
		got := make([]byte, 3*c.Side*c.Side)
		if err := Execute(&plan, view, got); err != nil {
			t.Fatal(err)
		}
		if augmenttest.Digest(got) != c.SHA256 {
			t.Errorf("%s %s %d, negative %v, on %d: differs from torchvision (%s)", c.Law, c.Op, c.M, c.Negative, c.Side, plan.String())
		}
		seen[c.Law+c.Op]++
	}
	if len(seen) != 2*len(tvPool) || len(cases) < 2000 {
		t.Errorf("%d cases of %d operations", len(cases), len(seen))
	}
}

// TestAutomaticAugmentationLaw counts what is drawn: each of the 14 operations, each
// magnitude and each sign equally often, within 5 standard deviations.
func TestAutomaticAugmentationLaw(t *testing.T) {
	policy, err := ParsePolicy("law.yaml", []byte(`{name: law, views: [
  {name: rand, role: student, size: 64, ops: [resize, torchvision_rand_augment: {n: 2, m: 30}]},
  {name: wide, role: student, size: 64, ops: [resize, trivial_augment_wide]},
  {name: padded, role: student, size: 64, ops: [resize, padded_crop: {padding: 2}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	const n = 28000
	steps, rotations, moves := [2]map[string]int{{}, {}}, map[string]int{}, map[string]int{}
	for i := range n {
		for v := range 2 {
			plan := Draw(policy, v, Key{Seed: 4, Sample: int64(i)}, 64, 64)
			for _, s := range plan.Steps {
				steps[v][stepArgs[s.Kind].name]++
				if v == 1 && s.Kind == StepAffine && s.Arg[1] == -s.Arg[3] && s.Arg[1] != 0 {
					rotations[s.String()]++
				}
			}
			if v == 0 && len(plan.Steps) > 2 || v == 1 && len(plan.Steps) > 1 {
				t.Fatalf("%d steps", len(plan.Steps))
			}
		}
		plan := Draw(policy, 2, Key{Seed: 4, Sample: int64(i)}, 64, 64)
		moves[plan.String()]++
	}
	within := func(what string, got int, mean float64) {
		t.Helper()
		if d := float64(got) - mean; d*d > 25*mean {
			t.Errorf("%s: %d times, expected %.0f", what, got, mean)
		}
	}
	for v, draws := range []float64{2 * n, n} {
		share := draws / float64(len(tvPool))
		for _, kind := range []StepKind{StepBrightness, StepSaturation, StepContrast, StepSharpness, StepPosterize, StepSolarize, StepAutoContrast, StepEqualize} {
			within(stepArgs[kind].name, steps[v][stepArgs[kind].name], share)
		}
		within("affine", steps[v]["affine"], 5*share)
	}
	// 31 magnitudes and two signs, of which 0 has no second and cannot be told from others.
	if len(rotations) != 60 {
		t.Errorf("%d rotations, want 60", len(rotations))
	}
	for s, got := range rotations {
		within(s, got, n/14.0/62)
	}
	if len(moves) != 25 {
		t.Errorf("%d places of a crop, want 25", len(moves))
	}
	for s, got := range moves {
		within(s, got, n/25.0)
	}
}

// TestPaddedCrop compares with torchvision's RandomCrop by its definition: the view with
// black around it, cut.
func TestPaddedCrop(t *testing.T) {
	const size, padding = 32, 4
	policy, err := Preset("supervised-small")
	if err != nil {
		t.Fatal(err)
	}
	policy = &Policy{Name: "crop", Limits: policy.Limits, Views: []View{{Name: "v", Role: schemas.Student, Size: size, Ops: policy.Views[0].Ops[:2]}}}
	src := &Image{W: size, H: size, Pix: make([]byte, 3*size*size)}
	for i := range src.Pix {
		src.Pix[i] = byte(i*7 + i/96*13 + 1)
	}
	const side = size + 2*padding
	padded := make([]byte, 3*side*side)
	for y := range size {
		copy(padded[3*((y+padding)*side+padding):], src.Pix[3*y*size:3*(y+1)*size])
	}
	crops := map[string]bool{}
	for y := range 2*padding + 1 {
		for x := range 2*padding + 1 {
			var crop []byte
			for r := range size {
				crop = append(crop, padded[3*((y+r)*side+x):][:3*size]...)
			}
			crops[string(crop)] = true
		}
	}
	got := make([]byte, 3*size*size)
	seen := map[string]bool{}
	for i := range 600 {
		plan := Draw(policy, 0, Key{Sample: int64(i)}, size, size)
		if err := Execute(&plan, src, got); err != nil {
			t.Fatal(err)
		}
		if !crops[string(got)] {
			t.Fatalf("%s is no crop of the padded view", plan.String())
		}
		seen[augmenttest.Digest(got)] = true
	}
	if len(crops) != 81 || len(seen) < 75 {
		t.Errorf("%d of %d crops were drawn", len(seen), len(crops))
	}
}
