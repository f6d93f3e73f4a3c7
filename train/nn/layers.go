package nn

import (
	"math"

	"resslt/train/torch"
)

// Builder describes new layers: their device, their path in the tree of modules, and
// the seed of their weights. The empty path is the root.
type Builder struct {
	Seed   uint64
	Device torch.Device
	// ChannelsLast keeps convolution weights in NHWC memory order, which the kernels for
	// NHWC activations need. Values and shapes are the same.
	ChannelsLast bool
	// Fused lets layers use the shim's own loops where they are faster than libtorch's
	// ops (torch.Conv3x3), and a GPU's kernels (torch.BatchNormReLU). Values are the same up
	// to rounding.
	Fused bool
	// BatchNormGroups is the number of groups of a batch's rows with statistics of their
	// own in training, as with so many GPUs. 0 and 1 mean the whole batch.
	BatchNormGroups int
	// SyncBatchNorm, if set, makes batch norm use statistics over the rows of all its
	// ranks; BatchNormGroups is then 1.
	SyncBatchNorm *torch.Group
	// Ranks are the processes that share a batch, in equal blocks of rows; nil means this
	// process alone.
	Ranks *torch.Group
	// Double makes parameters and buffers float64, for numerical checks; otherwise they
	// are float32.
	Double bool
	// Frozen says which parameters stay as they are, by their names: they need no gradient,
	// and a batch norm whose weight and bias are frozen keeps its running statistics, too. nil: none.
	Frozen func(name string) bool
	// Blank leaves out the drawing: parameters that would be drawn are zero, of a network whose
	// weights are loaded, or of which the names alone are wanted.
	Blank bool

	path string
}

// At is the builder of the child called name.
func (b Builder) At(name string) Builder {
	b.path += name + "."
	return b
}

// parameter makes a parameter of the given shape from consecutive draws.
func (b Builder) parameter(name string, draw func(r *Rand) float64, shape ...int64) *torch.Tensor {
	n := int64(1)
	for _, s := range shape {
		n *= s
	}
	data := make([]float32, n)
	if draw != nil && !b.Blank {
		r := Random(b.Seed, b.path+name)
		for i := range data {
			data[i] = float32(draw(r))
		}
	}
	return b.own(data, shape...).SetRequiresGrad(!b.frozen(name))
}

// filled makes a parameter of one number; channels are its elements.
func (b Builder) filled(name string, v float32, channels int64) *torch.Tensor {
	return b.own(fill(channels, v), channels).SetRequiresGrad(!b.frozen(name))
}

// frozen reports whether the parameter of that name stays as it is.
func (b Builder) frozen(name string) bool { return b.Frozen != nil && b.Frozen(b.path+name) }

// dtype is that of parameters and buffers.
func (b Builder) dtype() torch.DType {
	if b.Double {
		return torch.Float64
	}
	return torch.Float32
}

// own moves data to the builder's device and keeps it.
func (b Builder) own(data []float32, shape ...int64) *torch.Tensor {
	return b.place(func() *torch.Tensor { return torch.FromFloat32(data, shape...) })
}

// place moves make's result to the builder's device, dtype and memory order, and keeps
// it.
func (b Builder) place(make func() *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		t := make().To(b.Device, b.dtype(), false)
		if b.ChannelsLast && t.Dim() == 4 {
			t = t.ToMemoryFormat(torch.ChannelsLast)
		}
		return t
	}).Keep()
}

// fill is a slice of n equal values.
func fill(n int64, v float32) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// Conv2d is a convolution with a square kernel, dense or depthwise, with or without
// bias.
type Conv2d struct {
	Weight          *torch.Tensor // (out, in/groups, k, k)
	Bias            *torch.Tensor // (out), or nil
	stride, padding []int64
	groups          int64
	fused           bool // use torch.Conv3x3
}

// NewConv2d initialises the weight by Kaiming normal in fan-out mode, as torchvision's
// networks do: variance 2/(out·k²). There is no bias because batch norm follows.
func NewConv2d(b Builder, in, out, k, stride, padding int64) *Conv2d {
	return newConv2d(b, in, out, k, stride, padding, 1)
}

// NewDepthwiseConv2d applies to each channel a k×k filter of its own, padded so that
// only the stride reduces the map. The variance is NewConv2d's: PyTorch's fan-out is not
// divided by the groups.
func NewDepthwiseConv2d(b Builder, channels, k, stride int64) *Conv2d {
	return newConv2d(b, channels, channels, k, stride, k/2, channels)
}

