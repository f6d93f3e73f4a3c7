package torch_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// The twins of a GPU's kernels run the same source on small tensors of awkward sizes. Results
// are compared with libtorch's operators in float64. Every order of a block's threads must
// give the same bits: otherwise a barrier is missing. Where a GPU is, the kernels themselves are
// held to the same bounds, and to giving the same bits twice.

// place is where computations have their tensors; only the device thread touches it.
var place = torch.CPU

// onDevice runs fn with tensors on the first GPU, and logs where there is none.
func onDevice(t *testing.T, fn func()) {
	t.Helper()
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	if len(info.CUDA) == 0 {
		t.Log("no GPU: the twins alone")
		return
	}
	place = torch.CUDA(0)
	defer func() { place = torch.CPU }()
	if !torch.Kernels(place) {
		t.Errorf("the GPU has no kernels")
		return
	}
	fn()
}

// outputs are results by name.
type outputs map[string]*torch.Tensor

// bits are the elements of all results, for comparison.
func (o outputs) bits() map[string][]byte {
	all := map[string][]byte{}
	for name, t := range o {
		all[name] = slices.Clone(torch.Contiguous(t, torch.ContiguousFormat).Bytes())
	}
	return all
}

// twins computes by the twins in every order, checks that the bits are the same, and gives the
// results.
func twins(t *testing.T, what string, compute func() outputs) (out outputs) {
	t.Helper()
	var first map[string][]byte
	torchtest.Twins(func(order int) {
		out = compute()
		got := out.bits()
		if first == nil {
			first = got
		}
		for name, b := range got {
			if !slices.Equal(b, first[name]) {
				t.Errorf("%s: %s has other bits where threads run in order %d", what, name, order)
			}
		}
	})
	onDevice(t, func() {
		kernels := compute()
		again := compute().bits()
		for name, b := range kernels.bits() {
			if !slices.Equal(b, again[name]) {
				t.Errorf("%s: %s has other bits the second time", what, name)
			}
		}
		for name, x := range kernels {
			out["GPU's "+name] = x.To(torch.CPU, x.DType(), false)
		}
	})
	return out
}

// check compares results with float64's by their distance. The bound of a result is times that
// of libtorch's own in float32, and least where that is exact by luck. faulty has a fault, which
// the bound of one result must show.
func check(t *testing.T, what string, times, least float64, truth, theirs, ours, faulty outputs) {
	t.Helper()
	seen := false
	for name, got := range ours {
		name = strings.TrimPrefix(name, "GPU's ")
		want := truth[name]
		bound := max(least, times*distance(theirs[name], want))
		d := distance(got, want)
		t.Logf("%s %s: %.2g from float64, libtorch's float32 %.2g, bound %.2g", what, name, d, distance(theirs[name], want), bound)
		if !(d <= bound) {
			t.Errorf("%s: %s lies %.2g from float64's, more than %.2g", what, name, d, bound)
		}
		seen = seen || !(distance(faulty[name], want) <= bound)
	}
	if !seen {
		t.Errorf("%s: no bound shows a fault of 1 %%", what)
	}
}

// unitRows are random rows of unit length.
func unitRows(name string, rows, dim int64) *torch.Tensor {
	x := random(name, rows, dim)
	return torch.Div(x, torch.LinalgVectorNorm(x, 2, []int64{1}, true, torch.Unset))
}

type attendCase struct {
	rows, keys, dim int64
	tau             float64
}

// run is Attend's results and the gradient to z.
func (c attendCase) run(dtype torch.DType, tau float64) outputs {
	z := unitRows("z", c.rows, c.dim).To(place, dtype, false).SetRequiresGrad(true)
	a := torch.Attend(z, unitRows("queue", c.keys, c.dim).To(place, dtype, false), tau)
	torch.Sum(torch.Mul(a.LSE, random("weight", c.rows).To(place, dtype, false)), torch.Unset).Backward()
	return outputs{"lse": a.LSE.Detach(), "mean": a.Mean, "dz": z.Grad()}
}

// best is Attend's most similar keys.
func (c attendCase) best(dtype torch.DType) []int64 {
	z, queue := unitRows("z", c.rows, c.dim), unitRows("queue", c.keys, c.dim)
	return torch.Attend(z.To(torch.CPU, dtype, false), queue.To(torch.CPU, dtype, false), c.tau).Best.Int64s()
}

