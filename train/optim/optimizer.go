package optim

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// The optimisers.
const (
	SGD   = "sgd"
	LARS  = "lars"
	AdamW = "adamw"
)

// Options are an optimiser's constants; a recipe has the values. The learning rate is an
// argument of Step.
type Options struct {
	Kind        string  // SGD, LARS or AdamW; default SGD
	Momentum    float64 // μ; 0 means no momentum; AdamW has β₁
	WeightDecay float64 // λ
	Nesterov    bool    // SGD only; needs momentum
	Eta         float64 // η of LARS; default 0.001
	// DecayMatricesOnly excludes parameters of one dimension, norms' and biases,
	// from SGD's and AdamW's weight decay, as LARS always does.
	DecayMatricesOnly bool

	Beta1, Beta2 float64 // of AdamW; default 0.9 and 0.999
	Eps          float64 // ε of AdamW; default 1e-8
	// LayerDecay multiplies AdamW's learning rate once for each layer that a layer of the
	// backbone has above it; 0 and 1: none.
	LayerDecay float64
	// Clip bounds the norm of all gradients together; 0: it does not.
	Clip float64
	// Kernels: the device has a kernel for the whole step (torch.OptimStep).
	Kernels bool
}

func (o Options) applyDefaults() Options {
	o.Kind, o.Eta = cmp.Or(o.Kind, SGD), cmp.Or(o.Eta, 0.001)
	o.Beta1, o.Beta2 = cmp.Or(o.Beta1, 0.9), cmp.Or(o.Beta2, 0.999)
	o.Eps, o.LayerDecay = cmp.Or(o.Eps, 1e-8), cmp.Or(o.LayerDecay, 1)
	return o
}

