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

// Factor is by how much an fp32 evaluation may be less exact than a reference's. A sum
// of n terms that is rounded after each errs by √n roundings; a kernel may hold from one
// to 16 partial sums of it (the lanes of SSE to AVX-512), so that its chains are up to
// 16 times shorter and it errs √16 times less. Which of the two is the reference is
// the machine's choice.
const Factor = 4

// Reference is what a reference program's own fp32 makes of a computation, against the
// truth: how much of a deviation is fp32's, on this CPU, and no fault.
type Reference struct {
	truth   Values
	allowed map[string]float64 // greatest relative error of each tensor
	scale   map[string]float64 // length of each tensor of truth, at least a part of the greatest's
	worst   float64            // greatest error of a reference's tensor
}

// Unit is fp32's unit roundoff: what storing a number costs at most, relatively.
const Unit = 0x1p-24

// NewReference measures the fp32 evaluations against truth, which has the same names
// and sizes and was computed in float64. Errors are lengths: ‖a−truth‖ / ‖truth‖ of each
// tensor. A tensor may err Factor times as much as the worst evaluation's does, or as
// the evaluations' tensors do in the root of the mean of squares: of a few elements two
// evaluations may have errors of any ratio, of the whole computation not.
func NewReference(tb testing.TB, truth Values, evaluations ...Values) *Reference {
	tb.Helper()
	return newReference(tb, Unit, truth, evaluations)
}

// NewReference64 is NewReference of evaluations in float64.
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
		// A bias that a batch norm takes off again has a gradient of rounding alone: of sums
		// of large terms that leave nothing. It counts as a hundredth of the greatest tensor.
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
	// A rounding to bf16 costs up to 2⁻⁹: a reference that is half as far off has no more
	// digits than bf16's, and could be bf16 by mistake, as what it is to judge could be.
	if r.worst > 0x1p-10 {
		tb.Errorf("a reference is off by %.2g: it tells fp32 from bf16 no more", r.worst)
	}
	common := math.Sqrt(squares / max(1, n))
	for name, d := range own {
		r.allowed[name] = Factor * max(d, common, floor)
	}
	return r
}

// err is the relative error of a tensor, +Inf for one of another size or not finite.
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

// Check fails the test by the first few tensors that err more than they may, and logs
// how near the worst comes.
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

// rms is the root of the mean of (a−b)², b being zero where nil.
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

// Nudge moves every element by one unit in its last place, up or down by a hash of name:
// what another correct program would differ by at least.
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

// Native runs fn without oneDNN, if off: convolutions are libtorch's own, over BLAS. It
// is a second program for the same fp32 computation, which sums in another order. Inside
// torch.Do.
func Native(off bool, fn func()) {
	if off {
		defer torch.SetOneDNN(torch.SetOneDNN(false))
	}
	fn()
}

// HalfError is how much further off one of this machine's bf16 convolutions of so many
// channels is than a rounding of its exact result to bf16: 1 for a kernel that sums in
// fp32, as oneDNN's do, more for one that rounds its sums to bf16 term after term, as
// libtorch 1.13's own does. After BFloat16; inside torch.Do.
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

// Kinks are the inputs of the ReLUs of a computation, in order: of those through which a
// gradient flows. Elsewhere a change of sides is as small as its cause.
type Kinks [][]float64

// SeeKinks runs fn and keeps what goes into those ReLUs.
func SeeKinks(fn func()) (k Kinks) {
	torch.Watch(func(op string, x *torch.Tensor) {
		if strings.HasPrefix(op, "aten::relu") && x.RequiresGrad() {
			torch.ScopeDo(func() { k = append(k, x.Detach().To(torch.CPU, torch.Float64, false).Float64s()) })
		}
	}, fn)
	return k
}

// Margin is the least |x| among them.
func (k Kinks) Margin() float64 {
	least := math.Inf(1)
	for _, x := range k {
		for _, v := range x {
			least = min(least, math.Abs(v))
		}
	}
	return least
}

// Clear fails the test unless no ReLU can take another side in fp32 than in float64:
// each one's inputs keep further from zero than twice what fp32's differ by at most. A
// gradient jumps where a ReLU changes sides, and no bound on rounding holds there.
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
	tb.Logf("%s: no input of %d ReLUs is nearer to zero than %.2g, %.0f times what fp32 is off by", what, len(k), k.Margin(), nearest)
}
