package torch_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// flatTensor is a tensor in testdata/ops.json, which testdata/ops.py writes.
type flatTensor struct {
	DType  string    `json:"dtype"`
	Shape  []int64   `json:"shape"`
	Values []float64 `json:"values"`
}

type opsFixture struct {
	Inputs map[string]flatTensor `json:"inputs"`
	Cases  map[string]flatTensor `json:"cases"`
	Loss   float64               `json:"loss"`
	Grads  map[string]flatTensor `json:"grads"`
}

func readFixture(t *testing.T) opsFixture {
	t.Helper()
	raw, err := os.ReadFile("testdata/ops.json")
	if err != nil {
		t.Fatal(err)
	}
	var f opsFixture
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// tensors makes the inputs; call inside Do.
func (f opsFixture) tensors(t *testing.T) map[string]*torch.Tensor {
	t.Helper()
	in := map[string]*torch.Tensor{}
	for name, flat := range f.Inputs {
		dtype := torch.Unset
		for _, d := range []torch.DType{torch.Float32, torch.Int64, torch.Bool} {
			if d.String() == flat.DType {
				dtype = d
			}
		}
		if dtype == torch.Unset {
			t.Fatalf("input %s is of dtype %s", name, flat.DType)
		}
		in[name] = torch.FromFloat64(flat.Values, flat.Shape...).To(torch.CPU, dtype, false)
	}
	return in
}

// same compares with PyTorch's fp32 result, up to the last bits, since another libtorch or
// CPU may sum in another order. The longest sums here have 27 terms (a 3×3 kernel over
// three channels) of about 1: the error of either side is about √27 roundings of 2⁻²⁴,
// 3e-7, and at most 27 of them, 1.6e-6.
func same(t *testing.T, got *torch.Tensor, want flatTensor) {
	t.Helper()
	if got.DType().String() != want.DType || !slices.Equal(got.Shape(), want.Shape) {
		t.Errorf("got %v, want %s%v", got, want.DType, want.Shape)
		return
	}
	values := torch.Reshape(got.Detach(), []int64{-1}).To(torch.CPU, torch.Float32, false).Float32s()
	for i, v := range values {
		w := want.Values[i]
		if diff := math.Abs(float64(v) - w); !(diff <= 2e-6+2e-6*math.Abs(w)) {
			t.Errorf("element %d is %g, want %g", i, v, w)
			return
		}
	}
}

func ptr[T any](v T) *T { return &v }

// definite is mᵀ·m + I, positive definite.
func definite(m *torch.Tensor) *torch.Tensor {
	return torch.Add(torch.Mm(torch.T(m), m), torch.Eye(m.Size(1), m.DType(), m.Device()), 1)
}

func TestOpsGiveWhatPyTorchGives(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	f := readFixture(t)
	one := []int64{1, 1}
	type in map[string]*torch.Tensor
	first := func(a, _ *torch.Tensor) *torch.Tensor { return a }
	second := func(_, b *torch.Tensor) *torch.Tensor { return b }
	list := func(ts ...*torch.Tensor) []*torch.Tensor { return ts }
	last := func(ts []*torch.Tensor) *torch.Tensor { return ts[len(ts)-1] }
	logp := func(x *torch.Tensor) *torch.Tensor { return torch.LogSoftmax(x, 1, torch.Unset) }
	prob := func(x *torch.Tensor) *torch.Tensor { return torch.Softmax(x, 1, torch.Unset) }
	cases := map[string]func(i in) *torch.Tensor{
		"Conv2d":           func(i in) *torch.Tensor { return torch.Conv2d(i["x"], i["w"], i["b4"], []int64{2, 2}, one, one, 1) },
		"Conv2d depthwise": func(i in) *torch.Tensor { return torch.Conv2d(i["x"], i["dw"], nil, one, one, one, 3) },
		"MaxPool2d": func(i in) *torch.Tensor {
			return torch.MaxPool2d(i["x"], []int64{3, 3}, []int64{2, 2}, one, one, false)
		},
		"AdaptiveAvgPool2d": func(i in) *torch.Tensor { return torch.AdaptiveAvgPool2d(i["x"], one) },
		"BatchNorm train": func(i in) *torch.Tensor {
			return torch.BatchNorm(i["x"], i["g3"], i["b3"], torch.Clone(i["rm"]), torch.Clone(i["rv"]), true, 0.1, 1e-5, true)
		},
		"BatchNorm eval": func(i in) *torch.Tensor {
			return torch.BatchNorm(i["x"], i["g3"], i["b3"], i["rm"], i["rv"], false, 0.1, 1e-5, true)
		},
		"LayerNorm": func(i in) *torch.Tensor {
			return torch.LayerNorm(i["bm1"], []int64{4}, i["b4"], i["v"], 1e-6, true)
		},
		"Gelu":             func(i in) *torch.Tensor { return torch.Gelu(i["a"], "none") },
		"Matmul":           func(i in) *torch.Tensor { return torch.Matmul(i["bm1"], i["bm2"]) },
		"Matmul broadcast": func(i in) *torch.Tensor { return torch.Matmul(i["bm1"], i["m"]) },
		"Expand":           func(i in) *torch.Tensor { return torch.Expand(i["v"], []int64{3, 4}, false) },
		"ForeachAddcmulScalar_": func(i in) *torch.Tensor {
			torch.ForeachAddcmulScalar_(list(i["a"]), list(torch.Clone(i["a"])), list(i["c"]), 0.5)
			return i["a"]
		},
		"ForeachAddcdivScalar_": func(i in) *torch.Tensor {
			torch.ForeachAddcdivScalar_(list(i["a"]), list(i["c"]), list(i["p"]), -0.5)
			return i["a"]
		},
		"ForeachAddScalar_": func(i in) *torch.Tensor { torch.ForeachAddScalar_(list(i["a"]), 0.5); return i["a"] },
		"ForeachDivScalar_": func(i in) *torch.Tensor { torch.ForeachDivScalar_(list(i["a"]), 0.75); return i["a"] },
		"ForeachSqrt":       func(i in) *torch.Tensor { return torch.ForeachSqrt(list(i["p"]))[0] },
		"Relu":              func(i in) *torch.Tensor { return torch.Relu_(torch.Clone(i["a"])) },
		"Silu":              func(i in) *torch.Tensor { return torch.Silu(i["a"]) },
		"Hardswish":         func(i in) *torch.Tensor { return torch.Hardswish(i["a"]) },
		"Hardsigmoid":       func(i in) *torch.Tensor { return torch.Hardsigmoid(i["a"]) },
		"Sigmoid":           func(i in) *torch.Tensor { return torch.Sigmoid(i["a"]) },
		"Linear": func(i in) *torch.Tensor {
			return torch.Linear(i["a"], i["two"], torch.Full([]int64{2}, 0.25, torch.Float32, torch.CPU))
		},
		"Mm":                      func(i in) *torch.Tensor { return torch.Mm(i["a"], i["m"]) },
		"Addmm":                   func(i in) *torch.Tensor { return torch.Addmm(i["b5"], i["a"], i["m"], 0.5, 2) },
		"T":                       func(i in) *torch.Tensor { return torch.T(i["a"]) },
		"Add":                     func(i in) *torch.Tensor { return torch.Add(i["a"], i["c"], -0.5) },
		"AddScalar":               func(i in) *torch.Tensor { return torch.AddScalar_(torch.Clone(i["a"]), 1.5, 1) },
		"Sub":                     func(i in) *torch.Tensor { return torch.Sub(i["a"], i["c"], 1) },
		"Mul":                     func(i in) *torch.Tensor { return torch.Mul(i["a"], i["c"]) },
		"Div":                     func(i in) *torch.Tensor { return torch.Div(i["a"], i["p"]) },
		"DivScalar":               func(i in) *torch.Tensor { return torch.DivScalar(i["a"], 3) },
		"Sqrt":                    func(i in) *torch.Tensor { return torch.Sqrt(i["p"]) },
		"LinalgCholesky":          func(i in) *torch.Tensor { return torch.LinalgCholesky(definite(i["m"]), false) },
		"Inverse":                 func(i in) *torch.Tensor { return torch.Inverse(definite(i["m"])) },
		"Rsqrt":                   func(i in) *torch.Tensor { return torch.Rsqrt(i["p"]) },
		"Exp":                     func(i in) *torch.Tensor { return torch.Exp(i["a"]) },
		"Log":                     func(i in) *torch.Tensor { return torch.Log(i["p"]) },
		"Log1p":                   func(i in) *torch.Tensor { return torch.Log1p(i["p"]) },
		"Sum":                     func(i in) *torch.Tensor { return torch.Sum(i["a"], torch.Unset) },
		"Sum of ints":             func(i in) *torch.Tensor { return torch.Sum(i["ints"], torch.Unset) },
		"SumDim":                  func(i in) *torch.Tensor { return torch.SumDim(i["a"], []int64{0}, true, torch.Unset) },
		"MeanDim":                 func(i in) *torch.Tensor { return torch.MeanDim(i["x"], []int64{0, 2, 3}, false, torch.Unset) },
		"Mean of ints":            func(i in) *torch.Tensor { return torch.Mean(i["ints"], torch.Float32) },
		"Amax":                    func(i in) *torch.Tensor { return torch.Amax(i["a"], []int64{0}, false) },
		"Argmax":                  func(i in) *torch.Tensor { return torch.Argmax(i["a"], ptr(int64(1)), false) },
		"LinalgVectorNorm":        func(i in) *torch.Tensor { return torch.LinalgVectorNorm(i["a"], 2, []int64{1}, true, torch.Unset) },
		"Logsumexp":               func(i in) *torch.Tensor { return torch.Logsumexp(i["a"], []int64{1}, false) },
		"Softmax":                 func(i in) *torch.Tensor { return prob(i["a"]) },
		"LogSoftmax":              func(i in) *torch.Tensor { return logp(i["a"]) },
		"CrossEntropyLoss":        func(i in) *torch.Tensor { return torch.CrossEntropyLoss(i["a"], i["target"], nil, 1, -100, 0) },
		"CrossEntropyLoss soft":   func(i in) *torch.Tensor { return torch.CrossEntropyLoss(i["a"], prob(i["c"]), nil, 1, -100, 0) },
		"CrossEntropyLoss smooth": func(i in) *torch.Tensor { return torch.CrossEntropyLoss(i["a"], i["target"], nil, 0, -100, 0.1) },
		"Cat":                     func(i in) *torch.Tensor { return torch.Cat([]*torch.Tensor{i["a"], i["two"]}, 0) },
		"Stack":                   func(i in) *torch.Tensor { return torch.Stack([]*torch.Tensor{i["a"], i["c"]}, 1) },
		"Chunk last":              func(i in) *torch.Tensor { return last(torch.Chunk(i["a"], 2, 1)) },
		"Narrow":                  func(i in) *torch.Tensor { return torch.Narrow(i["a"], 1, 1, 2) },
		"Select":                  func(i in) *torch.Tensor { return torch.Select(i["a"], 0, 1) },
		"Slice":                   func(i in) *torch.Tensor { return torch.Slice(i["a"], 1, ptr(int64(1)), nil, 2) },
		"IndexSelect":             func(i in) *torch.Tensor { return torch.IndexSelect(i["a"], 0, i["rows"]) },
		"ScatterAdd_":             func(i in) *torch.Tensor { return torch.ScatterAdd_(torch.Clone(i["a"]), 1, i["cols"], i["c"]) },
		"MaskedFillScalar":        func(i in) *torch.Tensor { return torch.MaskedFillScalar(i["a"], i["mask"], -1e9) },
		"Where":                   func(i in) *torch.Tensor { return torch.Where(i["mask"], i["a"], i["c"]) },
		"Permute":                 func(i in) *torch.Tensor { return torch.Permute(i["x"], []int64{0, 2, 3, 1}) },
		"Repeat":                  func(i in) *torch.Tensor { return torch.Repeat(i["v"], []int64{2, 2}) },
		"Flip":                    func(i in) *torch.Tensor { return torch.Flip(i["a"], []int64{1}) },
		"Roll":                    func(i in) *torch.Tensor { return torch.Roll(i["a"], []int64{1}, []int64{0}) },
		"Gt":                      func(i in) *torch.Tensor { return torch.Gt(i["a"], i["c"]) },
		"Topk values":             func(i in) *torch.Tensor { return first(torch.Topk(i["a"], 2, 1, true, true)) },
		"Topk indices":            func(i in) *torch.Tensor { return second(torch.Topk(i["a"], 2, 1, true, true)) },
		"Arange":                  func(in) *torch.Tensor { return torch.Arange(1, 2, 0.25, torch.Float32, torch.CPU) },
		"Eye":                     func(in) *torch.Tensor { return torch.Eye(3, torch.Float32, torch.CPU) },
		"int times int":           func(i in) *torch.Tensor { return torch.MulScalar(i["ints"], 3) },
		"int plus half":           func(i in) *torch.Tensor { return torch.AddScalar(i["ints"], 0.5, 1) },
	}
	for name := range f.Cases {
		if cases[name] == nil {
			t.Errorf("the fixture's case %q is not tested", name)
		}
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			want, ok := f.Cases[name]
			if !ok {
				t.Fatal("not in the fixture; run testdata/ops.py")
			}
			torchtest.Do(t, func() { same(t, run(f.tensors(t)), want) })
		})
	}
}

