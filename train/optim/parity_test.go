package optim_test

import (
	"fmt"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/optim"
	"resslt/train/torch"
)

// tenSteps trains a small head for ten steps.
type tenSteps struct {
	name string
	lr   optim.Schedule
	o    optim.Options

	transpose bool    // a weight, for mutations
	gradient  float64 // factor of the gradients, for mutations; 0 means 1
}

var optimisers = []tenSteps{
	{name: "warmup_cosine", lr: optim.WarmupCosine(0.2, 3, 10), o: optim.Options{Momentum: 0.9}},
	{name: "steps", lr: optim.Steps(0.2, 0.1, 4, 7), o: optim.Options{Momentum: 0.9}},
	{name: "plain", lr: optim.Constant(0.1), o: optim.Options{}},
	{name: "sgd", lr: optim.Constant(0.1), o: optim.Options{Kind: optim.SGD, Momentum: 0.9, WeightDecay: 5e-4}},
	{name: "nesterov", lr: optim.Constant(0.1), o: optim.Options{Momentum: 0.9, WeightDecay: 5e-4, Nesterov: true}},
	{name: "matrices", lr: optim.Constant(0.1), o: optim.Options{Momentum: 0.9, WeightDecay: 5e-2, DecayMatricesOnly: true}},
	{name: "clipped", lr: optim.Constant(0.1), o: optim.Options{Momentum: 0.9, Clip: 0.05}},
	{name: "adamw", lr: optim.WarmupCosine(0.02, 3, 10), o: optim.Options{Kind: optim.AdamW, WeightDecay: 0.05, Eps: 1e-3}},
	{name: "adamw_matrices", lr: optim.Constant(0.01), o: optim.Options{Kind: optim.AdamW, WeightDecay: 0.3, Beta1: 0.8, Beta2: 0.95, Eps: 1e-3, DecayMatricesOnly: true, Clip: 0.1}},
	{name: "lars", lr: optim.Constant(0.3), o: optim.Options{Kind: optim.LARS, Momentum: 0.9, WeightDecay: 1e-4}},
}

// run returns the losses and the final weights. turn rotates the rows of every batch,
// which changes only the order of sums.
func (c tenSteps) run(tb testing.TB, double bool, turn int64) nntest.Values {
	tb.Helper()
	out := nntest.Values{}
	nntest.Do(tb, func() {
		net := nntest.Head(nn.Builder{Double: double}, 12, 16, 8)
		defer nn.Free(net)
		nntest.Fill(net, "optim ")
		if c.transpose { // the second layer's, (8,16), by its square halves
			w := net.Children[3].(*nn.Linear).Weight
			nntest.Transpose(torch.Narrow(w, 1, 0, 8))
		}
		params := nn.Parameters(net)
		opt, err := optim.New(params, c.o)
		if err != nil {
			tb.Fatal(err)
		}
		defer opt.Free()
		var losses []float64
		for step := range 10 {
			torch.ScopeDo(func() {
				place := func(what string, width int64) *torch.Tensor {
					x := torch.Roll(nntest.FormulaTensor(fmt.Sprintf("optim %s %d", what, step), 1, 0, 32, width), []int64{turn}, []int64{0})
					if double {
						x = x.To(torch.CPU, torch.Float64, false)
					}
					return x
				}
				diff := torch.Sub(net.Forward(place("input", 12)), place("target", 8), 1)
				loss := torch.Mean(torch.Mul(diff, diff), torch.Unset)
				loss.Backward()
				if c.gradient != 0 {
					for _, p := range params {
						torch.NoGrad(func() { torch.MulScalar_(p.Tensor.Grad(), c.gradient) })
					}
				}
				if err := opt.Step(c.lr(int64(step))); err != nil {
					tb.Fatal(err)
				}
				opt.ZeroGrad()
				losses = append(losses, loss.Item())
			})
		}
		out["losses"] = losses
		for _, p := range params {
			out.Take(p.Name, p.Tensor)
		}
	})
	return out
}

// compare compares got's ten steps in float64 with the fixture, or in fp32 with right's
// float64, by the error of right in fp32 with rows in other orders.
func compare(tb testing.TB, fix *nntest.Fixture, double bool, right, got tenSteps) {
	tb.Helper()
	if double {
		for name, v := range got.run(tb, true, 0) {
			nntest.Stored(tb, name, v, fix.Float32s(right.name+"."+name))
		}
		return
	}
	var references []nntest.Values
	for _, turn := range []int64{5, 11, 19} {
		references = append(references, right.run(tb, false, turn))
	}
	nntest.NewReference(tb, right.run(tb, true, 0), references...).Check(tb, "fp32", got.run(tb, false, 0))
}

// TestTenStepsParity trains a small head for ten steps with each optimiser, and
// with each schedule of the learning rate against PyTorch's schedulers.
func TestTenStepsParity(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	fix := nntest.Load(t, "optim")
	for _, c := range optimisers {
		t.Run(c.name, func(t *testing.T) {
			for _, double := range []bool{true, false} {
				compare(t, fix, double, c, c)
			}
		})
	}
}

// TestMutations: the faults that the parity tests of optimisers detect.
func TestMutations(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	fix := nntest.Load(t, "optim")
	var all []nntest.Mutation
	for _, right := range optimisers {
		for fault, change := range map[string]func(*tenSteps){
			"":                              func(*tenSteps) {},
			"momentum 1 % off":              func(c *tenSteps) { c.o.Momentum *= 1.01 },
			"learning rate 1 % off":         func(c *tenSteps) { c.lr = func(s int64) float64 { return right.lr(s) * 1.01 } },
			"gradient 1 % off":              func(c *tenSteps) { c.gradient = 1.01 },
			"weight decay missing":          func(c *tenSteps) { c.o.WeightDecay = 0 },
			"transposed weight":             func(c *tenSteps) { c.transpose = true },
			"Nesterov's look-ahead missing": func(c *tenSteps) { c.o.Nesterov = false },
			"η 1 % off":                     func(c *tenSteps) { c.o.Eta = 0.00101 },
			"β₂ 1 % off":                    func(c *tenSteps) { c.o.Beta2 = 0.99 * max(c.o.Beta2, 0.95) },
			"ε missing":                     func(c *tenSteps) { c.o.Eps = 1e-30 },
			"clipping missing":              func(c *tenSteps) { c.o.Clip = 0 },
		} {
			c := right
			change(&c)
			switch {
			case fault == "momentum 1 % off" && right.o.Momentum == 0,
				fault == "weight decay missing" && right.o.WeightDecay == 0,
				fault == "Nesterov's look-ahead missing" && !right.o.Nesterov,
				fault == "η 1 % off" && right.o.Kind != optim.LARS,
				fault == "β₂ 1 % off" && right.o.Kind != optim.AdamW,
				fault == "ε missing" && right.o.Eps < 1e-4,
				fault == "clipping missing" && right.o.Clip == 0,
				// Neither a clipped gradient nor AdamW's step depends on the gradient's scale.
				fault == "gradient 1 % off" && (right.o.Clip > 0 || right.o.Kind == optim.AdamW):
				continue
			}
			for double, precision := range map[bool]string{true: ", float64", false: ", fp32"} {
				all = append(all, nntest.Mutation{Parity: right.name + precision, Fault: fault, Check: func(tb testing.TB) { compare(tb, fix, double, right, c) }})
			}
		}
	}
	nntest.Mutations(t, all)
}
