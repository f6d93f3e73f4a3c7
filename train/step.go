package train

import (
	"resslt/train/objective"
	"resslt/train/torch"
)

// step updates everything once, in the order of the paper's section 3. The lines name its
// equations where they are computed, for ReSSL:
//
//	p¹ = softmax(z¹·Qᵀ/τ_s)                       (3)  objective/ressl.go, Loss
//	p² = softmax(z²·Qᵀ/τ_t)                       (4)  objective/ressl.go, Targets
//	H(p², p¹) = −Σ_i p²_i·log p¹_i                (5)  objective/ressl.go, Loss
//	F_t, g_t ← m·(F_t, g_t) + (1−m)·(F_s, g_s)    (6)  momentumUpdate, below
//	L = α·H(p², p¹) + (1−α)·InfoNCE(z¹, z², Q)    (7)  objective/ressl.go, Loss
//
// Other objectives put their own terms into the same frame.
func (l *Learner) step(v views, h Hyper, sum *tally) (err error) {
	gradients := l.gradients
	if sum.async && l.graphs.off == "" {
		gradients = l.graphs.gradients // the same, replayed as a CUDA graph
	}
	if h.Refresh {
		l.state.renew(func(name string) *torch.Tensor { return l.order(h.Step, name) })
	}
	var all []collected
	for micro := range l.config.Accumulate { // all see Q as it was before the step
		b, part := l.batch(v, h), v.part(micro, l.config.Accumulate)
		b.Samples = l.samples(h.Samples, micro, part.rows())
		b.Draws = l.draws(h, micro, part.rows())
		c, err := gradients(part, b, drawKey{h.Step, micro}, sum)
		if err != nil {
			l.zeroGrad()
			return err
		}
		all = append(all, c)
	}
	l.timers.span(phaseBackward, func() { l.parallel.reduce(l.student, l.averages(), l.state) })
	l.timers.span(phaseOptimizer, func() { err = l.update(h, all) })
	return err
}

// update moves everything that a step moves, by the gradients and by what its micro-batches
// have collected.
func (l *Learner) update(h Hyper, all []collected) error {
	if h.WeightDecay > 0 {
		l.opt.SetWeightDecay(h.WeightDecay)
		l.state.setWeightDecay(h.WeightDecay)
	}
	followed, err := l.opt.StepWith(h.LR, l.teacher.averages(h.Momentum)) // student ← optimiser(student, ∇L), and (6) in the same pass
	if err != nil {
		return err
	}
	l.opt.ZeroGrad()
	if err := l.state.step(h); err != nil {
		return err
	}
	batch := l.parallel.gather(all)
	for _, t := range l.averages() {
		if t != l.teacher || !followed {
			t.follow(h.Momentum) // (6)
		}
	}
	l.state.follow(h.Momentum, batch.rows) // (6), and what the objective keeps
	l.queue.enqueue(batch.keys)            // Q ← Q without its oldest keys, with z²
	return nil
}

// averages are the networks that follow the student, and a frozen teacher, which does not.
func (l *Learner) averages() (out []*teacher) {
	for _, t := range []*teacher{l.teacher, l.keys} {
		if t != nil {
			out = append(out, t)
		}
	}
	return out
}

// zeroGrad drops every gradient.
func (l *Learner) zeroGrad() {
	l.opt.ZeroGrad()
	l.state.zeroGrad()
}

// gradients adds a micro-batch's gradients to the student's and the objective's, pass by
// pass, and gives what is to be collected of it.
func (l *Learner) gradients(v views, b objective.Batch, d drawKey, sum *tally) (collected, error) {
	return scoped(func() (c collected, err error) {
		b.Side = v.student[0].Size(1)
		var z2, keys []*torch.Tensor
		var t objective.Targets
		l.teacherStream.run(func() {
			l.timers.span(phaseTeacher, func() {
				z2 = l.teacher.embed(v.teacher, d) // z² = normalise(g_t(F_t(weak)))
				keys = l.keys.embed(v.keys(l.parts.KeyViews), d)
			})
			b.Keys = l.parallel.wholeRows(keys)
			t = l.criterion.targets(b, l.parallel.wholeRows(z2)) // (4)
		})
		c.rows = t.Rows
		v.student = l.criterion.shown(b, v.student)
		for i, views := range v.passes(l.parts.Coupled) {
			b.View = i
			pass, err := scoped(func() (collected, error) {
				f := l.forward(views, b, t, sum) // L
				if err := sum.add(l.parallel.mean(f.loss, f.description)); err != nil {
					return collected{}, err // a loss that is not finite ends the run here
				}
				l.timers.span(phaseBackward, func() { f.backward(l.parallel) }) // ∇L
				return collected{f.keys(), f.rows}, nil
			})
			if err != nil {
				return collected{}, err
			}
			if i == 0 {
				c.keys = pass.keys
			}
			c.rows = append(c.rows, pass.rows...)
		}
		switch l.parts.Queue {
		case objective.TeacherKeys:
			c.keys = z2
		case objective.EncoderKeys:
			c.keys = keys
		}
		return c, nil
	})
}

