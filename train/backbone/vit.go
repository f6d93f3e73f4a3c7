package backbone

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// vitSize is a published Vision Transformer: blocks, and heads of 64 channels each.
type vitSize struct {
	depth int
	heads int64
}

var (
	vitTiny  = vitSize{12, 3}
	vitSmall = vitSize{12, 6}
	vitBase  = vitSize{12, 12}
)

// Patch is the side of a Vision Transformer's patches in pixels, 0 for other networks.
func Patch(name string) int {
	size, patch, _ := strings.Cut(name, "_patch")
	if n, err := strconv.Atoi(patch); err == nil && strings.HasPrefix(size, "vit_") {
		return n
	}
	return 0
}

// HeadsOf is the published number of a Vision Transformer's heads, 0 for other networks.
func HeadsOf(name string) int {
	size, _, _ := strings.Cut(name, "_patch")
	return int(map[string]vitSize{"vit_tiny": vitTiny, "vit_small": vitSmall, "vit_base": vitBase}[size].heads)
}

// checkHeads returns an error that wraps errs.ErrUsage for heads that do not share the channels
// evenly.
func (c Config) checkHeads(name string) error {
	channels := HeadsOf(name) * c.Width
	if c.Heads == 0 || c.Heads > 0 && channels%c.Heads == 0 {
		return nil // channels are 0 where there are no heads
	}
	return errs.New("build backbone", name, "give a divisor, or 0 for the published number",
		errs.Because(errs.ErrUsage, fmt.Sprintf("%d heads do not share %d channels evenly", c.Heads, channels)))
}

// SizeOf is the side of the images, in pixels, that a Vision Transformer's positions are for, of
// which there are n: the class token's and one a patch.
func SizeOf(name string, n int64) int { return Patch(name) * int(SideOf(n)) }

// SideOf is how many patches a row has of an image that n positions are for.
func SideOf(n int64) int64 { return int64(math.Round(math.Sqrt(float64(n - 1)))) }

// CheckSize returns an error that wraps errs.ErrUsage for images that the network cannot
// take: a Vision Transformer's are cut into whole patches.
func CheckSize(name string, size int) error {
	p := Patch(name)
	if p == 0 || size > 0 && size%p == 0 {
		return nil
	}
	return errs.New("image size", fmt.Sprint(size), fmt.Sprintf("give a multiple of %d, as %d", p, max(1, (size+p/2)/p)*p),
		errs.Because(errs.ErrUsage, fmt.Sprintf("%s cuts images into patches of %d pixels", name, p)))
}

// Pools are how a Vision Transformer makes a feature vector of its tokens.
var Pools = []string{PoolToken, PoolMean}

// The values of Config.Pool.
const (
	PoolToken = "token" // the class token's
	PoolMean  = "mean"  // the mean of the patches'
)

// layerNormEps is layer norm's ε in the transformers of torchvision, timm, DINO, MAE and DINOv2,
// and in ConvNeXt.
const layerNormEps = 1e-6

// vit returns the constructor of a Vision Transformer (Dosovitskiy et al. 2020, arXiv
// 2010.11929; Ti and S are DeiT's, Touvron et al. 2020) without classifier, as torchvision
// has it: patches, class token, positions, blocks that normalise first, a last layer norm.
// A head has Config.Width channels, unless Config.Heads are others. The small stem is the same: a
// small patch takes its place.
func vit(size vitSize, patch int64) func(nn.Builder, Config) Backbone {
	return func(b nn.Builder, c Config) Backbone {
		channels, heads := size.heads*int64(c.Width), size.heads
		if c.Heads > 0 {
			heads = int64(c.Heads)
		}
		side := int64(c.ImageSize) / patch
		encoder := b.At("encoder")
		net := &network{features: channels}
		t := &tokens{
			class:     nn.NewToken(b, "class_token", 0, 1, channels),
			patches:   nn.NewPatchConv2d(b.At("conv_proj"), 3, channels, patch),
			positions: nn.NewToken(encoder, "pos_embedding", 0.02, 1+side*side, channels),
			side:      side,
		}
		net.add("", t)
		blocks := &encoderLayers{}
		for i := range size.depth {
			// Stochastic depth rises linearly to the last block's, as in DeiT.
			drop := c.StochasticDepth * float64(i) / float64(max(1, size.depth-1))
			blocks.Children = append(blocks.Children, newVitBlock(encoder.At("layers").At(fmt.Sprintf("encoder_layer_%d", i)), channels, heads, drop, c.LayerScale))
		}
		net.add("encoder.layers.", blocks)
		net.add("encoder.", &tokenPool{norm: nn.NewLayerNorm(encoder.At("ln"), channels, layerNormEps), mean: c.Pool == PoolMean})
		return net
	}
}

