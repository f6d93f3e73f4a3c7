package train

import (
	"slices"

	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/torch"
)

// state are the tensors that the objective has of its own (objective.Tensor), with the
// optimiser of those that are parameters. An objective without any has an empty one. They
// live in the root scope until free.
type state struct {
	tensors objective.State
	named   []nn.Named // in order of their declaration, averages behind their tensor

	params            []nn.Named       // of named, those that the optimiser moves
	opt               *optim.Optimizer // nil without params
	group             objective.Group  // how it moves them
	average, averaged []*torch.Tensor  // the teacher's side, and what it follows

	update  func(objective.State, []*torch.Tensor)                 // the objective's own move; nil: none
	refresh func(objective.State, func(name string) *torch.Tensor) // what it makes again; nil: nothing
}

// newState makes what the objective declares. Values depend on the seed and the tensor's
// name alone, so that ranks agree.
func newState(o objective.Objective, c Config) (*state, error) {
	p := o.Parts()
	s := &state{tensors: objective.State{}, group: p.Group}
	if u, ok := o.(objective.Updater); ok {
		s.update = u.Update
	}
	if r, ok := o.(objective.Refresher); ok {
		s.refresh = r.Refresh
	}
	for _, d := range p.State {
		t := start(d, c)
		s.add(d.Name, t)
		if d.Averaged {
			average := torch.Clone(t).Keep()
			s.add(objective.AverageOf(d.Name), average)
			s.average, s.averaged = append(s.average, average), append(s.averaged, t)
		}
		if d.Parameter {
			t.SetRequiresGrad(true)
			s.params = append(s.params, nn.Named{Name: statePrefix + d.Name, Tensor: t})
		}
	}
	if s.params == nil {
		return s, nil
	}
	options := c.Optimizer
	if own := p.Group.Own; own != nil {
		options = optim.Options{Momentum: c.Optimizer.Momentum, WeightDecay: own.WeightDecay}
	}
	var err error
	s.opt, err = optim.New(s.params, options)
	return s, err
}

// statePrefix is what an objective's tensors are called by in the learner's state.
const statePrefix = "objective."

func start(d objective.Tensor, c Config) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		if d.Start == objective.UnitRows {
			data := nn.Random(c.Seed, statePrefix+d.Name).UnitVectors(int(d.Shape[0]), int(d.Shape[1]))
			return torch.FromFloat32(data, d.Shape...).To(c.Device, c.dtype(), false)
		}
		if d.Whole {
			return torch.Zeros(d.Shape, torch.Int64, c.Device)
		}
		return torch.Zeros(d.Shape, c.dtype(), c.Device)
	}).Keep()
}

func (s *state) add(name string, t *torch.Tensor) {
	s.tensors[name] = t
	s.named = append(s.named, nn.Named{Name: statePrefix + name, Tensor: t})
}

// step moves the parameters by their gradients, or drops these while the parameters are held.
func (s *state) step(h Hyper) error {
	if s.opt == nil {
		return nil
	}
	lr, hold := h.LR, h.Hold && !s.group.Free
	if own := s.group.Own; own != nil {
		lr, hold = own.LR, h.Alpha < 1
	}
	if !hold {
		if s.group.Climb {
			s.turn()
		}
		if err := s.opt.Step(lr); err != nil {
			return err
		}
	}
	s.opt.ZeroGrad()
	return nil
}

// turn turns the parameters' gradients about. Weight decay, which the optimiser adds, keeps
// its sign.
func (s *state) turn() {
	torch.NoGrad(func() {
		for _, p := range s.params {
			if g := p.Tensor.Grad(); g != nil {
				torch.MulScalar_(g, -1)
			}
		}
	})
}

// setWeightDecay changes λ for the steps that follow, where it is the network's.
func (s *state) setWeightDecay(decay float64) {
	if s.opt != nil && s.group.Own == nil {
		s.opt.SetWeightDecay(decay)
	}
}

// follow moves the averages by equation 6, and then the objective its state by the step's
// rows.
func (s *state) follow(m float64, rows []*torch.Tensor) {
	if len(s.average) > 0 {
		momentumUpdate(s.average, s.averaged, m)
	}
	if s.update != nil {
		torch.NoGrad(func() { torch.ScopeDo(func() { s.update(s.tensors, rows) }) })
	}
}

// renew has the objective make again what it does so now and then.
func (s *state) renew(order func(name string) *torch.Tensor) {
	if s.refresh != nil {
		torch.NoGrad(func() { torch.ScopeDo(func() { s.refresh(s.tensors, order) }) })
	}
}

// zeroGrad drops the parameters' gradients.
func (s *state) zeroGrad() {
	if s.opt != nil {
		s.opt.ZeroGrad()
	}
}

// optimizer lists the momentum buffers.
func (s *state) optimizer() []nn.Named {
	if s.opt == nil {
		return nil
	}
	return s.opt.State()
}

// free releases everything. A nil one, of a learner that could not be built, has nothing.
func (s *state) free() {
	if s == nil {
		return
	}
	for _, n := range s.named {
		n.Tensor.Free()
	}
	if s.opt != nil {
		s.opt.Free()
	}
}

// collected is what a micro-batch leaves for after the step: keys for the queue, (B,D) of
// each view that gives any, and the objective's rows.
type collected struct{ keys, rows []*torch.Tensor }

func (c collected) tensors() []*torch.Tensor { return slices.Concat(c.keys, c.rows) }

// keep takes the tensors out of all scopes.
func (c collected) keep() collected {
	for _, t := range c.tensors() {
		t.Keep()
	}
	return c
}

// free releases what keep has kept.
func (c collected) free() {
	for _, t := range c.tensors() {
		t.Free()
	}
}
