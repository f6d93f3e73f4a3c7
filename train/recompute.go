package train

import (
	"slices"

	"resslt/train/nn"
	"resslt/train/torch"
)

// tape is a forward pass of the student's backbone that kept no graph: activation
// checkpointing (Chen et al. 2016, arXiv 1604.06174). Between the stages lie the
// tensors that went in; everything inside a stage is computed again when backward
// comes to it, so that peak memory is those and one stage's graph.
//
//	record:    x₀ → stage → x₁ → stage → … → features          no graph
//	heads, loss, backward to the features
//	playBack:  for the stages from the last: xᵢ → stage again, with its graph;
//	           backward from the gradient of what came out, to that of xᵢ
//
// The gradients are those of the plain pass, to the bit: the same operators work
// on the same numbers, and every parameter's gradient is added to at the same
// place in the order of views.
type tape struct {
	inputs   []*torch.Tensor // of every stage
	counts   []*torch.Tensor // int64 buffers as they were before: they key what a stage draws
	features *torch.Tensor   // (B,FeatureDim), a leaf that collects its gradient
}

// tensors are what backward needs of the tape; none of a nil one.
func (tp *tape) tensors() []*torch.Tensor {
	if tp == nil {
		return nil
	}
	return append(append(slices.Clone(tp.inputs), tp.counts...), tp.features)
}

// record runs the student's backbone on pixels (B,S,S,3) uint8. The tape's tensors
// belong to the current scope.
func (l *Learner) record(pixels *torch.Tensor) (tp *tape, err error) {
	tp = &tape{}
	torch.NoGrad(func() {
		x, e := l.pixels.Forward(pixels)
		if e != nil {
			err = e
			return
		}
		for _, b := range buffers(l.student.Backbone) {
			if b.DType() == torch.Int64 {
				tp.counts = append(tp.counts, torch.Clone(b))
			}
		}
		for _, s := range l.student.Backbone.Stages() {
			tp.inputs = append(tp.inputs, x)
			x = torch.Scope(func() (y *torch.Tensor) {
				l.autocast(func() { y = s.Forward(x) })
				return y
			})
		}
		tp.features = x.Detach()
	})
	if err != nil {
		return nil, err
	}
	tp.features.SetRequiresGrad(true)
	return tp, nil
}

// playBack takes the gradient of the tape's features through the stages, into the
// parameters'. Buffers end as they were: running statistics have taken in these
// samples once already.
func (l *Learner) playBack(tp *tape) {
	torch.ScopeDo(func() {
		kept := buffers(l.student.Backbone)
		var after []*torch.Tensor
		count := 0
		for _, b := range kept {
			after = append(after, torch.Clone(b))
			if b.DType() == torch.Int64 {
				b.CopyFrom(tp.counts[count].Bytes())
				count++
			}
		}
		grad := tp.features.Grad()
		stages := l.student.Backbone.Stages()
		for i := len(stages) - 1; i >= 0; i-- {
			grad = torch.Scope(func() *torch.Tensor { return l.again(stages[i], tp.inputs[i], grad, i > 0) })
			tp.inputs[i].Free()
		}
		torch.NoGrad(func() {
			for i, b := range kept {
				torch.Copy_(b, after[i], false)
			}
		})
	})
}

// again runs one stage with its graph and walks it backward from grad; it gives the
// gradient of the stage's input, or nil for the images, which need none.
func (l *Learner) again(stage nn.Module, input, grad *torch.Tensor, wanted bool) *torch.Tensor {
	x := input.Detach()
	if wanted {
		x.SetRequiresGrad(true)
	}
	y := torch.Scope(func() (y *torch.Tensor) {
		l.autocast(func() { y = stage.Forward(x) })
		return y
	})
	y.BackwardWith(grad, false)
	if !wanted {
		return nil
	}
	return x.Grad()
}
