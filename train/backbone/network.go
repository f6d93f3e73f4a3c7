package backbone

import (
	"resslt/train/nn"
	"resslt/train/torch"
)

// network is a sequence of stages that ends with the global average, in a transformer with
// the tokens' pooling. Every backbone is one.
type network struct {
	stages   []stage
	features int64
}

// stage is a module with torchvision's prefix for its state: "layer1.", "features.2.",
// or "" for a stem whose layers belong to the root.
type stage struct {
	prefix string
	nn.Module
}

// row is a stage that is a sequence of blocks, named by their indices.
type row struct{ nn.Sequential }

func (r *row) blocks() []nn.Module { return r.Children }

// add appends a stage.
func (n *network) add(prefix string, m nn.Module) { n.stages = append(n.stages, stage{prefix, m}) }

// pooled ends the network with the global average of c channels.
func (n *network) pooled(c int64) *network {
	n.add("", globalAverage{})
	n.features = c
	return n
}

// FeatureDim is the number of channels of the last feature map.
func (n *network) FeatureDim() int64 { return n.features }

// Stages lists the stages in order, with the blocks of a row as separate stages.
func (n *network) Stages() []nn.Module {
	var out []nn.Module
	for _, s := range n.stages {
		if r, ok := s.Module.(interface{ blocks() []nn.Module }); ok {
			out = append(out, r.blocks()...)
		} else {
			out = append(out, s.Module)
		}
	}
	return out
}

// Forward maps (N,3,S,S) to (N, FeatureDim). Every stage frees its intermediates, except
// those that autograd keeps.
func (n *network) Forward(x *torch.Tensor) *torch.Tensor {
	for _, s := range n.stages {
		x = s.Forward(x)
	}
	return x
}

// Visit names the state as torchvision does.
func (n *network) Visit(prefix string, f func(nn.Entry)) {
	for _, s := range n.stages {
		s.Visit(prefix+s.prefix, f)
	}
}

// SetTraining switches every stage.
func (n *network) SetTraining(on bool) {
	for _, s := range n.stages {
		s.SetTraining(on)
	}
}

// globalAverage maps (N,C,H,W) to (N,C).
type globalAverage struct{ nn.Stateless }

func (globalAverage) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		return torch.Flatten(torch.AdaptiveAvgPool2d(x, []int64{1, 1}), 1, -1)
	})
}