// forward is one pass of the student, of one view or of a pair that the objective couples.
// What backward does not need is freed.
func (l *Learner) forward(views []*torch.Tensor, b objective.Batch, t objective.Targets, sum *tally) (f forward) {
	torch.ScopeN(func() []*torch.Tensor {
		var z1 []objective.Embedding
		l.timers.span(phaseStudent, func() { z1, f.tapes = l.student.embed(views) }) // z¹ = normalise(q(g_s(F_s(strong))))
		if l.parts.Queue == objective.StudentKeys {
			f.z1 = z1[0].Z.Detach()
		}
		z1 = l.parallel.wholeBatch(z1)
		l.teacherStream.join()
		l.criterion.loss(b, z1, t, sum, &f) // (3), (5), (7)
		return f.tensors()
	})
	return f
}

// momentumUpdate is equation 6 for whole lists of parameters, of equal length and shapes:
// teacher ← m·teacher + (1−m)·student. Batch norm's buffers are no part of them: the
// teacher keeps statistics of its own. It runs inside torch.Do.
func momentumUpdate(teacher, student []*torch.Tensor, m float64) {
	torch.NoGrad(func() {
		// 1.13 has no _foreach_lerp_.
		torch.ForeachMulScalar_(teacher, m)
		torch.ForeachAddList_(teacher, student, 1-m)
	})
}

// checkStep refuses what a step cannot take, before anything moves: a forward pass changes
// running statistics.
func (l *Learner) checkStep(v views, h Hyper) error {
	if err := l.checkViews(v); err != nil {
		return err
	}
	if err := l.checkLabels(h.Labels, v.rows()); err != nil {
		return err
	}
	return l.checkIDs(h.Samples, v.rows())
}

// Hyper is what a step takes besides views: what the schedules give for it, and whose pixels
// they are.
type Hyper struct {
	LR       float64 // learning rate
	Momentum float64 // m of equation 6
	Alpha    float64 // α of equation 7, or of the objective's own ramp; 1 after it
	// WeightDecay is λ; 0 is that of the optimiser's options.
	WeightDecay float64
	Hold        bool  // the objective's parameters stay as they are, unless they have an optimiser of their own
	Step        int64 // number of the step, from 0: keys what is drawn in it
	Refresh     bool  // the objective makes again what it does so now and then, before the step (objective.Refresher)
	// Samples are those whose pixels this rank's rows have, (B) by their ids in the run's data
	// set; only an objective that is keyed by sample reads them.
	Samples []int64
	// Labels are the classes of this rank's rows, schemas.NoLabel where a sample shows none, of an
	// objective that asks for them (objective.Parts.Labels).
	Labels []int32
	// Stats asks for the step's statistics: of steps that are logged.
	Stats bool
}

// Step updates everything once and gives the step's statistics, zero where Hyper.Stats is
// false. teacher and student are the views of Views, each (B,S,S,3) uint8 of one B, S free
// by view; they stay the caller's.
//
// An error wraps errs.ErrUsage for views of wrong number or shape, and then nothing has
// moved; errs.ErrDiverged for a loss that is not finite, and then no weight, key or
// momentum has moved, though running statistics have. After any other error, an
// operator's (memory), the state is inconsistent: load a checkpoint.
func (l *Learner) Step(teacher, student []*torch.Tensor, h Hyper) (s Stats, err error) {
	v, sum := views{teacher, student}, tally{}
	err = torch.Do(func() error {
		if err := l.checkStep(v, h); err != nil {
			return err
		}
		var err error
		torch.ScopeDo(func() {
			l.stream.Inside(func() { err = l.step(v, h, &sum) })
		})
		return err
	})
	if err != nil || !h.Stats {
		return Stats{}, err
	}
	return sum.stats(), nil
}
