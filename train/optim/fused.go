package optim

import "resslt/train/torch"

// fused is the step of SGD and LARS in one pass over memory, with the averages. It reports false,
// and has moved nothing, where the kernel does not take the tensors.
func (o *Optimizer) fused(grads []*torch.Tensor, lr float64, a Averages) bool {
	s := torch.OptimStep{
		Kind: torch.StepSGD, Params: o.params, Grads: grads, Moments: o.buffers, LR: lr, WeightDecay: o.opts.WeightDecay,
		Momentum: o.opts.Momentum, Nesterov: o.opts.Nesterov, Eta: o.opts.Eta, First: 1, Second: 1, Average: a.M,
	}
	if o.opts.Kind == LARS {
		s.Kind = torch.StepLARS
	}
	s.Decayed = o.matrices
	if o.opts.Kind != LARS && !o.opts.DecayMatricesOnly {
		s.Decayed = nil
		for i := range o.params {
			s.Decayed = append(s.Decayed, i)
		}
	}
	s.Averages, s.Averaged = a.list()
	return s.Run()
}

// fusedAdam is AdamW's.
func (o *Optimizer) fusedAdam(grads []*torch.Tensor, lr, first, second float64, a Averages) bool {
	s := torch.OptimStep{
		Kind: torch.StepAdamW, Params: o.params, Grads: grads, Moments: o.buffers, Seconds: o.adamw.second,
		Scales: make([]float64, len(o.params)), LR: lr, WeightDecay: o.opts.WeightDecay, Momentum: o.opts.Beta1, Beta2: o.opts.Beta2,
		First: first, Second: second, Eps: o.opts.Eps, Average: a.M,
	}
	for _, g := range o.groups {
		for _, p := range g.all {
			s.Scales[p] = g.scale
		}
		s.Decayed = append(s.Decayed, g.decayed...)
	}
	s.Averages, s.Averaged = a.list()
	return s.Run()
}

// list are the averages that there are, and the numbers of their parameters.
func (a Averages) list() (averages []*torch.Tensor, which []int) {
	for p, t := range a.Of {
		if t != nil {
			averages, which = append(averages, t), append(which, p)
		}
	}
	return averages, which
}
