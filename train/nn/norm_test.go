package nn_test

import (
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// normed is batch norm of (rows, channels): outputs, running statistics and gradients.
type normed func(x, weight, bias *torch.Tensor) (y, mean, variance *torch.Tensor)

// measure runs forward and backward of a loss that weights every output.
func (f normed) measure(double bool, rows, channels int64) nntest.Values {
	out := nntest.Values{}
	torch.ScopeDo(func() {
		dtype := torch.Float32
		if double {
			dtype = torch.Float64
		}
		leaf := func(name string, scale, shift float64, shape ...int64) *torch.Tensor {
			return nntest.FormulaTensor("norm "+name, scale, shift, shape...).To(torch.CPU, dtype, false).SetRequiresGrad(true)
		}
		x, weight, bias := leaf("x", 1, 0.5, rows, channels), leaf("weight", 0.25, 1, channels), leaf("bias", 0.1, 0, channels)
		y, mean, variance := f(x, weight, bias)
		torch.Sum(torch.Mul(y, leaf("loss", 1, 0.3, rows, channels)), torch.Unset).Backward()
		for name, v := range map[string]*torch.Tensor{"y": y, "running mean": mean, "running variance": variance, "x.grad": x.Grad(), "weight.grad": weight.Grad(), "bias.grad": bias.Grad()} {
			out.Take(name, v)
		}
	})
	return out
}

// module is nn.BatchNorm.
func module(double bool, channels int64) normed {
	return func(x, weight, bias *torch.Tensor) (y, mean, variance *torch.Tensor) {
		bn := nn.NewBatchNorm(nn.Builder{Double: double}, channels)
		bn.Weight.Free()
		bn.Bias.Free()
		bn.Weight, bn.Bias = weight, bias
		y = bn.Forward(x)
		mean, variance = torch.Clone(bn.RunningMean), torch.Clone(bn.RunningVar)
		bn.RunningMean.Free()
		bn.RunningVar.Free()
		bn.Tracked.Free()
		return y, mean, variance
	}
}

// equations is batch norm as in its paper (Ioffe & Szegedy, algorithm 1), with optional
// faults.
type equations struct {
	constMean, constVar bool // no gradient through the statistic
	noEps               bool
	unbiased            bool    // in what normalises
	biasedRunning       bool    // in what is kept
	momentum            float64 // of the running statistics
}

func (e equations) norm(x, weight, bias *torch.Tensor) (y, mean, variance *torch.Tensor) {
	rows := float64(x.Size(0))
	mu := torch.MeanDim(x, []int64{0}, false, torch.Unset)
	if e.constMean {
		mu = mu.Detach()
	}
	d := torch.Sub(x, mu, 1)
	biased := torch.MeanDim(torch.Mul(d, d), []int64{0}, false, torch.Unset)
	unbiased := torch.MulScalar(biased, rows/(rows-1))
	used, kept := biased, unbiased
	if e.unbiased {
		used = unbiased
	}
	if e.biasedRunning {
		kept = biased
	}
	if e.constVar {
		used = used.Detach()
	}
	if !e.noEps {
		used = torch.AddScalar(used, 1e-5, 1)
	}
	y = torch.Add(torch.Mul(torch.Mul(d, torch.Rsqrt(used)), weight), bias, 1)
	return y, torch.MulScalar(mu, e.momentum), torch.AddScalar(torch.MulScalar(kept, e.momentum), 1-e.momentum, 1)
}

// normRows and normChannels: enough rows for a mean, few enough that n and n−1 differ.
const normRows, normChannels = 24, 16

// normParity compares in float64 to 1e-12, which is 24 roundings of 2⁻⁵³ at a condition
// of some hundreds, and in fp32 with what the equations' own fp32 is off by.
func normParity(tb testing.TB, double bool, f func(double bool) normed) {
	tb.Helper()
	nntest.Do(tb, func() {
		right := normed(equations{momentum: 0.1}.norm)
		truth := right.measure(true, normRows, normChannels)
		if double {
			got := f(true).measure(true, normRows, normChannels)
			for name, want := range truth {
				nntest.Close(tb, name, got[name], want, 1e-12)
			}
			return
		}
		nntest.NewReference(tb, truth, right.measure(false, normRows, normChannels)).Check(tb, "fp32", f(false).measure(false, normRows, normChannels))
	})
}

func TestBatchNormParity(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	for _, double := range []bool{true, false} {
		normParity(t, double, func(double bool) normed { return module(double, normChannels) })
	}
}

// TestMutations: the faults that the parity test of batch norm detects.
func TestMutations(t *testing.T) {
	racetest.SkipNumbers(t)
	var all []nntest.Mutation
	add := func(fault string, f func(double bool) normed) {
		for double, parity := range map[bool]string{true: "batch norm, float64", false: "batch norm, fp32"} {
			all = append(all, nntest.Mutation{Parity: parity, Fault: fault, Check: func(tb testing.TB) { normParity(tb, double, f) }})
		}
	}
	add("", func(double bool) normed { return module(double, normChannels) })
	for fault, e := range map[string]equations{
		"mean-of-gradient term missing":    {constMean: true, momentum: 0.1},
		"variance's gradient term missing": {constVar: true, momentum: 0.1},
		"eps missing":                      {noEps: true, momentum: 0.1},
		"unbiased variance normalises":     {unbiased: true, momentum: 0.1},
		"biased running variance":          {biasedRunning: true, momentum: 0.1},
		"momentum 1 % off":                 {momentum: 0.101},
	} {
		add(fault, func(bool) normed { return e.norm })
	}
	add("gradient 1 % off", func(double bool) normed {
		f := module(double, normChannels)
		return func(x, weight, bias *torch.Tensor) (y, mean, variance *torch.Tensor) {
			y, mean, variance = f(x, weight, bias)
			// 1.01·y − 0.01·y, the second without gradient: the value of y.
			return torch.Sub(torch.MulScalar(y, 1.01), torch.MulScalar(y.Detach(), 0.01), 1), mean, variance
		}
	})
	nntest.Mutations(t, all)
}