// TestAttend: rows and keys that fill no tile, one part of the queue and several, D that fills
// its kernel and that does not.
func TestAttend(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	torchtest.Do(t, func() {
		for _, c := range []attendCase{{5, 70, 36, 0.1}, {33, 300, 128, 0.04}, {3, 33, 200, 0.1}, {2, 40, 260, 0.2}, {1, 1, 4, 0.1}} {
			what := fmt.Sprintf("%+v", c)
			truth, theirs := c.run(torch.Float64, c.tau), c.run(torch.Float32, c.tau)
			ours := twins(t, what, func() outputs { return c.run(torch.Float32, c.tau) })
			var faulty, coarse outputs
			var best []int64
			torchtest.Twins(func(order int) {
				if order > 0 {
					return
				}
				faulty, best = c.run(torch.Float32, 1.01*c.tau), c.best(torch.Float32)
				torch.SetAllowTF32(true)
				coarse = c.run(torch.Float32, c.tau)
				torch.SetAllowTF32(false)
			})
			// A factor of a product keeps 21 bits (kernels/attend.h), in a sum of cosines of at most 1,
			// which 1/τ multiplies in the exponent; in the mean's sum weights and keys do.
			exact := 4 * 0x1p-22 / c.tau
			check(t, what, 2, exact, truth, theirs, ours, faulty)
			check(t, what+" TF32", 2, 4*0x1p-11/c.tau, truth, theirs, coarse, c.shifted())
			if want := c.best(torch.Float64); !slices.Equal(best, want) {
				t.Errorf("%s: the most similar keys are %v, want %v", what, best, want)
			}
		}
	})
}

// shifted has the fault that z and the queue do not belong together: what TF32's bound must show.
func (c attendCase) shifted() outputs {
	z := torch.Neg(unitRows("z", c.rows, c.dim)).SetRequiresGrad(true)
	a := torch.Attend(z, unitRows("queue", c.keys, c.dim), c.tau)
	torch.Sum(a.LSE, torch.Unset).Backward()
	return outputs{"lse": a.LSE.Detach(), "mean": a.Mean, "dz": z.Grad()}
}

// TestAttendFirstOfEquals: of keys that are the same the first is the most similar, in whatever
// tile, part and lane they are.
func TestAttendFirstOfEquals(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	torchtest.Do(t, func() {
		key := unitRows("key", 1, 8)
		for _, first := range []int64{0, 31, 170, 299} {
			queue := torch.Cat([]*torch.Tensor{torch.Neg(torch.Repeat(key, []int64{first, 1})), torch.Repeat(key, []int64{300 - first, 1})}, 0)
			torchtest.Twins(func(order int) {
				if got := torch.Attend(key, queue, 0.1).Best.Int64s()[0]; got != first {
					t.Errorf("order %d: the most similar key is %d, want %d", order, got, first)
				}
			})
		}
	})
}

type normCase struct {
	shape          []int64
	residual, relu bool
	half           bool // bf16
	plain          bool // no weight and no bias
}

// run is batch norm's results and gradients. times is a fault: of γ.
func (c normCase) run(dtype torch.DType, times float64) outputs {
	channels := c.shape[1]
	put := func(name string, shape ...int64) *torch.Tensor {
		x := random(name, shape...)
		if name == "x" {
			x = torch.AddScalar(torch.MulScalar(x, 0.5), 3, 1) // a mean that is large beside σ
		}
		if c.half && len(shape) > 1 {
			x = x.To(torch.CPU, torch.BFloat16, false)
		}
		to := dtype
		if c.half && dtype == torch.Float32 && len(shape) > 1 {
			to = torch.BFloat16
		}
		x = x.To(place, to, false)
		if len(shape) == 4 {
			x = x.ToMemoryFormat(torch.ChannelsLast)
		}
		return x
	}
	x := put("x", c.shape...).SetRequiresGrad(true)
	mean, variance := torch.Zeros([]int64{channels}, dtype, place), torch.Ones([]int64{channels}, dtype, place)
	var weight, bias, residual *torch.Tensor
	if !c.plain {
		weight, bias = torch.MulScalar(put("weight", channels), times).Detach().SetRequiresGrad(true), put("bias", channels).SetRequiresGrad(true)
	}
	if c.residual {
		residual = put("residual", c.shape...).SetRequiresGrad(true)
	}
	y := torch.BatchNormReLU(x, weight, bias, mean, variance, residual, 0.1, 1e-5, c.relu)
	y.BackwardWith(put("dy", c.shape...), false)
	out := outputs{"y": y.Detach(), "dx": x.Grad(), "running mean": mean, "running variance": variance}
	if !c.plain {
		out["dweight"], out["dbias"] = weight.Grad(), bias.Grad()
	}
	if c.residual {
		out["dresidual"] = residual.Grad()
	}
	return out
}

