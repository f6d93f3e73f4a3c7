package backbone

import (
	"fmt"

	"resslt/train/nn"
	"resslt/train/torch"
)

// mobile is the difference between EfficientNet and MobileNetV3 apart from their tables.
type mobile struct {
	norm   nn.NormOptions
	excite nn.Module // activation inside squeeze-and-excitation
	scale  nn.Module // last activation of squeeze-and-excitation
	drop   float64   // stochastic depth after the last block; rises linearly from 0 over the blocks
}

// divisible is torchvision's _make_divisible(v, 8): the nearest multiple of 8, at
// least 8, and not below nine tenths of v.
func divisible(v float64) int64 {
	n := max(8, int64(v+4)/8*8)
	if float64(n) < 0.9*v {
		n += 8
	}
	return n
}

// scaled is a published number of channels at a width, where 64 is the published one.
func scaled(channels int64, width int) int64 {
	return divisible(float64(channels) * float64(width) / 64)
}

// halving is the stride of a layer that halves the map if on.
func halving(on bool) int64 {
	if on {
		return 2
	}
	return 1
}

// featureStages returns a function that appends stages to net, named features.0,
// features.1, …
func featureStages(net *network, b nn.Builder) func(build func(nn.Builder) nn.Module) {
	return func(build func(nn.Builder) nn.Module) {
		i := fmt.Sprint(len(net.stages))
		net.add("features."+i+".", build(b.At("features").At(i)))
	}
}

// convNorm is convolution "0", batch norm "1" and an activation, nil for none. With k = 1
// the convolution is pointwise.
func (m mobile) convNorm(b nn.Builder, in, out, k, stride int64, act nn.Module) *nn.Sequential {
	conv := nn.NewConv2d(b.At("0"), in, out, k, stride, k/2)
	return m.withNorm(b, conv, out, act)
}

// depthwise is convNorm with one filter for each channel.
func (m mobile) depthwise(b nn.Builder, channels, k, stride int64, act nn.Module) *nn.Sequential {
	return m.withNorm(b, nn.NewDepthwiseConv2d(b.At("0"), channels, k, stride), channels, act)
}

func (m mobile) withNorm(b nn.Builder, conv *nn.Conv2d, out int64, act nn.Module) *nn.Sequential {
	s := &nn.Sequential{Children: []nn.Module{conv, nn.NewBatchNormWith(b.At("1"), out, m.norm)}}
	if act != nil {
		s.Children = append(s.Children, act)
	}
	return s
}

// blockSpec is one inverted residual block.
type blockSpec struct {
	in, expanded, out int64
	kernel, stride    int64
	squeezed          int64 // channels inside squeeze-and-excitation; 0 for none
	act               nn.Module
	drop              float64 // probability of stochastic depth
}

// invertedResidual is EfficientNet's MBConv and MobileNetV3's InvertedResidual:
// expand (1×1), depthwise, squeeze-and-excitation, project (1×1, no activation),
// and, if the shapes match, the input added.
type invertedResidual struct {
	body  *nn.Sequential // named block.0, block.1, …
	depth *nn.StochasticDepth
}

// block builds an inverted residual, without expansion if that would not widen it.
func (m mobile) block(b nn.Builder, s blockSpec) *invertedResidual {
	body := &nn.Sequential{}
	next := func() nn.Builder { return b.At("block").At(fmt.Sprint(len(body.Children))) }
	add := func(layer nn.Module) { body.Children = append(body.Children, layer) }
	if s.expanded != s.in {
		add(m.convNorm(next(), s.in, s.expanded, 1, 1, s.act))
	}
	add(m.depthwise(next(), s.expanded, s.kernel, s.stride, s.act))
	if s.squeezed > 0 {
		add(nn.NewSqueezeExcitation(next(), s.expanded, s.squeezed, m.excite, m.scale))
	}
	project := m.convNorm(next(), s.expanded, s.out, 1, 1, nil)
	add(project)
	r := &invertedResidual{body: body}
	if s.stride == 1 && s.in == s.out {
		r.depth = nn.NewStochasticDepth(b, s.drop, project.Children[1].(*nn.BatchNorm))
	}
	return r
}

// Forward maps (N,in,H,W) to (N,out,H/stride,W/stride).
func (r *invertedResidual) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		h := r.body.Forward(x)
		if r.depth == nil {
			return h
		}
		return torch.Add_(r.depth.Forward(h), x, 1)
	})
}

// Visit names the layers block.0, block.1, …
func (r *invertedResidual) Visit(prefix string, f func(nn.Entry)) { r.body.Visit(prefix+"block.", f) }

// SetTraining switches batch norms and stochastic depth.
func (r *invertedResidual) SetTraining(on bool) {
	r.body.SetTraining(on)
	if r.depth != nil {
		r.depth.SetTraining(on)
	}
}
