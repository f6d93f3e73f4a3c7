package augment

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"resslt/schemas/racetest"
)

// agree tests that two histograms of equally many draws are of one law: the
// two-sample chi-square statistic over bins with draws, held to mean + 5 standard
// deviations of its distribution, which a right law fails once in millions.
func agree(t *testing.T, what string, got, want []int) {
	t.Helper()
	chi, bins := 0.0, 0
	for i := range want {
		if n := got[i] + want[i]; n > 0 {
			d := float64(got[i] - want[i])
			chi += d * d / float64(n)
			bins++
		}
	}
	free := float64(max(bins-1, 1))
	t.Logf("%-28s χ² %.1f over %d bins", what, chi, bins)
	if chi > free+5*math.Sqrt(2*free) {
		t.Errorf("%s: χ² %.1f over %d bins; drawn %v, torchvision %v", what, chi, bins, got, want)
	}
}

func histogram(v, lo, hi float64, bins []int) {
	v = min(max(v, lo), hi-1e-9)
	bins[min(int((v-lo)/(hi-lo)*float64(len(bins))), len(bins)-1)]++
}

// TestDrawLaw compares 20,000 draws with as many of torchvision's own
// RandomResizedCrop.get_params and ColorJitter.get_params (generate.py).
func TestDrawLaw(t *testing.T) {
	var want struct {
		N     int
		Crops []struct {
			W, H                  int
			Scale                 Range
			Area, Ratio, X, Y     []int
			Mean_area, Mean_ratio float64
		}
		Jitter struct {
			Orders  map[string]int
			Factors [3][]int
			Hue     map[string]int
		}
	}
	if err := json.Unmarshal(readFile(t, parityDir+"draws.json"), &want); err != nil {
		t.Fatal(err)
	}
	for _, c := range want.Crops {
		p := &Policy{Name: "crop", Limits: DefaultLimits, Views: []View{{
			Name: "v", Role: "student", Size: 224,
			Ops: []Op{{Kind: RandomResizedCrop, Scale: c.Scale, Ratio: Range{3.0 / 4, 4.0 / 3}, Filter: Bilinear}},
		}}}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		bins := [4][]int{make([]int, 20), make([]int, 20), make([]int, 20), make([]int, 20)}
		area, ratio := 0.0, 0.0
		for i := range want.N {
			plan := Draw(p, 0, Key{Seed: 11, Epoch: 3, Sample: int64(i)}, c.W, c.H)
			b := plan.Box
			a, r := float64(b.W*b.H)/float64(c.W*c.H), math.Log(float64(b.W)/float64(b.H))
			area, ratio = area+a, ratio+r
			histogram(a, 0, 1, bins[0])
			histogram(r, -0.3, 0.3, bins[1])
			bins[2][(2*b.X+1)*20/(2*(c.W-b.W+1))]++
			bins[3][(2*b.Y+1)*20/(2*(c.H-b.H+1))]++
		}
		name := fmt.Sprintf("%d×%d from %g", c.W, c.H, c.Scale[0])
		agree(t, name+" area", bins[0], c.Area)
		agree(t, name+" ratio", bins[1], c.Ratio)
		agree(t, name+" x", bins[2], c.X)
		agree(t, name+" y", bins[3], c.Y)
		if n := float64(want.N); math.Abs(area/n-c.Mean_area) > 0.01 || math.Abs(ratio/n-c.Mean_ratio) > 0.01 {
			t.Errorf("%s: mean area %.4f, log ratio %.4f; torchvision %.4f, %.4f", name, area/n, ratio/n, c.Mean_area, c.Mean_ratio)
		}
	}

	p := &Policy{Name: "jitter", Limits: DefaultLimits, Views: []View{{Name: "v", Role: "student", Size: 32, Ops: []Op{
		{Kind: ResizeWhole, Filter: Bilinear},
		{Kind: ColorJitter, P: 1, Brightness: 0.4, Contrast: 0.4, Saturation: 0.4, Hue: 0.1},
	}}}}
	orders := map[string]int{}
	factors := [3][]int{make([]int, 20), make([]int, 20), make([]int, 20)}
	hues, wantHues := make([]int, 53), make([]int, 53)
	for i := range want.N {
		plan := Draw(p, 0, Key{Seed: 12, Sample: int64(i)}, 32, 32)
		order := ""
		for _, s := range plan.Steps {
			k := int(s.Kind - StepBrightness)
			order += fmt.Sprint(k)
			if s.Kind == StepHue {
				hues[26+int(int8(s.Arg[0]))]++
			} else {
				histogram(float64(s.Arg[0])/factorOne, 0.6, 1.4, factors[k])
			}
		}
		orders[order]++
	}
	var got, ref []int
	for _, k := range sortedKeys(want.Jitter.Orders) {
		got, ref = append(got, orders[k]), append(ref, want.Jitter.Orders[k])
	}
	if len(ref) != 24 || len(orders) != 24 {
		t.Fatalf("%d orders, torchvision %d; want all 24", len(orders), len(ref))
	}
	agree(t, "jitter order", got, ref)
	for i, name := range []string{"brightness", "contrast", "saturation"} {
		agree(t, name, factors[i], want.Jitter.Factors[i])
	}
	for k := range wantHues {
		wantHues[k] = want.Jitter.Hue[fmt.Sprint(k-26)]
	}
	agree(t, "hue", hues, wantHues)
}

