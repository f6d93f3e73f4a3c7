package train

import (
	"fmt"
	"math"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/torch"
)

// Hyper is what the schedules give for one step.
type Hyper struct {
	LR       float64 // learning rate
	Momentum float64 // m of equation 6
	Alpha    float64 // α of equation 7; 1 after the warm-up
	Step     int64   // number of the step, from 0: keys what is drawn in it
	// Stats asks for the step's statistics. They cost a wait for the device, so
	// only steps that are logged want them.
	Stats bool

	mix *torch.Tensor // α and 1−α on the device, in a step that is captured (graph.go)
}

// Step is one update of everything. For ReSSL:
//
//	z² ← normalise(g_t(F_t(weak)))                   no gradient
//	p² ← softmax(z²·Qᵀ/τ_t)                          (4), Q before this batch's keys
//	for every student view:
//	    z¹ ← normalise(q(g_s(F_s(strong))))
//	    loss ← α·H(p², p¹) + (1−α)·InfoNCE           (7), mean over views
//	stop where the loss is not finite
//	student ← optimiser(student, ∇loss, lr)
//	teacher ← m·teacher + (1−m)·student              (6)
//	Q ← Q without its oldest keys, with z²
//
// Another objective fills in other lines of the same form. The views are those of
// Views, each (B,S,S,3) uint8 of one B, S free by view; they stay the caller's.
// Each pass's graph is walked backward before the next is built, so peak memory is
// one pass's: a view's, or a pair's where the objective couples them.
//
// With Config.Accumulate the batch goes through in so many equal parts, whose
// gradients add up to the mean over the batch. Every part sees the queue as it was
// before the step, which takes the keys of all parts at the end; batch norm's
// statistics are each part's own.
//
// An error wraps errs.ErrUsage for views of wrong number or shape, and nothing
// has moved then; errs.ErrDiverged for a loss that is not finite, and then
// no weight, key or momentum has moved, though running statistics have. After any
// other error, an operator's (memory), the state is of no step: load a checkpoint.
func (l *Learner) Step(teacher, student []*torch.Tensor, h Hyper) (Stats, error) {
	var s Stats
	err := torch.Do(func() error {
		if err := l.checkViews(teacher, student); err != nil {
			return err
		}
		var sum tally
		var err error
		torch.ScopeDo(func() {
			l.stream.Inside(func() { err = l.step(teacher, student, h, &sum) })
		})
		if err == nil && h.Stats {
			s = sum.stats()
		}
		return err
	})
	return s, err
}

func (l *Learner) step(teacher, student []*torch.Tensor, h Hyper, sum *tally) error {
	backward := l.backward
	if l.graphs != nil && l.ungraphed == "" && sum.late {
		backward = l.graphs.backward
	}
	keys, err := backward(teacher, student, h, sum)
	if err != nil {
		l.opt.ZeroGrad()
		return err
	}
	l.timers.span(phaseBackward, l.reduce)
	l.timers.span(phaseOptimizer, func() { err = l.update(keys, h) })
	return err
}