// NewPointwiseConv2d is a 1×1 convolution with a bias, which starts at zero.
func NewPointwiseConv2d(b Builder, in, out int64) *Conv2d {
	c := newConv2d(b, in, out, 1, 1, 0, 1)
	c.Bias = b.parameter("bias", nil, out)
	return c
}

func newConv2d(b Builder, in, out, k, stride, padding, groups int64) *Conv2d {
	std := math.Sqrt(2 / float64(out*k*k))
	return &Conv2d{
		Weight:  b.parameter("weight", func(r *Rand) float64 { return float64(std * r.Normal()) }, out, in/groups, k, k),
		stride:  []int64{stride, stride},
		padding: []int64{padding, padding},
		groups:  groups,
		fused:   b.Fused && k == 3 && stride == 1 && padding == 1 && groups == 1,
	}
}

// NewNormalConv2d is a convolution with bias as in ConvNeXt: weights of standard deviation 0.02,
// biases zero. groups is 1, or the number of channels for a filter each.
func NewNormalConv2d(b Builder, in, out, k, stride, padding, groups int64) *Conv2d {
	return &Conv2d{
		Weight:  b.parameter("weight", normal(0.02), out, in/groups, k, k),
		Bias:    b.parameter("bias", nil, out),
		stride:  []int64{stride, stride},
		padding: []int64{padding, padding},
		groups:  groups,
	}
}

var oneByOne = []int64{1, 1}

// Forward maps (N,in,H,W) to (N,out,H',W').
func (c *Conv2d) Forward(x *torch.Tensor) *torch.Tensor {
	if c.fused {
		return torch.Conv3x3(x, c.Weight)
	}
	if stride := c.stride[0]; stride > 1 && c.overruns() {
		return torch.Scope(func() *torch.Tensor {
			x = torch.Slice(torch.Slice(x, 2, nil, nil, stride), 3, nil, nil, stride)
			return torch.Conv2d(x, c.Weight, c.Bias, oneByOne, c.padding, oneByOne, c.groups)
		})
	}
	return torch.Conv2d(x, c.Weight, c.Bias, c.stride, c.padding, oneByOne, c.groups)
}

// overruns reports whether the backward pass of libtorch 1.13's oneDNN writes beyond its
// buffers if the convolution strides over channels_last maps of about 48 pixels or more:
// it does for 1×1 kernels on fewer than 16 channels. A strided 1×1 kernel is the same as
// selecting every stride-th pixel first, which avoids the fault.
func (c *Conv2d) overruns() bool {
	s := c.Weight.Shape()
	return s[2] == 1 && s[3] == 1 && s[1] < 16 && c.padding[0] == 0
}

// Visit names the weight, then the bias.
func (c *Conv2d) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "weight", c.Weight, true})
	if c.Bias != nil {
		f(Entry{prefix + "bias", c.Bias, true})
	}
}

// SetTraining does nothing.
func (c *Conv2d) SetTraining(bool) {}

// Linear is x·Wᵀ + b.
type Linear struct {
	Weight *torch.Tensor // (out, in)
	Bias   *torch.Tensor // (out)
}

// NewLinear initialises weight and bias by PyTorch's default, Kaiming uniform with
// a = √5, which is U(-1/√in, 1/√in) for both.
func NewLinear(b Builder, in, out int64) *Linear {
	draw := uniform(1 / math.Sqrt(float64(in)))
	return &Linear{
		Weight: b.parameter("weight", draw, out, in),
		Bias:   b.parameter("bias", draw, out),
	}
}

// NewNormalLinear is a linear layer as in ConvNeXt: weights of standard deviation 0.02, biases zero.
func NewNormalLinear(b Builder, in, out int64) *Linear {
	return &Linear{Weight: b.parameter("weight", normal(0.02), out, in), Bias: b.parameter("bias", nil, out)}
}

// Forward maps (N,in) to (N,out).
func (l *Linear) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Linear(x, l.Weight, l.Bias)
}

// Visit names weight and bias.
func (l *Linear) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "weight", l.Weight, true})
	f(Entry{prefix + "bias", l.Bias, true})
}

// SetTraining does nothing.
func (l *Linear) SetTraining(bool) {}
