package nntest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"resslt/train/nn"
	"resslt/train/torch"
)

// Values are tensors' elements by name.
type Values map[string][]float64

// Take adds the tensor's elements.
func (v Values) Take(name string, t *torch.Tensor) {
	v[name] = t.Detach().To(torch.CPU, torch.Float64, false).Float64s()
}

// Gradients adds every parameter's gradient as prefix and its name, and drops it.
func (v Values) Gradients(prefix string, m nn.Module) {
	for _, p := range nn.Parameters(m) {
		v.Take(prefix+p.Name, p.Tensor.Grad())
		p.Tensor.SetGrad(nil)
	}
}

// Factor is how much larger the error of an fp32 evaluation may be than a reference's. A
// sum of n terms that is rounded after each has an error of √n roundings; a kernel may
// keep from one to 16 partial sums (the lanes of SSE to AVX-512), so that its chains are
// up to 16 times shorter and its error √16 times smaller. Which of the two is the
// reference depends on the machine.
const Factor = 4

// Reference is the error of a reference program in fp32 relative to the truth: how much
// of a deviation is due to fp32 on this CPU, and not a fault.
type Reference struct {
	truth   Values
	allowed map[string]float64 // largest relative error of each tensor
	scale   map[string]float64 // length of each true tensor, at least a fraction of the largest
	worst   float64            // largest error of a reference's tensor
}

// Unit is fp32's unit roundoff: the largest relative error of storing a number.
const Unit = 0x1p-24

// NewReference measures the error of fp32 evaluations relative to truth, which has the
// same names and sizes and was computed in float64. The error of a tensor is
// ‖a−truth‖ / ‖truth‖. It may be Factor times that of the worst evaluation, or Factor
// times the root mean square over all tensors of the evaluations: for a few elements the
// errors of two evaluations may have any ratio, for the whole computation they may not.
func NewReference(tb testing.TB, truth Values, evaluations ...Values) *Reference {
	tb.Helper()
	return newReference(tb, Unit, truth, evaluations)
}

// NewReference64 is NewReference for evaluations in float64.
func NewReference64(tb testing.TB, truth Values, evaluations ...Values) *Reference {
	tb.Helper()
	return newReference(tb, 0x1p-53, truth, evaluations)
}

func newReference(tb testing.TB, floor float64, truth Values, evaluations []Values) *Reference {
	tb.Helper()
	r := &Reference{truth: truth, allowed: map[string]float64{}, scale: map[string]float64{}}
	var greatest float64
	for _, v := range truth {
		greatest = max(greatest, rms(v, nil))
	}
	own := map[string]float64{}
	var squares, n float64
	for name, v := range truth {
		// The gradient of a bias before a batch norm is rounding error alone: large terms
		// that cancel. It counts as a hundredth of the largest tensor.
		r.scale[name] = max(rms(v, nil), 0.01*greatest)
		for i, e := range evaluations {
			if len(e) != len(truth) {
				tb.Fatalf("reference %d has %d tensors, the truth %d", i, len(e), len(truth))
			}
			d := r.err(name, e[name])
			own[name] = max(own[name], d)
			squares, n = squares+d*d, n+1
		}
		r.worst = max(r.worst, own[name])
	}
	// A rounding to bf16 has an error of up to 2⁻⁹: a reference with half that error is no
	// more precise than bf16, and might be bf16 by mistake, as might what it judges.
	if r.worst > 0x1p-10 {
		tb.Errorf("a reference is off by %.2g: it can no longer tell fp32 from bf16", r.worst)
	}
	common := math.Sqrt(squares / max(1, n))
	for name, d := range own {
		r.allowed[name] = Factor * max(d, common, floor)
	}
	return r
}

// Times is r for an algorithm whose error is so many times that of a plain sum.
func (r *Reference) Times(n float64) *Reference {
	out := *r
	out.allowed = map[string]float64{}
	for name, d := range r.allowed {
		out.allowed[name] = n * d
	}
	return &out
}

// err is the relative error of a tensor, +Inf if it has another size or is not finite.
func (r *Reference) err(name string, v []float64) float64 {
	if len(v) != len(r.truth[name]) {
		return math.Inf(1)
	}
	d := rms(v, r.truth[name])
	if math.IsNaN(d) {
		return math.Inf(1)
	}
	if r.scale[name] == 0 {
		return d
	}
	return d / r.scale[name]
}

