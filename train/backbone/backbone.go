package backbone

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// Backbone is an encoder F.
type Backbone interface {
	// Module's Forward maps normalised images (N,3,S,S) to (N, FeatureDim).
	nn.Module
	// FeatureDim is the length of a feature vector.
	FeatureDim() int64
	// Stages lists the modules that Forward composes: the stem, every block, the global
	// average. Activation checkpointing cuts the network between them. None overwrites
	// its input.
	Stages() []nn.Module
}

// Config says how to build a backbone.
type Config struct {
	Width     int    // 64, or 0, is the published network; other widths scale every layer's channels
	SmallStem bool   // no downsampling before the second stage, for images of 32–64 pixels
	Seed      uint64 // of the initial weights, and of stochastic depth

	// StochasticDepth is the probability with which EfficientNet, ConvNeXt or a Vision
	// Transformer drops its last block for a sample in training; it rises linearly over the
	// blocks before. 0, the default, drops nothing; torchvision has 0.2 for EfficientNet and
	// 0.1 for ConvNeXt-T. Other networks ignore it.
	StochasticDepth float64

	// Of Vision Transformers; other networks ignore them.
	ImageSize int    // S that the position embeddings are for; 0: 16 patches a row
	Pool      string // PoolToken, which "" stands for, or PoolMean
	Heads     int    // of attention, which share the channels; 0: the published number, of Width channels each

	// LayerScale is the initial factor of every residual branch's learnt scale, of Vision
	// Transformers and ConvNeXt; 0: a transformer has none, and ConvNeXt's are 1e-6.
	LayerScale float64

	// Frozen says which parameters stay as they are (nn.Builder); nil: none.
	Frozen func(name string) bool
	Blank  bool // weights are not drawn: they are loaded, or the names alone are wanted

	Device       torch.Device // of the weights
	ChannelsLast bool         // NHWC memory order
	Fused        bool         // use the shim's own loops where they are faster (nn.Builder)
	Double       bool         // float64 weights, for numerical checks

	SyncBatchNorm *torch.Group // ranks whose rows share batch norm's statistics; nil: this process
	Ranks         *torch.Group // ranks that share a batch; nil: this process

	BatchNormGroups int // groups of a batch's rows with statistics of their own; 0 and 1: the whole batch
}

// MaxWidth bounds a recipe's width, well above any published network.
const MaxWidth = 1024

// registry has a constructor for each backbone. A new backbone needs a file with its
// constructor and a line here.
var registry = map[string]func(nn.Builder, Config) Backbone{
	"resnet18": resnet(basic, 2, 2, 2, 2),
	"resnet34": resnet(basic, 3, 4, 6, 3),
	"resnet50": resnet(bottleneck, 3, 4, 6, 3),

	"wide_resnet50_2": resnet(wideBottleneck, 3, 4, 6, 3),

	"convnext_tiny":  convNeXt(convNeXtTiny),
	"convnext_small": convNeXt(convNeXtSmall),
	"convnext_base":  convNeXt(convNeXtBase),

	"efficientnet_b0":    efficientNet(1),
	"efficientnet_b1":    efficientNet(1.1),
	"mobilenet_v3_large": mobileNet,

	"vit_tiny_patch4":   vit(vitTiny, 4),
	"vit_tiny_patch8":   vit(vitTiny, 8),
	"vit_tiny_patch14":  vit(vitTiny, 14),
	"vit_tiny_patch16":  vit(vitTiny, 16),
	"vit_small_patch4":  vit(vitSmall, 4),
	"vit_small_patch8":  vit(vitSmall, 8),
	"vit_small_patch14": vit(vitSmall, 14),
	"vit_small_patch16": vit(vitSmall, 16),
	"vit_base_patch4":   vit(vitBase, 4),
	"vit_base_patch8":   vit(vitBase, 8),
	"vit_base_patch14":  vit(vitBase, 14),
	"vit_base_patch16":  vit(vitBase, 16),
}

// Drops reports whether a network has stochastic depth, which draws in every step.
func Drops(name string) bool {
	return strings.HasPrefix(name, "efficientnet") || strings.HasPrefix(name, "convnext") || Patch(name) > 0
}

// Names lists the backbones, sorted.
func Names() []string { return slices.Sorted(maps.Keys(registry)) }

// New builds the named backbone in training mode. Errors wrap errs.ErrUsage: an unknown
// name, or a width or probability out of range.
func New(name string, c Config) (Backbone, error) {
	c = c.applyDefaults(name)
	if err := c.Validate(name); err != nil {
		return nil, err
	}
	build := registry[name]
	var b Backbone
	err := torch.Do(func() error {
		b = build(nn.Builder{
			Seed: c.Seed, Device: c.Device, ChannelsLast: c.ChannelsLast, Fused: c.Fused, Double: c.Double,
			Frozen: c.Frozen, Blank: c.Blank,
			BatchNormGroups: c.BatchNormGroups, SyncBatchNorm: c.SyncBatchNorm, Ranks: c.Ranks,
		}, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (c Config) applyDefaults(name string) Config {
	if c.Width == 0 {
		c.Width = 64
	}
	if c.ImageSize == 0 {
		c.ImageSize = 16 * Patch(name)
	}
	if c.Pool == "" {
		c.Pool = PoolToken
	}
	return c
}

// Validate returns an error that wraps errs.ErrUsage where the named network cannot be built:
// an unknown name, or a number out of range.
func (c Config) Validate(name string) error {
	c = c.applyDefaults(name)
	bad := func(hint, why string, v any) error {
		return errs.New("build backbone", name, hint, errs.Because(errs.ErrUsage, fmt.Sprintf(why, v)))
	}
	switch {
	case registry[name] == nil:
		return errs.New("build backbone", fmt.Sprintf("%q", name),
			bounded.Suggest(name, Names())+"use one of "+strings.Join(Names(), ", "), errs.Because(errs.ErrUsage, "no such backbone"))
	case c.Width < 1 || c.Width > MaxWidth:
		return bad(fmt.Sprintf("give a width of 1 to %d", MaxWidth), "width is %d", c.Width)
	case !(c.StochasticDepth >= 0 && c.StochasticDepth < 1):
		return bad("give 0 ≤ stochastic depth < 1", "stochastic depth is %v", c.StochasticDepth)
	case !slices.Contains(Pools, c.Pool):
		return bad(bounded.Suggest(c.Pool, Pools)+"give one of "+strings.Join(Pools, ", "), "pool is %q", c.Pool)
	case !(c.LayerScale >= 0 && c.LayerScale <= 1):
		return bad("give 0 ≤ layer scale ≤ 1", "layer scale is %v", c.LayerScale)
	}
	if err := c.checkHeads(name); err != nil {
		return err
	}
	return CheckSize(name, c.ImageSize)
}
