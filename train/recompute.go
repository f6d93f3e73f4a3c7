package train

import (
	"slices"

	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/torch"
)

// tape is a forward pass of the student's backbone that kept no graph: activation
// checkpointing (Chen et al. 2016, arXiv 1604.06174). It keeps the tensors between the
// stages; everything inside a stage is computed again when backward comes to it, so that
// the peak of memory is those tensors and one stage's graph.
//
//	newTape:   x₀ → stage → x₁ → stage → … → features          no graph
//	heads, loss, backward to the features
//	backward:  for the stages from the last: xᵢ → stage again, with its graph;
//	           backward from the gradient of what came out, to that of xᵢ
//
// The gradients are those of the plain pass, to the bit: the same operators work on the
// same numbers, and views add to a parameter's gradient in the same order (tapes.backward).
type tape struct {
	backbone  backbone.Backbone
	precision precision
	first     int             // the stages before it are frozen: backward ends there
	inputs    []*torch.Tensor // of every stage from the first
	counts    []*torch.Tensor // int64 buffers as they were before: they key what a stage draws
	features  *torch.Tensor   // (B,FeatureDim), a leaf that collects its gradient
}

// newTape runs the student's backbone on pixels (B,S,S,3) uint8. The tape's tensors belong
// to the current scope.
func (s *student) newTape(pixels *torch.Tensor) *tape {
	tp := &tape{backbone: s.Backbone, precision: s.precision, first: s.first}
	torch.NoGrad(func() {
		x := s.input(pixels)
		for _, b := range buffers(tp.backbone, isCounter) {
			tp.counts = append(tp.counts, torch.Clone(b))
		}
		for i, stage := range tp.backbone.Stages() {
			if i >= tp.first {
				tp.inputs = append(tp.inputs, x)
			}
			x = tp.forward(stage, x)
		}
		tp.features = x.Detach()
	})
	tp.features.SetRequiresGrad(true)
	return tp
}

// forward runs one stage and frees what it makes on the way, where no graph keeps it.
func (tp *tape) forward(stage nn.Module, x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() (y *torch.Tensor) {
		tp.precision.autocast(func() { y = stage.Forward(x) })
		return y
	})
}

// backward takes the gradient of the features through the stages, into the parameters.
// Buffers end as they were: running statistics have taken in these samples already.
func (tp *tape) backward() {
	torch.ScopeDo(func() {
		kept := buffers(tp.backbone, func(*torch.Tensor) bool { return true })
		var after []*torch.Tensor
		count := 0
		for _, b := range kept {
			after = append(after, torch.Clone(b))
			if isCounter(b) {
				b.CopyFrom(tp.counts[count].Bytes())
				count++
			}
		}
		grad := tp.features.Grad()
		stages := tp.backbone.Stages()[tp.first:]
		for i := len(stages) - 1; i >= 0; i-- {
			grad = torch.Scope(func() *torch.Tensor { return tp.recompute(stages[i], tp.inputs[i], grad, i > 0) })
			tp.inputs[i].Free()
		}
		torch.NoGrad(func() {
			for i, b := range kept {
				torch.Copy_(b, after[i], false)
			}
		})
	})
}

// recompute runs one stage again, with its graph, and backward from grad. It gives the
// gradient of the stage's input, or nil for the first's, which needs none.
func (tp *tape) recompute(stage nn.Module, input, grad *torch.Tensor, wanted bool) *torch.Tensor {
	x := input.Detach()
	if wanted {
		x.SetRequiresGrad(true)
	}
	tp.forward(stage, x).BackwardWith(grad, false)
	if !wanted {
		return nil
	}
	return x.Grad()
}

// tapes are a pass's, one a view; none without activation checkpointing.
type tapes []*tape

// tensors are what backward needs.
func (t tapes) tensors() (out []*torch.Tensor) {
	for _, tp := range t {
		out = slices.Concat(out, tp.inputs, tp.counts, []*torch.Tensor{tp.features})
	}
	return out
}

// backward continues from the features, where the loss's own backward has ended. In the plain
// pass one graph has all views: autograd adds up what they give to a parameter, from the last view
// to the first, and adds the sum to the gradient that is there.
func (t tapes) backward() {
	type gradient struct{ parameter, earlier *torch.Tensor }
	torch.ScopeDo(func() {
		var set []gradient // by earlier micro-batches
		if len(t) > 1 {
			for _, p := range nn.Parameters(t[0].backbone) {
				if g := p.Tensor.Grad(); g != nil {
					set = append(set, gradient{p.Tensor, g})
					p.Tensor.SetGrad(nil)
				}
			}
		}
		for _, tp := range slices.Backward(t) {
			tp.backward()
		}
		torch.NoGrad(func() {
			for _, s := range set {
				if g := s.parameter.Grad(); g != nil {
					torch.Add_(s.earlier, g, 1)
				}
				s.parameter.SetGrad(s.earlier)
			}
		})
	})
}
