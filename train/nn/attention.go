package nn

import (
	"math"

	"resslt/train/torch"
)

// LayerNorm normalises the last dimension (Ba et al. 2016, arXiv 1607.06450).
type LayerNorm struct {
	Weight, Bias *torch.Tensor // (C)
	eps          float64
}

// NewLayerNorm starts with weight 1 and bias 0.
func NewLayerNorm(b Builder, channels int64, eps float64) *LayerNorm {
	return &LayerNorm{
		Weight: b.filled("weight", 1, channels),
		Bias:   b.filled("bias", 0, channels),
		eps:    eps,
	}
}

// Forward maps (…,C) to (…,C).
func (n *LayerNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.LayerNorm(x, n.Weight.Shape(), n.Weight, n.Bias, n.eps, true)
}

// Visit names weight and bias.
func (n *LayerNorm) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "weight", n.Weight, true})
	f(Entry{prefix + "bias", n.Bias, true})
}

// SetTraining does nothing: a sample is normalised by its own statistics.
func (n *LayerNorm) SetTraining(bool) {}

// ChannelNorm is layer norm over the channels of a map, for each of its places (torchvision's
// LayerNorm2d).
type ChannelNorm struct{ LayerNorm }

// NewChannelNorm starts with weight 1 and bias 0.
func NewChannelNorm(b Builder, channels int64, eps float64) *ChannelNorm {
	return &ChannelNorm{*NewLayerNorm(b, channels, eps)}
}

// Forward maps (N,C,H,W) to (N,C,H,W), in NHWC memory order.
func (n *ChannelNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		return torch.Permute(n.LayerNorm.Forward(torch.Permute(x, []int64{0, 2, 3, 1})), []int64{0, 3, 1, 2})
	})
}

// LayerScale multiplies every channel by a factor that is learnt (Touvron et al. 2021,
// arXiv 2103.17239), as DINOv2's transformers do.
type LayerScale struct {
	Gamma *torch.Tensor // (C)
}

// NewLayerScale starts with the same factor for every channel.
func NewLayerScale(b Builder, channels int64, initial float64) *LayerScale {
	return &LayerScale{b.filled("gamma", float32(initial), channels)}
}

// Forward maps (…,C) to (…,C).
func (l *LayerScale) Forward(x *torch.Tensor) *torch.Tensor { return torch.Mul(x, l.Gamma) }

// Visit names gamma.
func (l *LayerScale) Visit(prefix string, f func(Entry)) { f(Entry{prefix + "gamma", l.Gamma, true}) }

// SetTraining does nothing.
func (l *LayerScale) SetTraining(bool) {}

// SelfAttention is multi-head attention of a sequence to itself (Vaswani et al. 2017, arXiv
// 1706.03762): for each head softmax(QKᵀ/√d)·V, d its channels.
//
// It is made of products and a softmax, since libtorch 1.13 has no public fused attention:
// its memory for N tokens is N² a head.
type SelfAttention struct {
	InWeight *torch.Tensor // (3C, C): rows of Q, of K, of V, as in torch.nn.MultiheadAttention
	InBias   *torch.Tensor // (3C)
	Out      *Linear       // out_proj
	heads    int64
}

// NewSelfAttention has the distributions of torch.nn.MultiheadAttention: Xavier uniform for
// in_proj, PyTorch's default for the weight of out_proj, biases zero. heads divides channels.
func NewSelfAttention(b Builder, channels, heads int64) *SelfAttention {
	a := &SelfAttention{
		InWeight: b.parameter("in_proj_weight", xavier(channels, 3*channels), 3*channels, channels),
		InBias:   b.parameter("in_proj_bias", nil, 3*channels),
		heads:    heads,
	}
	out := b.At("out_proj")
	a.Out = &Linear{
		Weight: out.parameter("weight", uniform(1/math.Sqrt(float64(channels))), channels, channels),
		Bias:   out.parameter("bias", nil, channels),
	}
	return a
}

// Forward maps (B,N,C) to (B,N,C).
func (a *SelfAttention) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		s := x.Shape()
		each := s[2] / a.heads
		// (B,N,3C) → (3,B,heads,N,d)
		qkv := torch.Reshape(torch.Linear(x, a.InWeight, a.InBias), []int64{s[0], s[1], 3, a.heads, each})
		qkv = torch.Permute(qkv, []int64{2, 0, 3, 1, 4})
		q, k, v := torch.Select(qkv, 0, 0), torch.Select(qkv, 0, 1), torch.Select(qkv, 0, 2)
		q = torch.MulScalar(q, 1/math.Sqrt(float64(each)))
		weights := torch.Softmax(torch.Matmul(q, torch.Transpose(k, -2, -1)), -1, torch.Unset) // (B,heads,N,N)
		h := torch.Transpose(torch.Matmul(weights, v), 1, 2)                                   // (B,N,heads,d)
		return a.Out.Forward(torch.Reshape(h, s))
	})
}

// Visit names in_proj_weight, in_proj_bias and out_proj.
func (a *SelfAttention) Visit(prefix string, f func(Entry)) {
	f(Entry{prefix + "in_proj_weight", a.InWeight, true})
	f(Entry{prefix + "in_proj_bias", a.InBias, true})
	a.Out.Visit(prefix+"out_proj.", f)
}

// SetTraining does nothing: there is no dropout.
func (a *SelfAttention) SetTraining(bool) {}

// NewXavierLinear is a linear layer as torchvision's transformers have it: Xavier uniform
// weights, biases of standard deviation 1e-6.
func NewXavierLinear(b Builder, in, out int64) *Linear {
	return &Linear{
		Weight: b.parameter("weight", xavier(in, out), out, in),
		Bias:   b.parameter("bias", normal(1e-6), out),
	}
}

// NewPatchConv2d cuts an image into patches and maps each linearly: a k×k convolution of
// stride k with bias, whose weights have the variance 1/(in·k²), as in torchvision's
// transformers.
func NewPatchConv2d(b Builder, in, out, k int64) *Conv2d {
	return &Conv2d{
		Weight:  b.parameter("weight", normal(1/math.Sqrt(float64(in*k*k))), out, in, k, k),
		Bias:    b.parameter("bias", nil, out),
		stride:  []int64{k, k},
		padding: []int64{0, 0},
		groups:  1,
	}
}

// NewMapScale is a factor for each channel of a map, (C,1,1), as in torchvision's ConvNeXt.
func NewMapScale(b Builder, name string, channels int64, initial float64) *torch.Tensor {
	return b.own(fill(channels, float32(initial)), channels, 1, 1).SetRequiresGrad(!b.frozen(name))
}

// NewToken is a parameter (1,n,C) drawn with a standard deviation, zero for 0.
func NewToken(b Builder, name string, std float64, n, channels int64) *torch.Tensor {
	if std == 0 {
		return b.parameter(name, nil, 1, n, channels)
	}
	return b.parameter(name, normal(std), 1, n, channels)
}

// normal draws with a standard deviation.
func normal(std float64) func(*Rand) float64 {
	return func(r *Rand) float64 { return float64(std * r.Normal()) }
}

// uniform draws from U(-bound, bound).
func uniform(bound float64) func(*Rand) float64 {
	return func(r *Rand) float64 { return float64((float64(2*r.Uniform()) - 1) * bound) }
}

// xavier draws from U(-a, a) with a = √(6/(in+out)) (Glorot and Bengio 2010).
func xavier(in, out int64) func(*Rand) float64 { return uniform(math.Sqrt(6 / float64(in+out))) }
