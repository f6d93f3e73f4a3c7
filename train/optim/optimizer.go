package optim

import (
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// The optimisers.
const (
	SGD  = "sgd"
	LARS = "lars"
)

// Options are an optimiser's constants; a recipe has the values. The learning rate is an
// argument of Step.
type Options struct {
	Kind        string  // SGD or LARS; default SGD
	Momentum    float64 // μ; 0 means no momentum
	WeightDecay float64 // λ
	Nesterov    bool    // SGD only; needs momentum
	Eta         float64 // η of LARS; default 0.001
	// DecayMatricesOnly excludes parameters of one dimension, batch norm's and biases,
	// from SGD's weight decay, as LARS always does.
	DecayMatricesOnly bool
}

func (o Options) applyDefaults() Options {
	if o.Kind == "" {
		o.Kind = SGD
	}
	if o.Eta == 0 {
		o.Eta = 0.001
	}
	return o
}

// Validate returns an error wrapping errs.ErrUsage that names the field.
func (o Options) Validate() error {
	o = o.applyDefaults()
	bad := func(field, why, hint string) error {
		return errs.New("optimiser option", field, hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case o.Kind != SGD && o.Kind != LARS:
		return bad("optimizer", fmt.Sprintf("is %q", o.Kind), "use sgd or lars")
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
	}
	return nil
}

// Optimizer updates a fixed list of parameters. Its methods run inside torch.Do.
type Optimizer struct {
	opts    Options
	params  []*torch.Tensor
	names   []string
	buffers []*torch.Tensor // v of each parameter, nil without momentum

	// matrices are the indices of the parameters of two or more dimensions, which LARS
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
			if p.Tensor.Dim() > 1 {
				opt.matrices = append(opt.matrices, i)
			}
			if o.Momentum > 0 {
				// In the parameter's memory order, so that foreach takes its fast path.
				v := torch.ZerosLike(p.Tensor)
				opt.buffers = append(opt.buffers, v.Keep())
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return opt, nil
}

// Step updates every parameter by its gradient, which it overwrites. It returns an error
// that wraps errs.ErrUsage if a parameter has no gradient.
func (o *Optimizer) Step(lr float64) error {
	return torch.Do(func() error {
		var err error
		torch.NoGrad(func() { torch.ScopeDo(func() { err = o.step(lr) }) })
		return err
	})
}

func (o *Optimizer) step(lr float64) error {
	grads := make([]*torch.Tensor, len(o.params))
	for i, p := range o.params {
		if grads[i] = p.Grad(); grads[i] == nil {
			return errs.New("optimiser step", o.names[i], "use every parameter in the loss",
				errs.Because(errs.ErrUsage, "it has no gradient"))
		}
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
	return nil
}

// decay adds λw to the gradients of the parameters that decay.
func (o *Optimizer) decay(grads []*torch.Tensor) {
	if o.opts.WeightDecay == 0 {
		return
	}
	params := o.params
	if o.opts.Kind == LARS || o.opts.DecayMatricesOnly {
		params, grads = o.pick(o.params), o.pick(grads)
	}
	if len(params) > 0 {
		torch.ForeachAddList_(grads, params, o.opts.WeightDecay)
	}
}

// pick selects the matrices' tensors from a list for all parameters.
func (o *Optimizer) pick(all []*torch.Tensor) []*torch.Tensor {
	out := make([]*torch.Tensor, len(o.matrices))
	for i, j := range o.matrices {
		out[i] = all[j]
	}
	return out
}

// adapt is LARS (You, Gitman, Ginsburg 2017) as in the code of MoCo v3 and BYOL: it scales
// each layer's decayed gradient to η times the norm of its weights, η·‖w‖/‖g + λw‖; the
// paper has η·‖w‖/(‖g‖ + λ‖w‖). A layer with zero weights or gradient keeps its gradient.
// Norms stay on the device, without synchronisation.
func (o *Optimizer) adapt(grads []*torch.Tensor) {
	w, g := o.pick(o.params), o.pick(grads)
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

// State lists the momentum buffers as "momentum.<parameter>", the complete state for a
// checkpoint. The tensors are the optimiser's own.
func (o *Optimizer) State() []nn.Named {
	var out []nn.Named
	for i, v := range o.buffers {
		out = append(out, nn.Named{Name: "momentum." + o.names[i], Tensor: v})
	}
	return out
}

// Free releases the buffers.
func (o *Optimizer) Free() {
	for _, v := range o.buffers {
		v.Free()
	}
	o.buffers = nil
}
