package optim_test

import (
	"errors"
	"math"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/optim"
)

func TestMissingGradientIsNamed(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		net := nntest.Head(nn.Builder{}, 2, 3, 2)
		defer nn.Free(net)
		opt, err := optim.New(nn.Parameters(net), optim.Options{Momentum: 0.9})
		if err != nil {
			t.Fatal(err)
		}
		defer opt.Free()
		if err := opt.Step(1); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("a step without gradients gives %v, want a usage error", err)
		}
		if got, want := len(opt.State()), 6; got != want {
			t.Errorf("state has %d tensors, want %d", got, want)
		}
		if got := opt.State()[0].Name; got != "momentum.0.weight" {
			t.Errorf("first buffer is called %q", got)
		}
	})
}

func TestOptionsValidate(t *testing.T) {
	for _, o := range []optim.Options{
		{Kind: "adam"},
		{Kind: optim.AdamW, Beta2: 1},
		{Kind: optim.AdamW, Eps: -1},
		{Kind: optim.AdamW, LayerDecay: 1.1},
		{LayerDecay: 0.9},
		{Clip: -1},
		{Clip: math.Inf(1)},
		{Momentum: 1},
		{Momentum: math.NaN()},
		{WeightDecay: -1},
		{Nesterov: true},
		{Kind: optim.LARS, Momentum: 0.9, Nesterov: true},
		{Eta: -1},
	} {
		if err := o.Validate(); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%+v gives %v, want a usage error", o, err)
		}
	}
	if err := (optim.Options{}).Validate(); err != nil {
		t.Errorf("the zero options give %v", err)
	}
}

func TestSchedules(t *testing.T) {
	cases := []struct {
		name string
		s    optim.Schedule
		want map[int64]float64
	}{
		{"constant", optim.Constant(0.99), map[int64]float64{0: 0.99, 1e9: 0.99}},
		{"cosine to 1", optim.Cosine(0.996, 1, 100), map[int64]float64{0: 0.996, 50: 0.998, 100: 1, 200: 1}},
		{"cosine of no steps", optim.Cosine(3, 4, 0), map[int64]float64{0: 4}},
		{
			"warm-up and cosine", optim.WarmupCosine(0.6, 10, 110),
			map[int64]float64{0: 0.06, 4: 0.3, 9: 0.6, 10: 0.6, 60: 0.3, 110: 0},
		},
		{"no warm-up", optim.WarmupCosine(1, 0, 4), map[int64]float64{0: 1, 1: (1 + math.Sqrt2/2) / 2, 2: 0.5, 4: 0}},
		{"steps", optim.Steps(10, 0.1, 60, 80), map[int64]float64{0: 10, 59: 10, 60: 1, 79: 1, 80: 0.1, 99: 0.1}},
		{"ramp", optim.Ramp(4), map[int64]float64{0: 0, 1: 0.25, 4: 1, 9: 1}},
		{"no ramp", optim.Ramp(0), map[int64]float64{0: 1}},
	}
	for _, c := range cases {
		for step, want := range c.want {
			if got := c.s(step); math.Abs(got-want) > 1e-15*math.Max(1, want) {
				t.Errorf("%s at step %d is %.17g, want %.17g", c.name, step, got, want)
			}
		}
	}
	s := optim.Cosine(1, 0, 1000)
	for step := range int64(1001) {
		want := (1 + math.Cos(math.Pi*float64(step)/1000)) / 2
		if got := s(step); math.Abs(got-want) > 1e-15 {
			t.Errorf("cosine at %d is %.17g, math.Cos gives %.17g", step, got, want)
		}
	}
}