// tokens maps images to tokens: one for the class, one a patch, in order of rows, each with
// its position added.
type tokens struct {
	class     *torch.Tensor // (1,1,C)
	patches   *nn.Conv2d    // conv_proj
	positions *torch.Tensor // (1,1+side²,C), the class token's first
	side      int64         // patches in a row of the image that the positions are for
}

// Forward maps (N,3,H,W) to (N,1+H·W/p²,C). Positions are resized to images of another
// size, bicubically.
func (t *tokens) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		h := t.patches.Forward(x) // (N,C,H/p,W/p)
		s := h.Shape()
		h = torch.Transpose(torch.Flatten(h, 2, -1), 1, 2)
		class := torch.Expand(t.class, []int64{s[0], 1, s[1]}, false)
		h = torch.Cat([]*torch.Tensor{class.To(h.Device(), h.DType(), false), h}, 1)
		return torch.Add(h, t.at(s[2], s[3]), 1)
	})
}

// at is the positions for h rows of w patches, (1,1+h·w,C).
func (t *tokens) at(h, w int64) *torch.Tensor {
	if h == t.side && w == t.side {
		return t.positions
	}
	return positionsFor(t.positions, t.side, h, w)
}

// Visit names class_token, conv_proj and encoder.pos_embedding.
func (t *tokens) Visit(prefix string, f func(nn.Entry)) {
	f(nn.Entry{Name: prefix + "class_token", Tensor: t.class, Parameter: true})
	t.patches.Visit(prefix+"conv_proj.", f)
	f(nn.Entry{Name: prefix + "encoder.pos_embedding", Tensor: t.positions, Parameter: true})
}

// SetTraining does nothing.
func (t *tokens) SetTraining(bool) {}

// encoderLayers is a row whose children torchvision names encoder_layer_0, …
type encoderLayers struct{ row }

// Visit visits the blocks in order.
func (e *encoderLayers) Visit(prefix string, f func(nn.Entry)) {
	for i, c := range e.Children {
		c.Visit(fmt.Sprintf("%sencoder_layer_%d.", prefix, i), f)
	}
}

// depthCounter begins the name of the counter of a ConvNeXt's block.
const depthCounter = "stochastic_depth."

// TrainingOnly reports whether a key is of a tensor that only training reads: the counter of a
// block without batch norm, a transformer's or ConvNeXt's. It is in checkpoints, and in no
// encoder's file.
func TrainingOnly(key string) bool {
	block, ok := strings.CutSuffix(key, "num_batches_tracked")
	return ok && (strings.Contains(block, "encoder_layer_") || strings.HasSuffix(block, depthCounter))
}

// vitBlock is x + a(ln_1(x)), then x + m(ln_2(x)), with a self-attention and m two layers
// with a GELU between. The branches may have a learnt scale and stochastic depth.
type vitBlock struct {
	batches   *nn.Batches // nil without stochastic depth
	attention branch
	mlp       branch
}

// branch is a residual branch: norm, body, scale, stochastic depth.
type branch struct {
	norm  *nn.LayerNorm
	body  nn.Module
	scale *nn.LayerScale      // nil without
	depth *nn.StochasticDepth // nil without
}

