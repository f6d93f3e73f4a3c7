package optim_test

import (
	"fmt"
	"math"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/optim"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// TestFusedTenSteps: the twin of the kernel for a whole step is held to the same truth and bound
// as libtorch's operators, and does without them.
func TestFusedTenSteps(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	for _, c := range optimisers {
		t.Run(c.name, func(t *testing.T) {
			fused := c
			fused.o.Kernels = true
			var references []nntest.Values
			for _, turn := range []int64{5, 11, 19} {
				references = append(references, c.run(t, false, turn))
			}
			reference := nntest.NewReference(t, c.run(t, true, 0), references...)
			calls := map[string]int{}
			nntest.Do(t, func() {
				torchtest.Twins(func(int) {
					torch.Watch(func(op string, _ *torch.Tensor) { calls[op]++ }, func() { reference.Check(t, "fused", fused.run(t, false, 0)) })
				})
			})
			if n := calls["resslt::optim_step"]; n != 10*torch.TwinOrders || calls["aten::_foreach_add_.List"] != 0 {
				t.Errorf("%d fused steps, want %d; %d sums of lists", n, 10*torch.TwinOrders, calls["aten::_foreach_add_.List"])
			}
		})
	}
}

// manyParameters are more than a launch takes, of sizes that four does not divide, and with
// gradients in another memory order than their weights.
func manyParameters() (params []nn.Named, averages []*torch.Tensor) {
	for i := range 140 {
		shape := []int64{3, 5, 1 + int64(i%3), 3}
		if i%4 == 3 {
			shape = []int64{4100 + int64(i)} // more than a block
		}
		name := fmt.Sprint("p", i)
		w := nntest.FormulaTensor("weight "+name, 1, 0, shape...)
		if len(shape) == 4 {
			w = w.ToMemoryFormat(torch.ChannelsLast)
		}
		p := nn.Named{Name: name, Tensor: w.Keep().SetRequiresGrad(true)}
		p.Tensor.SetGrad(nntest.FormulaTensor("gradient "+name, 0.3, 0, shape...))
		params = append(params, p)
		if i%5 == 0 {
			averages = append(averages, nil)
			continue
		}
		a := nntest.FormulaTensor("average "+name, 1, 0, shape...)
		if len(shape) == 4 {
			a = a.ToMemoryFormat(torch.ChannelsLast)
		}
		averages = append(averages, a.Keep())
	}
	return params, averages
}

// TestFusedAverages: one step with equation 6 in the same pass, of every kind of optimiser,
// against a step and a foreach average behind it.
func TestFusedAverages(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	const m = 0.9
	step := func(o optim.Options) (out [][]float64, moved bool) {
		params, averages := manyParameters()
		opt, err := optim.New(params, o)
		if err != nil {
			t.Fatal(err)
		}
		defer opt.Free()
		if moved, err = opt.StepWith(0.1, optim.Averages{Of: averages, M: m}); err != nil {
			t.Fatal(err)
		}
		torch.NoGrad(func() {
			for i, p := range params {
				if a := averages[i]; a != nil {
					if !moved {
						torch.MulScalar_(a, m)
						torch.Add_(a, p.Tensor, 1-m)
					}
					out = append(out, a.To(torch.CPU, torch.Float64, false).Float64s())
					a.Free()
				}
				out = append(out, p.Tensor.Detach().To(torch.CPU, torch.Float64, false).Float64s())
				p.Tensor.Free()
			}
		})
		return out, moved
	}
	for _, o := range []optim.Options{
		{Momentum: 0.9, WeightDecay: 0.05},
		{Momentum: 0.9, WeightDecay: 0.05, Nesterov: true, DecayMatricesOnly: true},
		{Kind: optim.LARS, Momentum: 0.9, WeightDecay: 0.05},
		{Kind: optim.AdamW, WeightDecay: 0.05},
	} {
		nntest.Do(t, func() {
			want, moved := step(o)
			if moved {
				t.Error("averages were moved without a kernel")
			}
			o.Kernels = true
			torchtest.Twins(func(order int) {
				if order > 0 {
					return
				}
				got, moved := step(o)
				if !moved {
					t.Errorf("%+v: the kernel did not take the step", o)
				}
				// A weight, of up to 1, is the sum of a few terms of at most its size, each rounded once; AdamW
				// divides two that are. LARS's norms are long sums in two orders: √n roundings of n = 5,000.
				bound := 8 * 0x1p-24
				if o.Kind == optim.LARS {
					bound = math.Sqrt(5000) * 0x1p-24
				}
				for i := range want {
					for j, w := range want[i] {
						if d := math.Abs(got[i][j] - w); !(d <= bound) {
							t.Fatalf("%+v: tensor %d, element %d is %v, want %v", o, i, j, got[i][j], w)
						}
					}
				}
			})
		})
	}
}