// backward puts the batch's gradients into the parameters, and gives its keys for
// the queue, (B/Accumulate,D) each.
func (l *Learner) backward(teacher, student []*torch.Tensor, h Hyper, sum *tally) (keys []*torch.Tensor, err error) {
	parts := l.config.Accumulate
	for i := range parts {
		k, err := l.gradients(part(teacher, i, parts), part(student, i, parts), i, h, sum)
		if err != nil {
			return nil, err
		}
		if k != nil {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// update moves weights by their gradients, which it drops, then teacher and queue.
func (l *Learner) update(keys []*torch.Tensor, h Hyper) error {
	if err := l.opt.Step(h.LR); err != nil {
		return err
	}
	l.opt.ZeroGrad()
	if l.teacher != nil {
		MomentumUpdate(l.teacherAvg, l.studentAvg, h.Momentum)
	}
	if len(keys) > 0 {
		l.queue.Enqueue(l.config.Group.Gather(cat(keys)))
	}
	return nil
}

// part is rows [i·B/n, (i+1)·B/n) of every view.
func part(views []*torch.Tensor, i, n int) []*torch.Tensor {
	if n == 1 {
		return views
	}
	out := make([]*torch.Tensor, len(views))
	for v, x := range views {
		rows := x.Size(0) / int64(n)
		out[v] = torch.Narrow(x, 0, int64(i)*rows, rows)
	}
	return out
}

// gradients adds one micro-batch's to the parameters', and gives its keys for the
// queue, (B,D), or nil.
func (l *Learner) gradients(teacher, student []*torch.Tensor, micro int, h Hyper, sum *tally) (keys *torch.Tensor, err error) {
	keys = torch.Scope(func() *torch.Tensor {
		b := objective.Batch{Alpha: h.Alpha, Mix: h.mix, Views: len(student), Stats: h.Stats}
		if l.queue != nil {
			b.Queue = l.queue.Keys
		}
		var z2 []*torch.Tensor
		var t objective.Targets
		l.beside(func() {
			l.timers.span(phaseTeacher, func() { z2, err = l.targets(teacher, micro, h) })
			if err == nil {
				l.timers.span(phaseLoss, func() { t = l.against(b, z2) })
			}
		})
		if err != nil {
			return nil
		}
		passes := perView(student)
		if l.parts.Coupled {
			passes = [][]*torch.Tensor{student}
		}
		var key *torch.Tensor
		for v, views := range passes {
			b.View = v
			z, e := l.pass(views, b, t, sum)
			if e != nil {
				err = e
				return nil
			}
			if key == nil {
				key = z
			}
		}
		switch l.parts.Queue {
		case objective.TeacherKeys:
			return cat(z2)
		case objective.StudentKeys:
			return key
		}
		return nil
	})
	return keys, err
}

// against is what the student's views are compared with.
func (l *Learner) against(b objective.Batch, z2 []*torch.Tensor) (t objective.Targets) {
	torch.NoGrad(func() {
		torch.ScopeN(func() []*torch.Tensor {
			t = l.objective.Targets(b, z2)
			return t.Tensors()
		})
	})
	return t
}

func perView(views []*torch.Tensor) [][]*torch.Tensor {
	out := make([][]*torch.Tensor, len(views))
	for i, v := range views {
		out[i] = []*torch.Tensor{v}
	}
	return out
}

// cat joins along rows.
func cat(t []*torch.Tensor) *torch.Tensor {
	if len(t) == 1 {
		return t[0]
	}
	return torch.Cat(t, 0)
}

// targets is the teacher's side: z² (B,D) of each of its views, unit rows, no
// gradient. The teacher stays in training mode, so its batch norm uses the batch's
// own statistics. Where those are of groups, the samples change groups for the
// teacher: a student that sees a sample in the same company as the teacher could
// tell it by the company (MoCo, section 3.3, "Shuffling BN").
func (l *Learner) targets(views []*torch.Tensor, micro int, h Hyper) (z2 []*torch.Tensor, err error) {
	torch.NoGrad(func() {
		for v, x := range views {
			z := torch.Scope(func() *torch.Tensor {
				var back *torch.Tensor
				if l.norms.shuffled {
					x, back = l.shuffle(x, fmt.Sprintf("shuffle bn %d.%d.%d", h.Step, micro, v))
				}
				if x, err = l.pixels.Forward(x); err != nil {
					return nil
				}
				z := l.embed(l.teacher, func() *torch.Tensor { return l.teacher.Backbone.Forward(x) }).P
				if back != nil {
					z = torch.IndexSelect(l.config.Group.Gather(z), 0, back.To(z.Device(), torch.Int64, true))
				}
				return z
			})
			if err != nil {
				return
			}
			z2 = append(z2, z)
		}
	})
	return z2, err
}

// shuffle puts the rows of x, those of all ranks, into an order that depends on the
// seed and the name alone, and gives this rank's part of that; selecting by back from
// all ranks' rows gives those that stood in x.
func (l *Learner) shuffle(x *torch.Tensor, name string) (shuffled, back *torch.Tensor) {
	g := l.config.Group
	if g != nil {
		x = g.Gather(x.To(l.config.Device, torch.Uint8, false))
	}
	order := nn.Random(l.config.Seed, name).Permutation(int(x.Size(0)))
	inverse := make([]int64, len(order))
	for i, row := range order {
		inverse[row] = int64(i)
	}
	from, to := g.Rows(len(order))
	rows := func(index []int64) *torch.Tensor { return torch.FromInt64(index[from:to], int64(to-from)) }
	return torch.IndexSelect(x, 0, rows(order).To(x.Device(), torch.Int64, true)), rows(inverse)
}

// embed maps features to unit embeddings (B,D) in fp32, whatever the precision of
// the network.
func (l *Learner) embed(e *Encoder, features func() *torch.Tensor) (out objective.Embedding) {
	l.autocast(func() { out.Z, out.P = e.Heads(features()) })
	unit := func(z *torch.Tensor) *torch.Tensor {
		if l.config.BF16 {
			z = z.To(l.config.Device, torch.Float32, false)
		}
		return objective.Normalize(z)
	}
	if out.Z == out.P {
		out.Z = unit(out.Z)
		out.P = out.Z
		return out
	}
	out.Z, out.P = unit(out.Z), unit(out.P)
	return out
}

// autocast runs networks in the learner's precision.
func (l *Learner) autocast(fn func()) {
	if l.config.BF16 {
		torch.Autocast(l.config.Device.Type, torch.BFloat16, fn)
		return
	}
	fn()
}

// pass is one forward and backward of the student on the views. It gives z of the
// first, without gradient, where the queue wants it.
func (l *Learner) pass(views []*torch.Tensor, b objective.Batch, t objective.Targets, sum *tally) (key *torch.Tensor, err error) {
	key = torch.Scope(func() *torch.Tensor {
		tapes := make([]*tape, len(views))
		out := torch.ScopeN(func() []*torch.Tensor {
			student := make([]objective.Embedding, len(views))
			l.timers.span(phaseStudent, func() { err = l.forward(views, tapes, student) })
			if err != nil {
				return nil
			}
			z := student[0].Z
			if l.parts.InBatch && l.config.Group != nil {
				for i, e := range student {
					student[i] = l.wholeBatch(e)
				}
			}
			results := make([]*torch.Tensor, 3)
			l.join()
			l.timers.span(phaseLoss, func() {
				loss := l.objective.Loss(b, student, t)
				if results[0] = loss.Total; l.config.Accumulate > 1 {
					results[0] = torch.DivScalar(loss.Total, float64(l.config.Accumulate))
				}
				if b.Stats {
					torch.NoGrad(func() { results[1] = sum.describe(loss.Stats, student) })
				}
			})
			if l.parts.Queue == objective.StudentKeys {
				results[2] = z.Detach()
			}
			for _, tp := range tapes {
				results = append(results, tp.tensors()...)
			}
			return results
		})
		if err != nil {
			return nil
		}
		// Where the step is not launched ahead, the loss is looked at before backward: on
		// the CPU that is free. What is not finite there never reaches a weight.
		if err = sum.add(l.overRanks(out[0], out[1])); err != nil {
			return nil
		}
		l.timers.span(phaseBackward, func() {
			l.walkBack(out[0])
			for _, tp := range tapes {
				if tp != nil {
					l.playBack(tp)
				}
			}
		})
		return out[2]
	})
	return key, err
}

// forward embeds the views; with Config.Recompute it fills in their tapes.
func (l *Learner) forward(views []*torch.Tensor, tapes []*tape, student []objective.Embedding) (err error) {
	for i, x := range views {
		var features func() *torch.Tensor
		if l.config.Recompute {
			if tapes[i], err = l.record(x); err != nil {
				return err
			}
			features = func() *torch.Tensor { return tapes[i].features }
		} else {
			if x, err = l.pixels.Forward(x); err != nil {
				return err
			}
			features = func() *torch.Tensor { return l.student.Backbone.Forward(x) }
		}
		student[i] = l.embed(l.student, features)
	}
	return nil
}

// diverged is the error of a loss that is no number.
func diverged(loss float64) error {
	return errs.New("training step", "loss", divergedHint,
		errs.Because(errs.ErrDiverged, fmt.Sprintf("the loss is %g", loss)))
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// buffers are a module's tensors that are no parameters.
func buffers(m nn.Module) []*torch.Tensor {
	var out []*torch.Tensor
	m.Visit("", func(e nn.Entry) {
		if !e.Parameter {
			out = append(out, e.Tensor)
		}
	})
	return out
}
