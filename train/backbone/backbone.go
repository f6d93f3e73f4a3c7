package backbone

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

	// StochasticDepth is the probability with which EfficientNet drops its last block
	// for a sample in training; it rises linearly over the blocks before. 0, the default,
	// drops nothing; torchvision has 0.2. Other networks ignore it.
	StochasticDepth float64

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

	"efficientnet_b0":    efficientNet(1),
	"efficientnet_b1":    efficientNet(1.1),
	"mobilenet_v3_large": mobileNet,
}

// Names lists the backbones, sorted.
func Names() []string { return slices.Sorted(maps.Keys(registry)) }

// New builds the named backbone in training mode. Errors wrap errs.ErrUsage: an unknown
// name, or a width or probability out of range.
func New(name string, c Config) (Backbone, error) {
	build, ok := registry[name]
	if !ok {
		return nil, errs.New("build backbone", fmt.Sprintf("%q", name),
			"use one of "+strings.Join(Names(), ", "), errs.Because(errs.ErrUsage, "no such backbone"))
	}
	if c.Width == 0 {
		c.Width = 64
	}
	if c.Width < 1 || c.Width > MaxWidth {
		return nil, errs.New("build backbone", name, fmt.Sprintf("give a width of 1 to %d", MaxWidth),
			errs.Because(errs.ErrUsage, fmt.Sprintf("width is %d", c.Width)))
	}
	if !(c.StochasticDepth >= 0 && c.StochasticDepth < 1) {
		return nil, errs.New("build backbone", name, "give 0 ≤ stochastic depth < 1",
			errs.Because(errs.ErrUsage, fmt.Sprintf("stochastic depth is %v", c.StochasticDepth)))
	}
	var b Backbone
	err := torch.Do(func() error {
		b = build(nn.Builder{
			Seed: c.Seed, Device: c.Device, ChannelsLast: c.ChannelsLast, Fused: c.Fused, Double: c.Double,
			BatchNormGroups: c.BatchNormGroups, SyncBatchNorm: c.SyncBatchNorm, Ranks: c.Ranks,
		}, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}