// Check fails the test with the first few tensors whose error is too large, and logs how
// close the worst one comes.
func (r *Reference) Check(tb testing.TB, what string, got Values) {
	tb.Helper()
	if len(got) != len(r.truth) {
		tb.Errorf("%s has %d tensors, the truth %d", what, len(got), len(r.truth))
	}
	var bad []string
	var worst, of float64
	var where string
	for _, name := range slices.Sorted(maps.Keys(r.truth)) {
		d := r.err(name, got[name])
		if d/r.allowed[name] > of || where == "" {
			worst, of, where = d, d/r.allowed[name], name
		}
		if !(d <= r.allowed[name]) {
			bad = append(bad, fmt.Sprintf("%s errs by %.2g, may by %.2g", name, d, r.allowed[name]))
		}
	}
	tb.Logf("%s: worst is %s, %.2g of %.2g; a reference errs by up to %.2g", what, where, worst, r.allowed[where], r.worst)
	if len(bad) > 0 {
		tb.Errorf("%s: %d of %d tensors err too much: %s", what, len(bad), len(r.truth), strings.Join(bad[:min(4, len(bad))], "; "))
	}
}

// rms is the root mean square of a−b; a nil b is zero.
func rms(a, b []float64) float64 {
	var s float64
	for i, v := range a {
		if b != nil {
			v -= b[i]
		}
		s += v * v
	}
	return math.Sqrt(s / float64(max(1, len(a))))
}

// Nudge changes every element by one unit in the last place, up or down by a hash of
// name: the least by which another correct program would differ.
func Nudge(name string, x *torch.Tensor) {
	ulp := 0x1p-23
	if x.DType() == torch.Float64 {
		ulp = 0x1p-52
	}
	signs := Formula("nudge "+name, int(x.Numel()), 1, 0)
	by := make([]float64, len(signs))
	for i, s := range signs {
		by[i] = 1 + math.Copysign(ulp, float64(s))
	}
	torch.NoGrad(func() {
		torch.ScopeDo(func() { torch.Mul_(x, torch.FromFloat64(by, x.Shape()...).To(x.Device(), x.DType(), false)) })
	})
}

// HalfError is the error of this machine's bf16 convolution of so many channels, divided
// by that of rounding the exact result to bf16: 1 for a kernel that sums in fp32, as
// oneDNN's do, more for one that rounds its sums to bf16 after each term, as that of
// libtorch 1.13 does. Call it after BFloat16, inside torch.Do.
func HalfError(channels int64) (times float64) {
	torch.ScopeDo(func() {
		half := func(x *torch.Tensor) *torch.Tensor { return x.To(torch.CPU, torch.BFloat16, false) }
		wide := func(x *torch.Tensor) *torch.Tensor { return x.To(torch.CPU, torch.Float64, false) }
		one := []int64{1, 1}
		x := half(FormulaTensor("half x", 1, 0, 4, channels, 6, 6))
		w := half(FormulaTensor("half w", 1, 0, channels, channels, 3, 3))
		exact := torch.Conv2d(wide(x), wide(w), nil, one, one, one, 1)
		got, truth := wide(torch.Conv2d(x, w, nil, one, one, one, 1)).Float64s(), exact.Float64s()
		times = rms(got, truth) / rms(wide(half(exact)).Float64s(), truth)
	})
	return max(1, times)
}

// Kinks are the inputs of a computation's ReLUs through which a gradient flows, in
// order. In other ReLUs a change of sign has an effect as small as its cause.
type Kinks [][]float64

// SeeKinks runs fn and collects the inputs of those ReLUs.
func SeeKinks(fn func()) (k Kinks) {
	torch.Watch(func(op string, x *torch.Tensor) {
		if strings.HasPrefix(op, "aten::relu") && x.RequiresGrad() {
			torch.ScopeDo(func() { k = append(k, x.Detach().To(torch.CPU, torch.Float64, false).Float64s()) })
		}
	}, fn)
	return k
}

// Margin is the smallest |x| among them.
func (k Kinks) Margin() float64 {
	least := math.Inf(1)
	for _, x := range k {
		for _, v := range x {
			least = min(least, math.Abs(v))
		}
	}
	return least
}

// Clear fails the test if an input of a ReLU could have another sign in fp32 than in
// float64: for each ReLU the distance from zero must be more than twice the largest
// error in fp32. The gradient jumps when the sign changes, so no rounding bound holds.
func (k Kinks) Clear(tb testing.TB, what string, fp32 Kinks) {
	tb.Helper()
	if len(k) == 0 || len(k) != len(fp32) {
		tb.Fatalf("%s: %d ReLUs in float64, %d in fp32", what, len(k), len(fp32))
	}
	nearest := math.Inf(1)
	for i := range k {
		var off float64
		for j, v := range fp32[i] {
			off = max(off, math.Abs(v-k[i][j]))
		}
		margin := Kinks{k[i]}.Margin()
		if nearest = min(nearest, margin/off); !(margin > 2*off) {
			tb.Errorf("%s: ReLU %d has an input of %.2g, and fp32 is off by up to %.2g", what, i, margin, off)
		}
	}
	tb.Logf("%s: no input of %d ReLUs is closer to zero than %.2g, %.0f times fp32's error", what, len(k), k.Margin(), nearest)
}