// TestBatchNormReLU: channels that fill no block of 64, rows that fill none of 16, several
// blocks of rows; in float32 and bfloat16.
func TestBatchNormReLU(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	torchtest.Do(t, func() {
		for _, c := range []normCase{
			{shape: []int64{3, 20, 5, 7}, relu: true},
			{shape: []int64{5, 68, 6, 7}, relu: true, residual: true},
			{shape: []int64{5, 68, 3, 3}, residual: true},
			{shape: []int64{70, 12}},
			{shape: []int64{67, 132}, relu: true, plain: true},
			{shape: []int64{3, 20, 5, 7}, relu: true, half: true},
			{shape: []int64{4, 64, 6, 7}, relu: true, residual: true, half: true},
		} {
			what := fmt.Sprintf("%+v", c)
			truth := c.run(torch.Float64, 1)
			ours := twins(t, what, func() outputs { return c.run(torch.Float32, 1) })
			theirs, faulty := c.run(torch.Float32, 1), c.run(torch.Float64, 1.01)
			if c.plain {
				faulty = normCase{shape: c.shape, relu: c.relu}.run(torch.Float64, 1)
			}
			// libtorch's float32 adds in another order, as in TestConv3x3; sums of few terms are off by
			// three roundings or so. In bf16 the inputs are the same, and each result is rounded once, to
			// 8 bits.
			least := 4 * 0x1p-24
			if c.half {
				least = 0x1p-8
			}
			check(t, what, 2, least, truth, theirs, ours, faulty)
		}
	})
}

// TestBatchNormOfConstantChannels: a variance of zero, and one channel's NaN, which stays that channel's.
func TestBatchNormOfConstantChannels(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	torchtest.Do(t, func() {
		x := torch.FromFloat32([]float32{1e6, 2, 3, float32(math.NaN()), 1e6, 4, 3, 1}, 2, 4)
		mean, variance := torch.Zeros([]int64{4}, torch.Float32, torch.CPU), torch.Ones([]int64{4}, torch.Float32, torch.CPU)
		torchtest.Twins(func(int) {
			y := torch.BatchNormReLU(x, nil, nil, mean, variance, nil, 0.1, 1e-5, false).Float32s()
			if y[0] != 0 || y[2] != 0 || y[4] != 0 || !(y[1] < -0.99) || !(y[5] > 0.99) || y[3] == y[3] || y[7] == y[7] {
				t.Errorf("normalised to %v", y)
			}
		})
	})
}

// TestNormalizePixels: the bits are those of libtorch's multiplication and addition, for every
// number of images and address.
func TestNormalizePixels(t *testing.T) {
	racetest.SkipNumbers(t)
	torchtest.Require(t)
	torchtest.Do(t, func() {
		scale, shift := [3]float64{1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)}, [3]float64{-2.1179, -2.0357, -1.8044}
		for _, images := range []int64{1, 2, 5, 30} {
			const s = 7 // 147 bytes an image, of which all but the first begin at no multiple of 4
			raw := make([]byte, (images+1)*s*s*3)
			for i := range raw {
				raw[i] = byte(i*i/7 + i)
			}
			x := torch.Narrow(torch.FromUint8(raw, images+1, s, s, 3), 0, 1, images)
			for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
				plain := func() outputs {
					return outputs{"y": torch.NormalizePixels(x.To(place, torch.Uint8, false), scale, shift, dtype)}
				}
				want := plain().bits()
				got := twins(t, "pixels", plain)
				for name, b := range got.bits() {
					if !slices.Equal(b, want["y"]) {
						t.Errorf("%d images in %v: %s is %.3g from libtorch's", images, dtype, name, distance(got[name], plain()["y"]))
					}
				}
				if !got["y"].IsContiguous(torch.ChannelsLast) {
					t.Error("not in channels_last")
				}
			}
		}
	})
}