// TestGradientsOfASmallNet compares loss and gradients with PyTorch's, and runs
// the forward part in a scope that has ended before backward.
func TestGradientsOfASmallNet(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	f := readFixture(t)
	torchtest.Do(t, func() {
		in := f.tensors(t)
		for name := range f.Grads {
			if in[name].Grad() != nil {
				t.Errorf("%s has a gradient before backward", name)
			}
			in[name].SetRequiresGrad(true)
		}
		one := []int64{1, 1}
		loss := torch.Scope(func() *torch.Tensor {
			h := torch.Conv2d(in["x"], in["w"], in["b4"], one, one, one, 1)
			h = torch.Relu_(torch.BatchNorm(h, nil, nil, nil, nil, true, 0.1, 1e-5, true))
			h = torch.Mm(torch.Flatten(torch.AdaptiveAvgPool2d(h, one), 1, -1), in["m"])
			h = torch.Div(h, torch.LinalgVectorNorm(h, 2, []int64{1}, true, torch.Unset))
			target := torch.Softmax(h, 1, torch.Unset).Detach()
			logits := torch.LogSoftmax(torch.DivScalar(h, 0.1), 1, torch.Unset)
			rows := torch.SumDim(torch.Mul(target, logits), []int64{1}, false, torch.Unset)
			return torch.Neg(torch.Mean(rows, torch.Unset))
		})
		// A mean of three cross-entropies whose logits are cosines over 0.1, with errors of
		// about 1e-7 each: a magnitude of ten, whose rounding is 6e-7, about ten times.
		if got := loss.Item(); math.Abs(got-f.Loss) > 1e-5 {
			t.Errorf("loss %g, want %g", got, f.Loss)
		}
		loss.Backward()
		for name, want := range f.Grads {
			same(t, in[name].Grad(), want)
		}
	})
}