// Validate returns an error wrapping errs.ErrUsage that names the field.
func (o Options) Validate() error {
	o = o.applyDefaults()
	bad := func(field, why, hint string) error {
		return errs.New("optimiser option", field, hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case o.Kind != SGD && o.Kind != LARS && o.Kind != AdamW:
		return bad("optimizer", fmt.Sprintf("is %q", o.Kind), "use sgd, lars or adamw")
	case !(o.Momentum >= 0 && o.Momentum < 1):
		return bad("momentum", fmt.Sprintf("is %v", o.Momentum), "give 0 ≤ momentum < 1")
	case !(o.WeightDecay >= 0 && o.WeightDecay < 1):
		return bad("weight_decay", fmt.Sprintf("is %v", o.WeightDecay), "give 0 ≤ weight decay < 1")
	case !(o.Eta > 0 && o.Eta < 1):
		return bad("eta", fmt.Sprintf("is %v", o.Eta), "give 0 < η < 1")
	case o.Nesterov && o.Kind != SGD:
		return bad("nesterov", "works with sgd only", "turn nesterov off")
	case o.Nesterov && o.Momentum == 0:
		return bad("nesterov", "needs momentum", "give momentum above 0")
	case !(o.Beta1 >= 0 && o.Beta1 < 1):
		return bad("beta1", fmt.Sprintf("is %v", o.Beta1), "give 0 ≤ β₁ < 1")
	case !(o.Beta2 >= 0 && o.Beta2 < 1):
		return bad("beta2", fmt.Sprintf("is %v", o.Beta2), "give 0 ≤ β₂ < 1")
	case !(o.Eps > 0 && o.Eps < 1):
		return bad("eps", fmt.Sprintf("is %v", o.Eps), "give 0 < ε < 1")
	case !(o.LayerDecay > 0 && o.LayerDecay <= 1):
		return bad("layer_decay", fmt.Sprintf("is %v", o.LayerDecay), "give 0 < layer decay ≤ 1")
	case o.LayerDecay < 1 && o.Kind != AdamW:
		return bad("layer_decay", "works with adamw only", "set layer_decay to 1")
	case !(o.Clip >= 0) || math.IsInf(o.Clip, 1):
		return bad("clip_grad", fmt.Sprintf("is %v", o.Clip), "give the largest norm, or 0 for none")
	}
	return nil
}

// Optimizer updates a fixed list of parameters. Its methods run inside torch.Do.
type Optimizer struct {
	opts    Options
	params  []*torch.Tensor
	names   []string
	buffers []*torch.Tensor // v of each parameter, nil without momentum; AdamW's m
	adamw   *adamw          // nil for others
	groups  []group         // AdamW's

	// matrices are the indices of the parameters of two or more dimensions (isMatrix), which LARS
	// adapts and decays; batch norm's and biases have one.
	matrices []int
}

// New makes an optimiser with zero momentum buffers. It does not own params.
func New(params []nn.Named, o Options) (*Optimizer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	opt := &Optimizer{opts: o.applyDefaults(), params: nn.Tensors(params)}
	err := torch.Do(func() error {
		for i, p := range params {
			opt.names = append(opt.names, p.Name)
			if isMatrix(p) {
				opt.matrices = append(opt.matrices, i)
			}
			if o.Momentum > 0 || o.Kind == AdamW {
				// In the parameter's memory order, so that foreach takes its fast path.
				v := torch.ZerosLike(p.Tensor)
				opt.buffers = append(opt.buffers, v.Keep())
			}
		}
		if o.Kind == AdamW {
			opt.adamw = newAdamW(opt.params)
			opt.groups = newGroups(opt.names, opt.matrices, opt.opts)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return opt, nil
}

// isMatrix reports whether a parameter has two or more dimensions. ConvNeXt's layer scale is a
// factor for each channel, whatever torchvision's form of it: in the paper's code it has one.
func isMatrix(p nn.Named) bool {
	return p.Tensor.Dim() > 1 && !strings.HasSuffix(p.Name, ".layer_scale")
}

// Step updates every parameter by its gradient, which it overwrites. It returns an error
// that wraps errs.ErrUsage if a parameter has no gradient.
func (o *Optimizer) Step(lr float64) error {
	_, err := o.StepWith(lr, Averages{})
	return err
}

// Averages are the momentum averages of some parameters: after a step each of them becomes
// m·average + (1−m)·parameter.
type Averages struct {
	Of []*torch.Tensor // one a parameter, nil for none; or nil
	M  float64
}

// StepWith is Step that moves the averages on the way, where a kernel does all of it at once.
// Elsewhere it reports false, and has not touched them.
func (o *Optimizer) StepWith(lr float64, a Averages) (moved bool, err error) {
	err = torch.Do(func() error {
		var err error
		torch.NoGrad(func() { torch.ScopeDo(func() { moved, err = o.step(lr, a) }) })
		return err
	})
	return moved, err
}

func (o *Optimizer) step(lr float64, a Averages) (moved bool, err error) {
	grads := make([]*torch.Tensor, len(o.params))
	for i, p := range o.params {
		if grads[i] = p.Grad(); grads[i] == nil {
			return false, errs.New("optimiser step", o.names[i], "use every parameter in the loss",
				errs.Because(errs.ErrUsage, "it has no gradient"))
		}
	}
	if o.opts.Clip > 0 {
		clip(grads, o.opts.Clip)
	}
	if o.opts.Kind == AdamW {
		return o.adam(grads, lr, a), nil
	}
	if o.opts.Kernels && o.fused(grads, lr, a) {
		return true, nil
	}
	o.decay(grads)
	if o.opts.Kind == LARS {
		o.adapt(grads)
	}
	update := grads
	if o.buffers != nil {
		torch.ForeachMulScalar_(o.buffers, o.opts.Momentum)
		torch.ForeachAddList_(o.buffers, grads, 1)
		if o.opts.Nesterov {
			torch.ForeachAddList_(grads, o.buffers, o.opts.Momentum)
		} else {
			update = o.buffers
		}
	}
	torch.ForeachAddList_(o.params, update, -lr)
	return false, nil
}

// decay adds λw to the gradients of the parameters that decay.
func (o *Optimizer) decay(grads []*torch.Tensor) {
	if o.opts.WeightDecay == 0 {
		return
	}
	params := o.params
	if o.opts.Kind == LARS || o.opts.DecayMatricesOnly {
		params, grads = pick(o.params, o.matrices), pick(grads, o.matrices)
	}
	if len(params) > 0 {
		torch.ForeachAddList_(grads, params, o.opts.WeightDecay)
	}
}

// pick selects from a list for all parameters.
func pick(all []*torch.Tensor, which []int) []*torch.Tensor {
	out := make([]*torch.Tensor, len(which))
	for i, j := range which {
		out[i] = all[j]
	}
	return out
}

// adapt is LARS (You, Gitman, Ginsburg 2017) as in the code of MoCo v3 and BYOL: it scales
// each layer's decayed gradient to η times the norm of its weights, η·‖w‖/‖g + λw‖; the
// paper has η·‖w‖/(‖g‖ + λ‖w‖). A layer with zero weights or gradient keeps its gradient.
// Norms stay on the device, without synchronisation.
func (o *Optimizer) adapt(grads []*torch.Tensor) {
	w, g := pick(o.params, o.matrices), pick(grads, o.matrices)
	if len(w) == 0 {
		return
	}
	wn := torch.Stack(torch.ForeachNormScalar(w, 2), 0) // (layers)
	gn := torch.Stack(torch.ForeachNormScalar(g, 2), 0)
	live := torch.GtScalar(torch.Mul(wn, gn), 0)
	trust := torch.Where(live, torch.Div(torch.MulScalar(wn, o.opts.Eta), gn), torch.OnesLike(wn))
	scale := make([]*torch.Tensor, len(g))
	for i := range scale {
		scale[i] = torch.Select(trust, 0, int64(i))
	}
	torch.ForeachMulList_(g, scale)
}

// ZeroGrad drops every gradient, so that the next backward stores its own
// instead of adding to zeros. It runs inside torch.Do.
func (o *Optimizer) ZeroGrad() {
	for _, p := range o.params {
		p.SetGrad(nil)
	}
}

// SetWeightDecay changes λ for the steps that follow: a schedule's value.
func (o *Optimizer) SetWeightDecay(decay float64) { o.opts.WeightDecay = decay }

// State lists the momentum buffers as "momentum.<parameter>", of AdamW also
// "second.<parameter>" and "steps": the complete state for a checkpoint. The tensors are the optimiser's own.
func (o *Optimizer) State() []nn.Named {
	var out []nn.Named
	for i, v := range o.buffers {
		out = append(out, nn.Named{Name: "momentum." + o.names[i], Tensor: v})
	}
	if o.adamw != nil {
		for i, v := range o.adamw.second {
			out = append(out, nn.Named{Name: "second." + o.names[i], Tensor: v})
		}
		out = append(out, nn.Named{Name: "steps", Tensor: o.adamw.steps})
	}
	return out
}

// Free releases the buffers.
func (o *Optimizer) Free() {
	if o.adamw != nil {
		for _, v := range append(o.adamw.second, o.adamw.steps) {
			v.Free()
		}
		o.adamw = nil
	}
	for _, v := range o.buffers {
		v.Free()
	}
	o.buffers = nil
}
