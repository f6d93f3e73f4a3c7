package backbone

import (
	"fmt"

	"resslt/train/nn"
	"resslt/train/torch"
)

// convNeXtSize is a published ConvNeXt: blocks of each stage, and channels of the first. Every
// further stage has twice as many.
type convNeXtSize struct {
	blocks   [4]int
	channels int64
}

var (
	convNeXtTiny  = convNeXtSize{[4]int{3, 3, 9, 3}, 96}
	convNeXtSmall = convNeXtSize{[4]int{3, 3, 27, 3}, 96}
	convNeXtBase  = convNeXtSize{[4]int{3, 3, 27, 3}, 128}
)

// convNeXtScale is where every residual branch's learnt scale starts.
const convNeXtScale = 1e-6

// convNeXt returns the constructor of torchvision's ConvNeXt (Liu et al., A ConvNet for the 2020s,
// 2022) without classifier: features.0 is the stem, the odd features are the stages, the even ones
// halve the map between them, and classifier.0 is the layer norm of the averages, which timm and
// the paper's code have in the encoder. The small stem is a 3×3 convolution of stride 1 in place of
// the 4×4 one of stride 4.
func convNeXt(size convNeXtSize) func(nn.Builder, Config) Backbone {
	return func(b nn.Builder, c Config) Backbone {
		net := &network{}
		add := featureStages(net, b)
		channels := max(1, size.channels*int64(c.Width)/64)
		add(func(b nn.Builder) nn.Module {
			kernel, stride, padding := int64(4), int64(4), int64(0)
			if c.SmallStem {
				kernel, stride, padding = 3, 1, 1
			}
			return &nn.Sequential{Children: []nn.Module{
				nn.NewNormalConv2d(b.At("0"), 3, channels, kernel, stride, padding, 1),
				nn.NewChannelNorm(b.At("1"), channels, layerNormEps),
			}}
		})
		done, total := 0, 0
		for _, n := range size.blocks {
			total += n
		}
		for s, n := range size.blocks {
			if s > 0 {
				add(func(b nn.Builder) nn.Module {
					return &nn.Sequential{Children: []nn.Module{
						nn.NewChannelNorm(b.At("0"), channels, layerNormEps),
						nn.NewNormalConv2d(b.At("1"), channels, 2*channels, 2, 2, 0, 1),
					}}
				})
				channels *= 2
			}
			add(func(b nn.Builder) nn.Module {
				stage := &row{}
				for i := range n {
					// Stochastic depth rises linearly to the last block's, as in torchvision.
					drop := c.StochasticDepth * float64(done) / float64(total-1)
					stage.Children = append(stage.Children, newConvNeXtBlock(b.At(fmt.Sprint(i)), channels, drop, c.LayerScale))
					done++
				}
				return stage
			})
		}
		net.add("classifier.0.", &averageNorm{*nn.NewLayerNorm(b.At("classifier").At("0"), channels, layerNormEps)})
		net.features = channels
		return net
	}
}

// convNeXtBlock is x + depth(scale·body(x)), with a body of a 7×7 filter for each channel, a layer
// norm over the channels, and two layers with a GELU between.
type convNeXtBlock struct {
	filter *nn.Conv2d    // block.0
	norm   *nn.LayerNorm // block.2: torchvision counts the permutations
	mlp    *mlp          // block.3 and block.5
	scale  *torch.Tensor // (C,1,1), layer_scale

	batches *nn.Batches         // nil without stochastic depth
	depth   *nn.StochasticDepth // nil without
}

func newConvNeXtBlock(b nn.Builder, channels int64, drop, scale float64) *convNeXtBlock {
	if scale == 0 {
		scale = convNeXtScale
	}
	body := b.At("block")
	v := &convNeXtBlock{
		scale:  nn.NewMapScale(b, "layer_scale", channels, scale),
		filter: nn.NewNormalConv2d(body.At("0"), channels, channels, 7, 1, 3, channels),
		norm:   nn.NewLayerNorm(body.At("2"), channels, layerNormEps),
		mlp: &mlp{
			first:  nn.NewNormalLinear(body.At("3"), channels, 4*channels),
			second: nn.NewNormalLinear(body.At("5"), 4*channels, channels),
		},
	}
	if drop > 0 {
		v.batches = nn.NewBatches()
		v.depth = nn.NewCountedDepth(b.At("stochastic_depth"), drop, v.batches)
	}
	return v
}

// Forward maps (N,C,H,W) to (N,C,H,W).
func (v *convNeXtBlock) Forward(x *torch.Tensor) *torch.Tensor {
	v.batches.Count()
	return torch.Scope(func() *torch.Tensor {
		h := torch.Permute(v.filter.Forward(x), []int64{0, 2, 3, 1}) // (N,H,W,C)
		h = torch.Permute(v.mlp.Forward(v.norm.Forward(h)), []int64{0, 3, 1, 2})
		h = torch.Mul(h, v.scale)
		if v.depth != nil {
			h = v.depth.Forward(h)
		}
		return torch.Add(x, h, 1)
	})
}

// Visit names layer_scale, then block.0, block.2, block.3 and block.5, as torchvision does; the
// counter of batches stands where torchvision's stochastic_depth has nothing.
func (v *convNeXtBlock) Visit(prefix string, f func(nn.Entry)) {
	f(nn.Entry{Name: prefix + "layer_scale", Tensor: v.scale, Parameter: true})
	v.filter.Visit(prefix+"block.0.", f)
	v.norm.Visit(prefix+"block.2.", f)
	v.mlp.first.Visit(prefix+"block.3.", f)
	v.mlp.second.Visit(prefix+"block.5.", f)
	if v.batches != nil {
		v.batches.Visit(prefix+depthCounter, f)
	}
}

// SetTraining switches stochastic depth and its counter.
func (v *convNeXtBlock) SetTraining(on bool) {
	if v.batches != nil {
		v.batches.SetTraining(on)
		v.depth.SetTraining(on)
	}
}

// averageNorm is the global average and its layer norm.
type averageNorm struct{ nn.LayerNorm }

// Forward maps (N,C,H,W) to (N,C).
func (a *averageNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor { return a.LayerNorm.Forward(globalAverage{}.Forward(x)) })
}
