package train

import (
	"fmt"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/optim"
	"resslt/train/torch"
)

// stepFixture is a fixture of ten whole steps.
type stepFixture struct {
	name string
	o    optim.Options
	// gentle is the rate of a warm-up's beginning. At a full one the first steps of a
	// small batch are chaotic: rounding grows tenfold a step, whoever computes it, and
	// fp32 has nothing left to compare.
	gentle bool
}

var stepFixtures = []stepFixture{
	{"learner_gentle", optim.Options{Momentum: 0.9, WeightDecay: 5e-4}, true},
	{"learner", optim.Options{Momentum: 0.9, WeightDecay: 5e-4}, false},
	{"learner_multi", optim.Options{Momentum: 0.9, WeightDecay: 5e-4}, false},
	{"learner_no_predictor", optim.Options{Kind: optim.LARS, Momentum: 0.9, WeightDecay: 1e-6}, false},
}

// load is the fixture and the case that it is of.
func (f stepFixture) load(tb testing.TB) (fix *nntest.Fixture, c learnerCase) {
	tb.Helper()
	fix = nntest.Load(tb, f.name)
	c.optimizer = f.o
	fix.Meta(&c)
	return fix, c
}

// tenSteps are what ten steps leave: as the fixture holds it, the losses, digests of both
// networks and the queue; and whole, with the optimiser's buffers, which are sums of
// gradients. The weights themselves hardly move at a gentle rate.
func (c learnerCase) tenSteps(tb testing.TB) (end, whole nntest.Values, kinks nntest.Kinks, counts map[string]int64) {
	tb.Helper()
	l := c.start(tb)
	defer l.Free()
	end, whole, counts = nntest.Values{}, nntest.Values{}, map[string]int64{}
	for i := range 10 {
		kinks = append(kinks, nntest.SeeKinks(func() {
			s := c.step(tb, l, i)
			end["losses"] = append(end["losses"], s.Loss)
			end["parts"] = append(end["parts"], s.Relation, s.InfoNCE)
		})...)
	}
	nntest.Do(tb, func() {
		for prefix, m := range map[string]nn.Module{"student.": l.student, "teacher.": l.teacher} {
			for _, n := range nn.StateDict(m) {
				if n.Tensor.DType() == torch.Int64 {
					counts[prefix+n.Name] = n.Tensor.Int64s()[0]
					continue
				}
				whole.Take(prefix+n.Name, n.Tensor)
				end[prefix+n.Name] = nntest.Digest(n.Name, whole[prefix+n.Name])
			}
		}
		for _, n := range l.opt.State() {
			whole.Take(n.Name, n.Tensor)
		}
		end.Take("queue", l.queue.keys)
	})
	for _, name := range []string{"losses", "parts", "queue"} {
		whole[name] = end[name]
	}
	counts["pointer"] = l.queue.at
	return end, whole, kinks, counts
}

// stored are the fixture's tensors.
func stored(fix *nntest.Fixture, like nntest.Values) nntest.Values {
	out := nntest.Values{}
	for name := range like {
		out[name] = widen(fix.Float32s(name))
	}
	return out
}

// doubleReference is how far from the fixture float64 may be: Factor times as far as
// weights that are one unit in the last place off, and its rounding to fp32.
func (c learnerCase) doubleReference(tb testing.TB, fix *nntest.Fixture) *nntest.Reference {
	tb.Helper()
	c.double, c.nudged = true, true
	nudged, _, _, _ := c.tenSteps(tb)
	return nntest.NewReference(tb, stored(fix, nudged), nudged)
}

// checkDouble compares c in float64 with the fixture.
func (c learnerCase) checkDouble(tb testing.TB, ref *nntest.Reference) {
	tb.Helper()
	c.double = true
	end, _, _, _ := c.tenSteps(tb)
	ref.Check(tb, "float64", end)
}

