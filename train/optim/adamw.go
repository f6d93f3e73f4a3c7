package optim

import (
	"encoding/binary"
	"math"
	"slices"

	"resslt/train/torch"
)

// adamw is what AdamW keeps besides the first moments, which are the momentum buffers.
type adamw struct {
	second []*torch.Tensor // mean of g², one a parameter
	steps  *torch.Tensor   // () int64 on the CPU: updates made, for the moments' bias
}

func newAdamW(params []*torch.Tensor) *adamw {
	a := &adamw{steps: torch.FromInt64([]int64{0}).Keep()}
	for _, p := range params {
		a.second = append(a.second, torch.ZerosLike(p).Keep())
	}
	return a
}

// adam is AdamW's update (Loshchilov and Hutter 2017, arXiv 1711.05101, algorithm 2 with the
// learning rate as PyTorch has it, in the decay too):
//
//	w ← w − lr·λ·w
//	m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
//	w ← w − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
//
// Parameters of one learning rate are updated together. It reports whether kernels have moved the
// averages, too.
func (o *Optimizer) adam(grads []*torch.Tensor, lr float64, a Averages) (moved bool) {
	t := o.adamw.steps.Int64s()[0] + 1
	o.adamw.steps.CopyFrom(binary.NativeEndian.AppendUint64(nil, uint64(t)))
	b1, b2 := o.opts.Beta1, o.opts.Beta2
	first, second := 1-power(b1, t), math.Sqrt(1-power(b2, t))
	if o.opts.Kernels && o.fusedAdam(grads, lr, first, second, a) {
		return true
	}
	for _, g := range o.groups {
		lr := lr * g.scale
		w, m, v, d := pick(o.params, g.all), pick(o.buffers, g.all), pick(o.adamw.second, g.all), pick(grads, g.all)
		if decayed := pick(o.params, g.decayed); len(decayed) > 0 && o.opts.WeightDecay > 0 {
			torch.ForeachMulScalar_(decayed, 1-float64(lr*o.opts.WeightDecay))
		}
		torch.ForeachMulScalar_(m, b1)
		torch.ForeachAddList_(m, d, 1-b1)
		torch.ForeachMulScalar_(v, b2)
		torch.ForeachAddcmulScalar_(v, d, d, 1-b2)
		root := torch.ForeachSqrt(v)
		torch.ForeachDivScalar_(root, second)
		torch.ForeachAddScalar_(root, o.opts.Eps)
		torch.ForeachAddcdivScalar_(w, m, root, -lr/first)
	}
	return false
}

// power is b to the t-th, t ≥ 0, by products alone, which are the same on every machine.
func power(b float64, t int64) float64 {
	p := 1.0
	for ; t > 0; t >>= 1 {
		if t&1 == 1 {
			p = float64(p * b)
		}
		b = float64(b * b)
	}
	return p
}

// group is the parameters of one learning rate.
type group struct {
	scale   float64 // of the learning rate
	all     []int
	decayed []int // those of them that decay
}

// newGroups divides the parameters by the scale of their learning rate.
func newGroups(names []string, matrices []int, o Options) []group {
	scales := layerScales(names, o.LayerDecay)
	var out []group
	for i, s := range scales {
		at := slices.IndexFunc(out, func(g group) bool { return g.scale == s })
		if at < 0 {
			at = len(out)
			out = append(out, group{scale: s})
		}
		out[at].all = append(out[at].all, i)
		if !o.DecayMatricesOnly || slices.Contains(matrices, i) {
			out[at].decayed = append(out[at].decayed, i)
		}
	}
	return out
}

// clip scales all gradients so that their common norm is at most max, as
// torch.nn.utils.clip_grad_norm_ does. The norm stays on the device.
func clip(grads []*torch.Tensor, most float64) {
	norms := torch.Stack(torch.ForeachNormScalar(grads, 2), 0)
	norm := torch.LinalgVectorNorm(norms, 2, nil, false, torch.Unset)
	scale := torch.Div(torch.Full(nil, most, norm.DType(), norm.Device()), torch.AddScalar(norm, 1e-6, 1))
	scale = torch.Neg(torch.ClampMin(torch.Neg(scale), -1)) // at most 1
	same := make([]*torch.Tensor, len(grads))
	for i := range same {
		same[i] = scale
	}
	torch.ForeachMulList_(grads, same)
}
