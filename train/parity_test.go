package train

import (
	"fmt"
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
	q, err := NewQueue(int(m.K), int(m.D), 1, torch.CPU, torch.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Free()
	check := func(at string) {
		t.Helper()
		if d := nntest.Deviation(q.Keys.Float32s(), fix.Float32s("queue."+at)); d != 0 {
			t.Errorf("queue after %s deviates by %g", at, d)
		}
		if got, want := q.State()[1].Tensor.Int64s()[0], fix.Int64s("pointer." + at)[0]; got != want {
			t.Errorf("pointer after %s is %d, want %d", at, got, want)
		}
	}
	nntest.Do(t, func() {
		torch.Copy_(q.Keys, nntest.FormulaTensor("queue", 1, 0, m.K, m.D), false)
		for step := range 6 {
			q.Enqueue(nntest.FormulaTensor(fmt.Sprintf("keys %d", step), 1, 0, m.B, m.D))
			check(fmt.Sprint(step))
		}
		q.Enqueue(nntest.FormulaTensor("flood", 1, 0, 2*m.K+3, m.D))
		check("flood")
	})
}

func TestQueueStartsAsFixture(t *testing.T) {
	nntest.Torch(t)
	q, err := NewQueue(6, 5, 3, torch.CPU, torch.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Free()
	nntest.Do(t, func() {
		nntest.Close(t, "queue", q.Keys.Float32s(), nntest.Load(t, "initial").Float32s("queue"), 1e-7)
	})
}

func TestMomentumUpdateParity(t *testing.T) {
	nntest.Torch(t)
	fix := nntest.Load(t, "ema")
	for prefix, m := range map[string]optim.Schedule{"": optim.Constant(0.9), "cosine.": optim.Cosine(0.9, 1, 5)} {
		nntest.Do(t, func() {
			teacher := []*torch.Tensor{nntest.FormulaTensor("ema teacher 0", 1, 0, 7, 3), nntest.FormulaTensor("ema teacher 1", 1, 0, 5)}
			for step := range 5 {
				MomentumUpdate(teacher, []*torch.Tensor{
					nntest.FormulaTensor(fmt.Sprintf("ema student 0 %d", step), 1, 0, 7, 3),
					nntest.FormulaTensor(fmt.Sprintf("ema student 1 %d", step), 1, 0, 5),
				}, m(int64(step)))
			}
			for i, p := range teacher {
				nntest.Close(t, fmt.Sprint("teacher ", prefix, i), p.Float32s(), fix.Float32s(prefix+fmt.Sprint(i)), nntest.Tolerance)
			}
		})
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
}

// start builds the learner at the fixture's first step.
func (c learnerCase) start(t testing.TB) *Learner {
	t.Helper()
	l, err := NewLearner(Config{
		Width: c.Width, SmallStem: true, ProjHidden: c.Hidden, PredHidden: c.Hidden, EmbedDim: c.D,
		NoPredictor: !c.Predictor, QueueSize: c.K, TauS: c.TauS, TauT: c.TauT, TauNCE: c.Tau,
		Mean: c.Mean, Std: c.Std, Optimizer: c.optimizer, Device: c.device, Double: c.double, BF16: c.bf16,
	})
	if err != nil {
		t.Fatal(err)
	}
	nntest.Do(t, func() {
		nntest.Fill(l.student, "")
		nntest.Fill(l.teacher, "")
		keys := nntest.FormulaTensor("learner queue", 1, 0, int64(c.K), int64(c.D)).To(torch.CPU, torch.Float64, false)
		torch.Copy_(l.queue.Keys, objective.Normalize(keys), false)
	})
	return l
}

// step is the fixture's step i.
func (c learnerCase) step(t testing.TB, l *Learner, i int) Stats {
	t.Helper()
	var s Stats
	h := Hyper{LR: c.Rate * (1 - float64(i)/20), Momentum: 0.9 + 0.01*float64(i), Alpha: min(1, float64(i)/6), Stats: true}
	err := torch.Do(func() error {
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

// TestStepParity runs ten whole steps: losses, both networks, queue.
func TestStepParity(t *testing.T) {
	nntest.Torch(t)
	sgd := optim.Options{Momentum: 0.9, WeightDecay: 5e-4}
	run := func(t *testing.T, name string, o optim.Options, double bool, tolerance, weightTolerance float64) {
		t.Run(fmt.Sprintf("%s double=%v", name, double), func(t *testing.T) {
			fix := nntest.Load(t, name)
			c := learnerCase{optimizer: o, double: double}
			fix.Meta(&c)
			l := c.start(t)
			defer l.Free()
			var losses, parts []float32
			for i := range 10 {
				s := c.step(t, l, i)
				losses = append(losses, float32(s.Loss))
				parts = append(parts, float32(s.Relation), float32(s.InfoNCE))
			}
			for i, want := range fix.Float32s("losses") {
				nntest.Close(t, fmt.Sprintf("loss of step %d", i), losses[i:i+1], []float32{want}, tolerance)
			}
			nntest.Close(t, "both terms", parts, fix.Float32s("parts"), tolerance)
			nntest.Do(t, func() {
				t.Logf("losses deviate by %.2g", nntest.Deviation(losses, fix.Float32s("losses")))
				var worst float64
				compare := func(prefix string, m nn.Module) {
					for _, n := range nn.StateDict(m) {
						if n.Tensor.DType() == torch.Int64 {
							if got, want := n.Tensor.Int64s()[0], fix.Int64s(prefix + n.Name)[0]; got != want {
								t.Errorf("%s is %d, want %d", prefix+n.Name, got, want)
							}
							continue
						}
						got := nntest.Digest(n.Name, n.Tensor.Float32s())
						worst = max(worst, nntest.Close(t, prefix+n.Name, got, fix.Float32s(prefix+n.Name), weightTolerance))
					}
				}
				compare("student.", l.student)
				compare("teacher.", l.teacher)
				t.Logf("weights deviate by %.2g", worst)
				nntest.Close(t, "queue", l.queue.Keys.Float32s(), fix.Float32s("queue"), weightTolerance)
				if got, want := l.queue.at, fix.Int64s("pointer")[0]; got != want {
					t.Errorf("pointer is %d, want %d", got, want)
				}
			})
		})
	}
	// The beginning of a warm-up in fp32; full rates in float64, because rounding
	// grows tenfold a step there whoever computes it.
	run(t, "learner_gentle", sgd, false, nntest.Tolerance, nntest.Tolerance)
	run(t, "learner", sgd, true, 1e-6, nntest.Tolerance)
	run(t, "learner_multi", sgd, true, 1e-6, nntest.Tolerance)
	run(t, "learner_no_predictor", optim.Options{Kind: optim.LARS, Momentum: 0.9, WeightDecay: 1e-6}, true, 1e-6, nntest.Tolerance)
}
