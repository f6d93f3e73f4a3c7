package train

import (
	"fmt"
	"math"
	"testing"

	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/torch"
)

// TestQueueWrapParity enqueues batches that do not divide K, then more than K.
func TestQueueWrapParity(t *testing.T) {
	nntest.Torch(t)
	fix := nntest.Load(t, "queue")
	var m struct{ K, D, B int64 }
	fix.Meta(&m)
	q, err := newQueue(int(m.K), int(m.D), 1, torch.CPU, torch.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer q.free()
	check := func(at string) {
		t.Helper()
		if d := nntest.Deviation(q.keys.Float32s(), fix.Float32s("queue."+at)); d != 0 {
			t.Errorf("queue after %s deviates by %g", at, d)
		}
		if got, want := q.state()[1].Tensor.Int64s()[0], fix.Int64s("pointer." + at)[0]; got != want {
			t.Errorf("pointer after %s is %d, want %d", at, got, want)
		}
	}
	nntest.Do(t, func() {
		torch.Copy_(q.keys, nntest.FormulaTensor("queue", 1, 0, m.K, m.D), false)
		for step := range 6 {
			q.enqueue([]*torch.Tensor{nntest.FormulaTensor(fmt.Sprintf("keys %d", step), 1, 0, m.B, m.D)})
			check(fmt.Sprint(step))
		}
		q.enqueue([]*torch.Tensor{nntest.FormulaTensor("flood", 1, 0, 2*m.K+3, m.D)})
		check("flood")
	})
}

func TestQueueStartsAsFixture(t *testing.T) {
	nntest.Torch(t)
	q, err := newQueue(6, 5, 3, torch.CPU, torch.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer q.free()
	nntest.Do(t, func() {
		nntest.Close(t, "queue", q.keys.Float32s(), nntest.Load(t, "initial").Float32s("queue"), 2*nntest.Unit) // both round float64 once
	})
}

// momentumSteps are five of equation 6's, of students that a formula gives.
func momentumSteps(tb testing.TB, double bool, m optim.Schedule) nntest.Values {
	tb.Helper()
	out := nntest.Values{}
	nntest.Do(tb, func() {
		place := func(name string, shape ...int64) *torch.Tensor {
			x := nntest.FormulaTensor(name, 1, 0, shape...)
			if double {
				x = x.To(torch.CPU, torch.Float64, false)
			}
			return x
		}
		teacher := []*torch.Tensor{place("ema teacher 0", 7, 3), place("ema teacher 1", 5)}
		for step := range 5 {
			momentumUpdate(teacher, []*torch.Tensor{
				place(fmt.Sprintf("ema student 0 %d", step), 7, 3),
				place(fmt.Sprintf("ema student 1 %d", step), 5),
			}, m(int64(step)))
		}
		for i, p := range teacher {
			out.Take(fmt.Sprint(i), p)
		}
	})
	return out
}

// momentumParity compares with the fixture: up to its rounding in float64; in fp32 each
// of the five steps adds three roundings (two products, a sum) of numbers up to 1, the
// formula's range.
func momentumParity(tb testing.TB, fix *nntest.Fixture, prefix string, double bool, m optim.Schedule) {
	tb.Helper()
	for name, got := range momentumSteps(tb, double, m) {
		want := fix.Float32s(prefix + name)
		if double {
			nntest.Stored(tb, "teacher "+prefix+name, got, want)
			continue
		}
		for i, w := range want {
			if d := math.Abs(got[i] - float64(w)); !(d <= (5*3+1)*nntest.Unit) {
				tb.Errorf("teacher %s%s: element %d is %g, want %g within 16 roundings", prefix, name, i, got[i], w)
			}
		}
	}
}

var momenta = map[string]optim.Schedule{"": optim.Constant(0.9), "cosine.": optim.Cosine(0.9, 1, 5)}

func TestMomentumUpdateParity(t *testing.T) {
	nntest.Torch(t)
	fix := nntest.Load(t, "ema")
	for prefix, m := range momenta {
		for _, double := range []bool{true, false} {
			momentumParity(t, fix, prefix, double, m)
		}
	}
}

// learnerCase is one fixture of ten whole steps.
type learnerCase struct {
	Width, Hidden, D, K, B, S, Views int
	Predictor                        bool
	TauS                             float64 `json:"tau_s"`
	TauT                             float64 `json:"tau_t"`
	Tau                              float64
	Mean, Std                        [3]float64
	Rate                             float64
	Chosen                           []int // of each step and view: the input that the generator chose

	optimizer    optim.Options
	device       torch.Device
	double, bf16 bool
	native       bool // without oneDNN
	nudged       bool // the student starts an ulp off

	// Faults, for mutations.
	groups    int  // of batch norm
	transpose bool // a convolution of the student
	hyper     func(*Hyper)
}

// start builds the learner at the fixture's first step.
func (c learnerCase) start(t testing.TB) *Learner {
	t.Helper()
	config := fixture(Config{
		Width: c.Width, Options: objective.Options{ProjHidden: c.Hidden, PredHidden: c.Hidden, Dim: c.D, NoPredictor: !c.Predictor},
		QueueSize: c.K, Optimizer: c.optimizer, Device: c.device, Double: c.double, BF16: c.bf16,
	})
	config.Options.TauS, config.Options.TauT, config.Options.Tau = c.TauS, c.TauT, c.Tau
	config.Mean, config.Std = c.Mean, c.Std
	config.Groups, config.Seed = max(1, c.groups), 0
	l, err := NewLearner(config)
	if err != nil {
		t.Fatal(err)
	}
	nntest.Do(t, func() {
		nntest.Fill(l.student, "")
		nntest.Fill(l.teacher, "")
		for _, p := range nn.Parameters(l.student) {
			if c.nudged {
				nntest.Nudge(p.Name, p.Tensor)
			}
			if c.transpose && p.Name == "backbone.layer2.1.conv2.weight" {
				nntest.Transpose(p.Tensor)
			}
		}
		keys := nntest.FormulaTensor("learner queue", 1, 0, int64(c.K), int64(c.D)).To(torch.CPU, torch.Float64, false)
		torch.Copy_(l.queue.keys, objective.Normalize(keys), false)
	})
	return l
}

// step is the fixture's step i.
func (c learnerCase) step(t testing.TB, l *Learner, i int) Stats {
	t.Helper()
	var s Stats
	h := Hyper{LR: c.Rate * (1 - float64(i)/20), Momentum: 0.9 + 0.01*float64(i), Alpha: min(1, float64(i)/6), Stats: true}
	if c.hyper != nil {
		c.hyper(&h)
	}
	err := torch.Do(func() error {
		if c.native {
			defer torch.SetOneDNN(torch.SetOneDNN(false))
		}
		b, size := int64(c.B), int64(c.S)
		view := func(name string) *torch.Tensor {
			return torch.FromUint8(nntest.Pixels(name, c.B, c.S), b, size, size, 3)
		}
		var strong []*torch.Tensor
		for v := range c.Views {
			strong = append(strong, view(fmt.Sprintf("strong %d %d %d", i, v, c.Chosen[i*c.Views+v])))
		}
		var err error
		s, err = l.Step([]*torch.Tensor{view(fmt.Sprintf("weak %d", i))}, strong, h)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