// TestStepParity runs ten whole steps: losses, both networks, queue; in float64 against
// PyTorch's, and in fp32 against float64.
func TestStepParity(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	for _, f := range stepFixtures {
		t.Run(f.name, func(t *testing.T) {
			fix, c := f.load(t)
			c.checkDouble(t, c.doubleReference(t, fix))
			if !f.gentle {
				return
			}
			double, native := c, c
			double.double, native.native = true, true
			end, truth, kinks, counts := double.tenSteps(t)
			if len(end)+len(counts) != fix.Len() {
				t.Errorf("compared %d of the fixture's %d tensors", len(end)+len(counts), fix.Len())
			}
			for name, got := range counts {
				if want := fix.Int64s(name)[0]; got != want {
					t.Errorf("%s is %d, want %d", name, got, want)
				}
			}
			_, reference, seen, _ := native.tenSteps(t)
			_, got, fp32, _ := c.tenSteps(t)
			kinks.Clear(t, "reference", seen)
			kinks.Clear(t, "fp32", fp32)
			nntest.NewReference(t, truth, reference).Check(t, "fp32", got)
		})
	}
}

// stepFaults are what goes wrong in a step.
var stepFaults = map[string]func(*learnerCase){
	"":                             func(*learnerCase) {},
	"τ_s 1 % off":                  func(c *learnerCase) { c.TauS *= 1.01 },
	"τ_t 1 % off":                  func(c *learnerCase) { c.TauT *= 1.01 },
	"InfoNCE's τ 1 % off":          func(c *learnerCase) { c.Tau *= 1.01 },
	"InfoNCE missing":              func(c *learnerCase) { c.hyper = func(h *Hyper) { h.Alpha = 1 } },
	"the relation missing":         func(c *learnerCase) { c.hyper = func(h *Hyper) { h.Alpha = 0 } },
	"learning rate 1 % off":        func(c *learnerCase) { c.hyper = func(h *Hyper) { h.LR *= 1.01 } },
	"teacher's momentum 1 % off":   func(c *learnerCase) { c.hyper = func(h *Hyper) { h.Momentum *= 0.99 } },
	"optimiser's momentum 1 % off": func(c *learnerCase) { c.optimizer.Momentum *= 1.01 },
	"weight decay missing":         func(c *learnerCase) { c.optimizer.WeightDecay = 0 },
	"transposed weight":            func(c *learnerCase) { c.transpose = true },
	"batch norm in two groups":     func(c *learnerCase) { c.groups = 2 },
}

// TestMutations: what the parity tests of this package see.
func TestMutations(t *testing.T) {
	nntest.Torch(t)
	var all []nntest.Mutation
	ema := nntest.Load(t, "ema")
	for prefix, right := range momenta {
		for fault, m := range map[string]optim.Schedule{
			"":                  right,
			"momentum 1 % off":  func(s int64) float64 { return right(s) * 0.99 },
			"one step too late": func(s int64) float64 { return right(max(0, s-1)) },
		} {
			if prefix == "" && fault == "one step too late" {
				continue // constant
			}
			for double, precision := range map[bool]string{true: "float64", false: "fp32"} {
				all = append(all, nntest.Mutation{Parity: fmt.Sprintf("EMA %s, %s", prefix, precision), Fault: fault, Check: func(tb testing.TB) { momentumParity(tb, ema, prefix, double, m) }})
			}
		}
	}
	gentle := stepFixtures[0]
	fix, right := gentle.load(t)
	double, native := right, right
	double.double, native.native = true, true
	_, truth, _, _ := double.tenSteps(t)
	_, reference, _, _ := native.tenSteps(t)
	ref, ref64 := nntest.NewReference(t, truth, reference), right.doubleReference(t, fix)
	for fault, change := range stepFaults {
		c := right
		change(&c)
		all = append(all,
			nntest.Mutation{Parity: gentle.name + ", float64", Fault: fault, Check: func(tb testing.TB) { c.checkDouble(tb, ref64) }},
			nntest.Mutation{Parity: gentle.name + ", fp32", Fault: fault, Check: func(tb testing.TB) {
				_, got, _, _ := c.tenSteps(tb)
				ref.Check(tb, "fp32", got)
			}})
	}
	all = append(all, deviceMutations(t)...)
	nntest.Mutations(t, all)
}
