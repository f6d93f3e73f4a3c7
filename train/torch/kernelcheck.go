package torch

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// checkedKernels is, by device, what kernelFault has said of it; only the device thread touches it.
var checkedKernels = map[Device]string{}

// kernelFault compares each of the kernels with libtorch's operators in float64, on small tensors,
// gradients too, and names those that are further from them than TF32's rounding allows, times a number; "" where none is.
// It runs inside Do. What it guards against is a compiler, a driver or a GPU that nobody has tried:
// a kernel that writes where it may not is not found here, since CUDA then ends the process.
func kernelFault(d Device, times float64) string {
	var faults []string
	for _, c := range kernelChecks() {
		if far := c.distance(d); !(far <= times*c.bound) { // NaN is far
			faults = append(faults, fmt.Sprintf("%s lies %.2g from libtorch's", c.name, far))
		}
	}
	return strings.Join(faults, ", ")
}

// KernelsOff says why a device's kernels are not used although the shim has them for it; "" where
// they are, or where it has none. It runs inside Do.
func KernelsOff(d Device) string {
	if d.Type == DeviceCPU || !hasKernels(d) {
		return ""
	}
	why, ok := checkedKernels[d]
	if !ok {
		ScopeDo(func() { why = kernelFault(d, 1) })
		checkedKernels[d] = why
	}
	return why
}

// kernelCheck is a computation that a device's kernels take in Float32, and libtorch's operators in
// Float64 on the CPU.
type kernelCheck struct {
	name  string
	bound float64 // greatest difference of an element
	run   func(d Device, t DType) []*Tensor
}

func (c kernelCheck) distance(d Device) (far float64) {
	ScopeDo(func() {
		got, want := c.run(d, Float32), c.run(CPU, Float64)
		for i := range want {
			y := want[i].Float64s()
			for k, x := range got[i].Float64s() {
				if diff := math.Abs(x - y[k]); !(diff <= far) && !math.IsNaN(far) {
					far = diff
				}
			}
		}
	})
	return far
}

// kernelChecks are the computations. TF32 keeps 11 bits of a factor, in sums of cosines of at most 1
// that 1/τ multiplies, with a gradient of as much; elsewhere float32 of numbers of up to 10 is
// far inside of 1e-3, which no wrong index and no missing term is.
func kernelChecks() []kernelCheck {
	const tau, momentum, decay, lr, m = 0.2, 0.9, 1e-2, 0.1, 0.75
	noise := func(d Device, t DType, seed uint64, shape ...int64) *Tensor {
		n := int64(1)
		for _, s := range shape {
			n *= s
		}
		r, x := rand.New(rand.NewPCG(seed, 1)), make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return FromFloat32(x, shape...).To(d, t, false)
	}
	unit := func(x *Tensor) *Tensor { return Div(x, LinalgVectorNorm(x, 2, []int64{1}, true, Unset)) }
	return []kernelCheck{
		{"resslt::attend", 8 * 0x1p-11 / tau, func(d Device, t DType) []*Tensor {
			z := unit(noise(d, t, 1, 33, 64)).SetRequiresGrad(true)
			a := Attend(z, unit(noise(d, t, 2, 300, 64)), tau)
			Sum(Mul(a.LSE, noise(d, t, 3, 33)), Unset).Backward()
			return []*Tensor{a.LSE, a.Mean, z.Grad()}
		}},
		{"resslt::batch_norm_relu", 1e-3, func(d Device, t DType) []*Tensor {
			x := noise(d, t, 4, 6, 24, 5, 5).ToMemoryFormat(ChannelsLast).SetRequiresGrad(true)
			shortcut := noise(d, t, 5, 6, 24, 5, 5).ToMemoryFormat(ChannelsLast).SetRequiresGrad(true)
			weight, bias := noise(d, t, 6, 24).SetRequiresGrad(true), noise(d, t, 7, 24).SetRequiresGrad(true)
			mean, variance := Zeros([]int64{24}, t, d), Ones([]int64{24}, t, d)
			y := BatchNormReLU(x, weight, bias, mean, variance, shortcut, 0.1, 1e-5, true)
			Sum(Mul(y, noise(d, t, 8, 6, 24, 5, 5)), Unset).Backward()
			return []*Tensor{y, x.Grad(), shortcut.Grad(), weight.Grad(), bias.Grad(), mean, variance}
		}},
		{"resslt::normalize_pixels", 1e-3, func(d Device, t DType) []*Tensor {
			r, px := rand.New(rand.NewPCG(9, 1)), make([]byte, 3*7*7*3)
			for i := range px {
				px[i] = byte(r.Uint32())
			}
			x, scale, shift := FromUint8(px, 3, 7, 7, 3), [3]float64{0.01, 0.02, 0.03}, [3]float64{-1, -2, -3}
			if t == Float32 {
				return []*Tensor{NormalizePixels(x.To(d, Unset, false), scale, shift, t)}
			}
			y := x.To(d, t, false)
			for i, plane := range []*Tensor{Select(y, 3, 0), Select(y, 3, 1), Select(y, 3, 2)} {
				Copy_(plane, AddScalar(MulScalar(plane, scale[i]), shift[i], 1), false)
			}
			return []*Tensor{Permute(y, []int64{0, 3, 1, 2})}
		}},
		{"resslt::optim_step", 1e-3, func(d Device, t DType) []*Tensor {
			p, g, v, avg := noise(d, t, 10, 70, 9), noise(d, t, 11, 70, 9), noise(d, t, 12, 70, 9), noise(d, t, 13, 70, 9)
			step := OptimStep{
				Kind: StepSGD, Params: []*Tensor{p}, Grads: []*Tensor{g}, Moments: []*Tensor{v}, Averages: []*Tensor{avg}, Averaged: []int{0},
				Decayed: []int{0}, LR: lr, WeightDecay: decay, Momentum: momentum, Average: m,
			}
			if t == Float64 || !step.Run() {
				v = Add(MulScalar(v, momentum), Add(g, p, decay), 1)
				p = Sub(p, v, lr)
				avg = Add(MulScalar(avg, m), p, 1-m)
			}
			return []*Tensor{p, v, avg}
		}},
	}
}
