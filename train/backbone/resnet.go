package backbone

import (
	"fmt"

	"resslt/train/nn"
	"resslt/train/torch"
)

// blockKind builds a block of p planes on in channels, and returns the block and its
// output channels.
type blockKind func(b nn.Builder, in, p, stride int64) (nn.Module, int64)

// resnet returns the constructor of torchvision's ResNet (He et al., Deep Residual
// Learning for Image Recognition, 2015; the 3×3 convolution of a bottleneck has the
// stride) without its fc layer: a stem, then four stages of so many blocks. It has
// 8·width features with basic blocks, 32·width with bottlenecks, of Wide ResNets, too
// (Zagoruyko and Komodakis 2016), which are wider inside blocks alone.
func resnet(kind blockKind, blocks ...int) func(nn.Builder, Config) Backbone {
	return func(b nn.Builder, c Config) Backbone {
		width := int64(c.Width)
		net := &network{}
		net.add("", newResNetStem(b, width, c.SmallStem))
		in := width
		for s := range blocks {
			name := fmt.Sprintf("layer%d", s+1)
			at, layer := b.At(name), &row{}
			for i := range blocks[s] {
				stride := int64(1)
				if s > 0 && i == 0 {
					stride = 2
				}
				block, out := kind(at.At(fmt.Sprint(i)), in, width<<s, stride)
				layer.Children = append(layer.Children, block)
				in = out
			}
			net.add(name+".", layer)
		}
		return net.pooled(in)
	}
}

// resnetStem is conv1, bn1, ReLU and, except in the small stem, a max-pool.
type resnetStem struct {
	conv    *nn.Conv2d
	norm    *nn.BatchNorm
	maxPool bool
}

func newResNetStem(b nn.Builder, width int64, small bool) *resnetStem {
	kernel, stride := int64(7), int64(2)
	if small {
		kernel, stride = 3, 1
	}
	return &resnetStem{
		conv:    nn.NewConv2d(b.At("conv1"), 3, width, kernel, stride, kernel/2),
		norm:    nn.NewBatchNorm(b.At("bn1"), width),
		maxPool: !small,
	}
}

// Forward maps (N,3,S,S) to (N,width,S,S), or with max-pool to (N,width,S/4,S/4).
func (r *resnetStem) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		h := r.norm.ForwardReLU(r.conv.Forward(x), nil)
		if r.maxPool {
			h = torch.MaxPool2d(h, []int64{3, 3}, []int64{2, 2}, []int64{1, 1}, []int64{1, 1}, false)
		}
		return h
	})
}

// Visit names conv1 and bn1.
func (r *resnetStem) Visit(prefix string, f func(nn.Entry)) {
	r.conv.Visit(prefix+"conv1.", f)
	r.norm.Visit(prefix+"bn1.", f)
}

// SetTraining switches the batch norm.
func (r *resnetStem) SetTraining(on bool) { r.norm.SetTraining(on) }

// residual is relu(body(x) + shortcut(x)): torchvision's BasicBlock and
// Bottleneck are this with two and three pairs of convolution and batch norm,
// a ReLU between pairs.
type residual struct {
	convs      []*nn.Conv2d
	norms      []*nn.BatchNorm
	downsample *nn.Sequential // nil if the shortcut is the identity
}

// basic is two 3×3 convolutions of p channels.
func basic(b nn.Builder, in, p, stride int64) (nn.Module, int64) {
	r := &residual{}
	r.add(b, in, p, 3, stride)
	r.add(b, p, p, 3, 1)
	r.shortcut(b, in, p, stride)
	return r, p
}

// bottleneck is 1×1 to p channels, 3×3, 1×1 to 4p channels.
func bottleneck(b nn.Builder, in, p, stride int64) (nn.Module, int64) {
	return bottleneckOf(b, in, p, p, stride)
}

// wideBottleneck is a bottleneck of twice the channels inside.
func wideBottleneck(b nn.Builder, in, p, stride int64) (nn.Module, int64) {
	return bottleneckOf(b, in, p, 2*p, stride)
}

func bottleneckOf(b nn.Builder, in, p, inside, stride int64) (nn.Module, int64) {
	r := &residual{}
	r.add(b, in, inside, 1, 1)
	r.add(b, inside, inside, 3, stride)
	r.add(b, inside, 4*p, 1, 1)
	r.shortcut(b, in, 4*p, stride)
	return r, 4 * p
}

func (r *residual) add(b nn.Builder, in, out, k, stride int64) {
	i := fmt.Sprint(len(r.convs) + 1)
	r.convs = append(r.convs, nn.NewConv2d(b.At("conv"+i), in, out, k, stride, k/2))
	r.norms = append(r.norms, nn.NewBatchNorm(b.At("bn"+i), out))
}

// shortcut adds a strided 1×1 convolution with batch norm if the shapes differ.
func (r *residual) shortcut(b nn.Builder, in, out, stride int64) {
	if stride == 1 && in == out {
		return
	}
	d := b.At("downsample")
	r.downsample = &nn.Sequential{Children: []nn.Module{
		nn.NewConv2d(d.At("0"), in, out, 1, stride, 0),
		nn.NewBatchNorm(d.At("1"), out),
	}}
}

// Forward adds the shortcut into the body's output in place.
func (r *residual) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		h, last := x, len(r.convs)-1
		for i, c := range r.convs[:last] {
			h = r.norms[i].ForwardReLU(c.Forward(h), nil)
		}
		return r.norms[last].ForwardReLU(r.convs[last].Forward(h), func() *torch.Tensor {
			if r.downsample != nil {
				return r.downsample.Forward(x)
			}
			return x
		})
	})
}

// Visit names conv1, bn1, conv2, … and downsample.
func (r *residual) Visit(prefix string, f func(nn.Entry)) {
	for i, c := range r.convs {
		c.Visit(fmt.Sprintf("%sconv%d.", prefix, i+1), f)
		r.norms[i].Visit(fmt.Sprintf("%sbn%d.", prefix, i+1), f)
	}
	if r.downsample != nil {
		r.downsample.Visit(prefix+"downsample.", f)
	}
}

// SetTraining switches every batch norm.
func (r *residual) SetTraining(on bool) {
	for _, n := range r.norms {
		n.SetTraining(on)
	}
	if r.downsample != nil {
		r.downsample.SetTraining(on)
	}
}