// TestDrawFrequencies counts how often each operation of the ImageNet strong
// view comes up in 20,000 draws: within 5 standard deviations of its p.
func TestDrawFrequencies(t *testing.T) {
	racetest.SkipNumbers(t)
	p, err := Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	const n = 20000
	count := map[StepKind]int{}
	sigma := make([]int, 19)
	for i := range n {
		plan := Draw(p, 1, Key{Seed: 5, Sample: int64(i)}, 400, 300)
		for _, s := range plan.Steps {
			count[s.Kind]++
			if s.Kind == StepBlur {
				histogram(float64(s.Arg[0])/sigmaOne, 0.1, 2, sigma)
			}
		}
	}
	for kind, want := range map[StepKind]float64{StepFlip: 0.5, StepBrightness: 0.8, StepHue: 0.8, StepGrayscale: 0.2, StepBlur: 0.5, StepSolarize: 0.1} {
		got := float64(count[kind]) / n
		t.Logf("%-12s %.4f, want %.1f", stepArgs[kind].name, got, want)
		if math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/n) {
			t.Errorf("%s comes up in %.4f of the draws, want %.1f", stepArgs[kind].name, got, want)
		}
	}
	for i, k := range sigma {
		if mean := float64(count[StepBlur]) / 19; math.Abs(float64(k)-mean) > 5*math.Sqrt(mean) {
			t.Errorf("blur σ bin %d has %d of %d draws, want about %.0f", i, k, count[StepBlur], mean)
		}
	}
}

// TestDrawIsAFunctionOfItsKey: equal keys equal plans, and every part of the key
// matters.
func TestDrawIsAFunctionOfItsKey(t *testing.T) {
	p, err := Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	key := Key{Seed: 1, Epoch: 2, Sample: 3}
	base := Draw(p, 1, key, 500, 375)
	if again := Draw(p, 1, key, 500, 375); again.String() != base.String() {
		t.Errorf("the same key drew\n%s\n%s", base.String(), again.String())
	}
	for name, other := range map[string]Plan{
		"seed":   Draw(p, 1, Key{Seed: 9, Epoch: 2, Sample: 3}, 500, 375),
		"epoch":  Draw(p, 1, Key{Seed: 1, Epoch: 9, Sample: 3}, 500, 375),
		"sample": Draw(p, 1, Key{Seed: 1, Epoch: 2, Sample: 9}, 500, 375),
		"view":   Draw(p, 0, key, 500, 375),
	} {
		if other.Box == base.Box {
			t.Errorf("another %s drew the same box %+v", name, base.Box)
		}
	}
}

// TestDrawFitsEveryPicture draws for slivers and single pixels.
func TestDrawFitsEveryPicture(t *testing.T) {
	for _, name := range Presets() {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, wh := range [][2]int{{1, 1}, {1, 32767}, {32767, 1}, {2, 3}, {32767, 32767}, {28, 28}} {
			for v := range p.Views {
				for s := range int64(20) {
					plan := Draw(p, v, Key{Sample: s}, wh[0], wh[1])
					if err := plan.Validate(); err != nil {
						t.Fatalf("%s view %d of %v: %v", name, v, wh, err)
					}
				}
			}
		}
	}
}

// TestPortableMath compares with the standard library's functions.
func TestPortableMath(t *testing.T) {
	for x := -20.0; x <= 20; x += 0.00731 {
		if got, want := exponential(x), math.Exp(x); math.Abs(got-want) > 1e-14*want {
			t.Fatalf("exponential(%g) = %g, want %g", x, got, want)
		}
		v := math.Exp(x)
		if got, want := logarithm(v), math.Log(v); math.Abs(got-want) > 1e-14*max(1, math.Abs(want)) {
			t.Fatalf("logarithm(%g) = %g, want %g", v, got, want)
		}
	}
	for x := -math.Pi; x <= math.Pi; x += 0.0137 {
		sin, cos := sinCos(x)
		if math.Abs(sin-math.Sin(x)) > 1e-14 || math.Abs(cos-math.Cos(x)) > 1e-14 {
			t.Fatalf("sinCos(%g) = %g, %g", x, sin, cos)
		}
	}
}
