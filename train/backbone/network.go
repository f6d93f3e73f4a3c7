package backbone

import (
	"resslt/train/nn"
	"resslt/train/torch"
)

// network is what every backbone is: stages in a row, of which the last takes
// the global average.
type network struct {
	stages   []stage
	features int64
}

// stage is a module whose state stands under prefix, as torchvision names it:
// "layer1.", "features.2.", or nothing for a stem whose layers are the root's.
type stage struct {
	prefix string
	nn.Module
}

// row is a stage of blocks one after the other, named by their place.
type row struct{ nn.Sequential }

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

// Stages lists the stages in order, the blocks of a row one by one; Forward is
// their composition.
func (n *network) Stages() []nn.Module {
	var out []nn.Module
	for _, s := range n.stages {
		if r, ok := s.Module.(*row); ok {
			out = append(out, r.Children...)
		} else {
			out = append(out, s.Module)
		}
	}
	return out
}

// Forward maps (N,3,S,S) to (N, FeatureDim). Every stage drops its intermediates
// as soon as autograd alone (or nobody) needs them.
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
