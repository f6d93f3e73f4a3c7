package train

import (
	"slices"

	"resslt/train/objective"
	"resslt/train/torch"
)

// criterion is the objective as steps use it: timed, without gradient where the student is
// not, its loss a mean over the batch's micro-batches.
type criterion struct {
	objective.Objective
	timers     *timers
	accumulate int
	raw        bool // embeddings are not of unit length
}

// alpha is where the objective's ramp is.
func (c *criterion) alpha(value float64) objective.Alpha {
	a := objective.Alpha{Value: value}
	if r, ok := c.Objective.(objective.Ramper); ok {
		a.Factor = r.Factor(value)
	}
	return a
}

// shown are the images that the student sees: its views, or what the objective makes of them.
func (c *criterion) shown(b objective.Batch, views []*torch.Tensor) (out []*torch.Tensor) {
	o, makes := c.Objective.(objective.Viewer)
	if !makes {
		return views
	}
	torch.NoGrad(func() {
		torch.ScopeN(func() []*torch.Tensor { out = o.Show(b, views); return out })
	})
	return out
}

// targets is what the student's views are compared with, computed once from the teacher's
// embeddings.
func (c *criterion) targets(b objective.Batch, z2 []*torch.Tensor) (t objective.Targets) {
	c.timers.span(phaseLoss, func() {
		torch.NoGrad(func() {
			torch.ScopeN(func() []*torch.Tensor {
				t = c.Targets(b, z2)
				return t.Tensors()
			})
		})
	})
	return t
}

// loss puts into f what a pass minimises. With Batch.Stats it comes with the pass's
// description for sum.
func (c *criterion) loss(b objective.Batch, student []objective.Embedding, t objective.Targets, sum *tally, f *forward) {
	c.timers.span(phaseLoss, func() {
		result := c.Loss(b, student, t)
		if f.loss = result.Total; c.accumulate > 1 {
			f.loss = torch.DivScalar(f.loss, float64(c.accumulate))
		}
		f.rows = result.Rows
		if b.Stats {
			f.description = sum.describe(c.unit(student), result.Terms)
		}
	})
}

// unit are the embeddings as statistics take them, of unit length.
func (c *criterion) unit(student []objective.Embedding) []objective.Embedding {
	if !c.raw {
		return student
	}
	out := make([]objective.Embedding, len(student))
	torch.NoGrad(func() {
		for i, e := range student {
			out[i].P = objective.Normalize(e.P)
		}
	})
	return out
}

// forward is what a forward pass of the student leaves for backward. Its tensors belong to
// the scope that it was made in.
type forward struct {
	loss, description *torch.Tensor
	z1                *torch.Tensor   // of the first view, without gradient; nil unless the queue takes it
	rows              []*torch.Tensor // for the objective's state, without gradient
	tapes             tapes
}

// keys are those of the student for the queue.
func (f forward) keys() []*torch.Tensor {
	if f.z1 == nil {
		return nil
	}
	return []*torch.Tensor{f.z1}
}

func (f forward) tensors() []*torch.Tensor {
	return append(slices.Concat(f.tapes.tensors(), f.rows), f.loss, f.description, f.z1)
}

// backward adds the pass's gradients to the student's.
func (f forward) backward(p *dataParallel) {
	p.backward(f.loss)
	f.tapes.backward()
}
