package nn

import (
	"encoding/binary"
	"math"

	"resslt/train/torch"
)

// Builder says where new layers stand: on which device, under which name, and by
// which seed their weights are drawn. The zero path is the root.
type Builder struct {
	Seed   uint64
	Device torch.Device
	// ChannelsLast keeps convolution weights in NHWC memory order, which the
	// kernels for NHWC activations want. Values and shapes are the same.
	ChannelsLast bool
	// Double makes parameters and buffers float64, to check numerics against;
	// float32 otherwise.
	Double bool

	path string
}

// At is the builder of the child called name.
func (b Builder) At(name string) Builder {
	b.path += name + "."
	return b
}

// parameter makes a parameter of the given shape whose element i is draw's i-th.
func (b Builder) parameter(name string, draw func(r *Rand) float64, shape ...int64) *torch.Tensor {
	n := int64(1)
	for _, s := range shape {
		n *= s
	}
	data := make([]float32, n)
	if draw != nil {
		r := Random(b.Seed, b.path+name)
		for i := range data {
			data[i] = float32(draw(r))
		}
	}
	return b.own(data, shape...).SetRequiresGrad(true)
}

// dtype is that of parameters and buffers.
func (b Builder) dtype() torch.DType {
	if b.Double {
		return torch.Float64
	}
	return torch.Float32
}

// own moves data to the builder's device, into the root scope.
func (b Builder) own(data []float32, shape ...int64) *torch.Tensor {
	return b.place(func() *torch.Tensor { return torch.FromFloat32(data, shape...) })
}

// place moves what make returns to the builder's device, dtype and memory order,
// into the root scope.
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

// Conv2d is a square convolution without bias, as ResNets have it.
type Conv2d struct {
	Weight          *torch.Tensor // (out, in, k, k)
	stride, padding []int64
}

// NewConv2d draws the weight by Kaiming normal in fan-out mode, as torchvision's
// ResNet does: variance 2/(out·k²).
func NewConv2d(b Builder, in, out, k, stride, padding int64) *Conv2d {
	std := math.Sqrt(2 / float64(out*k*k))
	return &Conv2d{
		Weight:  b.parameter("weight", func(r *Rand) float64 { return float64(std * r.Normal()) }, out, in, k, k),
		stride:  []int64{stride, stride},
		padding: []int64{padding, padding},
	}
}

var oneByOne = []int64{1, 1}

// Forward maps (N,in,H,W) to (N,out,H',W').
func (c *Conv2d) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Conv2d(x, c.Weight, nil, c.stride, c.padding, oneByOne, 1)
}

// Visit names the weight.
func (c *Conv2d) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "weight", c.Weight, true})
}

// SetTraining does nothing.
func (c *Conv2d) SetTraining(bool) {}

// Linear is x·Wᵀ + b.
type Linear struct {
	Weight *torch.Tensor // (out, in)
	Bias   *torch.Tensor // (out)
}

// NewLinear draws weight and bias by PyTorch's default, Kaiming uniform with
// a = √5, which comes to U(-1/√in, 1/√in) for both.
func NewLinear(b Builder, in, out int64) *Linear {
	bound := 1 / math.Sqrt(float64(in))
	draw := func(r *Rand) float64 { return float64((float64(2*r.Uniform()) - 1) * bound) }
	return &Linear{
		Weight: b.parameter("weight", draw, out, in),
		Bias:   b.parameter("bias", draw, out),
	}
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

// Batch norm's constants, PyTorch's defaults.
const (
	bnMomentum = 0.1 // weight of the batch in the running statistics
	bnEps      = 1e-5
)

// BatchNorm is BatchNorm1d for (N,C) and BatchNorm2d for (N,C,H,W).
type BatchNorm struct {
	Weight, Bias            *torch.Tensor // (C)
	RunningMean, RunningVar *torch.Tensor // (C)
	// Tracked counts the batches seen in training, () int64. No computation reads
	// it; PyTorch's state dict has it. It stays on the CPU, where counting costs
	// neither a kernel nor a wait.
	Tracked *torch.Tensor

	training bool
}

// NewBatchNorm starts as the identity on normalised input, in training mode.
func NewBatchNorm(b Builder, channels int64) *BatchNorm {
	return &BatchNorm{
		Weight:      b.own(fill(channels, 1), channels).SetRequiresGrad(true),
		Bias:        b.own(fill(channels, 0), channels).SetRequiresGrad(true),
		RunningMean: b.own(fill(channels, 0), channels),
		RunningVar:  b.own(fill(channels, 1), channels),
		Tracked:     torch.FromInt64([]int64{0}).Keep(),
		training:    true,
	}
}

// Forward normalises each channel by the batch's statistics, and folds them into
// the running ones, in training; by the running ones otherwise.
func (n *BatchNorm) Forward(x *torch.Tensor) *torch.Tensor {
	if n.training {
		n.Tracked.CopyFrom(binary.NativeEndian.AppendUint64(nil, uint64(n.Tracked.Int64s()[0]+1)))
	}
	return torch.BatchNorm(x, n.Weight, n.Bias, n.RunningMean, n.RunningVar,
		n.training, bnMomentum, bnEps, true)
}

// Visit names the parameters, then the buffers.
func (n *BatchNorm) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "weight", n.Weight, true})
	f(Entry{prefix + "bias", n.Bias, true})
	f(Entry{prefix + "running_mean", n.RunningMean, false})
	f(Entry{prefix + "running_var", n.RunningVar, false})
	f(Entry{prefix + "num_batches_tracked", n.Tracked, false})
}

// SetTraining chooses whose statistics Forward uses.
func (n *BatchNorm) SetTraining(on bool) { n.training = on }

// ReLU is max(x, 0), in place: its input must be of no further use.
type ReLU struct{ Stateless }

// Forward overwrites x.
func (ReLU) Forward(x *torch.Tensor) *torch.Tensor { return torch.Relu_(x) }

// NewHead is the two-layer head of the projector g and the predictor q:
// Linear → BN → ReLU → Linear, (N,in) → (N,out).
func NewHead(b Builder, in, hidden, out int64) *Sequential {
	return &Sequential{Children: []Module{
		NewLinear(b.At("0"), in, hidden),
		NewBatchNorm(b.At("1"), hidden),
		ReLU{},
		NewLinear(b.At("3"), hidden, out),
	}}
}
