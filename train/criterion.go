package train

import (
	"resslt/train/objective"
	"resslt/train/torch"
)

// criterion is the objective as steps use it: timed, without gradient where the student is
// not, its loss a mean over the batch's micro-batches.
type criterion struct {
	objective.Objective
	timers     *timers
	accumulate int
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

// loss is what a pass minimises. With Batch.Stats it comes with the pass's description for
// sum.
func (c *criterion) loss(b objective.Batch, student []objective.Embedding, t objective.Targets, sum *tally) (loss, description *torch.Tensor) {
	c.timers.span(phaseLoss, func() {
		result := c.Loss(b, student, t)
		if loss = result.Total; c.accumulate > 1 {
			loss = torch.DivScalar(loss, float64(c.accumulate))
		}
		if b.Stats {
			description = sum.describe(student, result.Terms)
		}
	})
	return loss, description
}

// forward is what a forward pass of the student leaves for backward. Its tensors belong to
// the scope that it was made in.
type forward struct {
	loss, description *torch.Tensor
	z1                *torch.Tensor // of the first view, without gradient; nil unless the queue takes it
	tapes             tapes
}

func (f forward) tensors() []*torch.Tensor {
	return append(f.tapes.tensors(), f.loss, f.description, f.z1)
}

// backward adds the pass's gradients to the student's.
func (f forward) backward(p *dataParallel) {
	p.backward(f.loss)
	f.tapes.backward()
}