func newVitBlock(b nn.Builder, channels, heads int64, drop, scale float64) *vitBlock {
	v := &vitBlock{
		attention: branch{norm: nn.NewLayerNorm(b.At("ln_1"), channels, layerNormEps), body: nn.NewSelfAttention(b.At("self_attention"), channels, heads)},
		mlp: branch{norm: nn.NewLayerNorm(b.At("ln_2"), channels, layerNormEps), body: &mlp{
			first:  nn.NewXavierLinear(b.At("mlp").At("0"), channels, 4*channels),
			second: nn.NewXavierLinear(b.At("mlp").At("3"), 4*channels, channels),
		}},
	}
	if scale > 0 {
		v.attention.scale = nn.NewLayerScale(b.At("ls_1"), channels, scale)
		v.mlp.scale = nn.NewLayerScale(b.At("ls_2"), channels, scale)
	}
	if drop > 0 {
		v.batches = nn.NewBatches()
		v.attention.depth = nn.NewCountedDepth(b.At("drop_1"), drop, v.batches)
		v.mlp.depth = nn.NewCountedDepth(b.At("drop_2"), drop, v.batches)
	}
	return v
}

// Forward maps (N,T,C) to (N,T,C).
func (v *vitBlock) Forward(x *torch.Tensor) *torch.Tensor {
	v.batches.Count()
	return torch.Scope(func() *torch.Tensor {
		return v.mlp.add(v.attention.add(x))
	})
}

// add is x + depth(scale(body(norm(x)))).
func (r branch) add(x *torch.Tensor) *torch.Tensor {
	h := r.body.Forward(r.norm.Forward(x))
	if r.scale != nil {
		h = r.scale.Forward(h)
	}
	if r.depth != nil {
		h = r.depth.Forward(h)
	}
	return torch.Add(x, h, 1)
}

// Visit names ln_1, self_attention, ln_2 and mlp as torchvision does; ls_1 and ls_2 follow
// the branches that they scale, the counter of batches comes first.
func (v *vitBlock) Visit(prefix string, f func(nn.Entry)) {
	if v.batches != nil {
		v.batches.Visit(prefix, f)
	}
	for i, r := range []branch{v.attention, v.mlp} {
		r.norm.Visit(fmt.Sprintf("%sln_%d.", prefix, i+1), f)
		r.body.Visit(prefix+[]string{"self_attention.", "mlp."}[i], f)
		if r.scale != nil {
			r.scale.Visit(fmt.Sprintf("%sls_%d.", prefix, i+1), f)
		}
	}
}

// SetTraining switches stochastic depth and its counter.
func (v *vitBlock) SetTraining(on bool) {
	if v.batches != nil {
		v.batches.SetTraining(on)
		v.attention.depth.SetTraining(on)
		v.mlp.depth.SetTraining(on)
	}
}

// mlp is a layer to four times the channels, a GELU, and a layer back.
type mlp struct{ first, second *nn.Linear }

// Forward maps (N,T,C) to (N,T,C).
func (m *mlp) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		return m.second.Forward(nn.GELU{}.Forward(m.first.Forward(x)))
	})
}

// Visit names the layers 0 and 3: torchvision counts the GELU and the dropouts.
func (m *mlp) Visit(prefix string, f func(nn.Entry)) {
	m.first.Visit(prefix+"0.", f)
	m.second.Visit(prefix+"3.", f)
}

// SetTraining does nothing.
func (m *mlp) SetTraining(bool) {}

// tokenPool normalises the tokens and takes the class token's, or the mean of the patches'.
type tokenPool struct {
	norm *nn.LayerNorm
	mean bool
}

// Forward maps (N,T,C) to (N,C).
func (p *tokenPool) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		if !p.mean {
			return p.norm.Forward(torch.Select(x, 1, 0))
		}
		x = p.norm.Forward(torch.Narrow(x, 1, 1, x.Size(1)-1))
		return torch.MeanDim(x, []int64{1}, false, torch.Unset)
	})
}

// Visit names ln.
func (p *tokenPool) Visit(prefix string, f func(nn.Entry)) { p.norm.Visit(prefix+"ln.", f) }

// SetTraining does nothing.
func (p *tokenPool) SetTraining(bool) {}
