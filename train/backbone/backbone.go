package backbone

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"resslt/schemas"
	"resslt/train/nn"
	"resslt/train/torch"
)

// Backbone is an encoder F.
type Backbone interface {
	// Module's Forward maps normalised images (N,3,S,S) to (N, FeatureDim).
	nn.Module
	// FeatureDim is the length of a feature vector.
	FeatureDim() int64
	// Stages lists the modules whose composition Forward is, stem first, global
	// average last: where a long network may be cut, as gradient checkpointing does.
	Stages() []nn.Module
}

// Config is how a backbone is built.
type Config struct {
	Width     int    // channels of the first stage; 0 means 64
	SmallStem bool   // 3×3 stem without max-pool, for images of 32–64 pixels
	Seed      uint64 // of the initial weights

	Device       torch.Device // where the weights live
	ChannelsLast bool         // NHWC memory order
	Double       bool         // float64 weights, to check numerics against
}

// MaxWidth bounds what a recipe may ask for, well above any published network.
const MaxWidth = 1024

var registry = map[string]func(nn.Builder, Config) Backbone{
	"resnet18": resnet(basic, 2, 2, 2, 2),
	"resnet34": resnet(basic, 3, 4, 6, 3),
	"resnet50": resnet(bottleneck, 3, 4, 6, 3),
}

// Names lists the backbones that New knows, sorted.
func Names() []string { return slices.Sorted(maps.Keys(registry)) }

// New builds the backbone called name, in training mode. It returns an error
// wrapping schemas.ErrUsage for an unknown name or an impossible width.
func New(name string, c Config) (Backbone, error) {
	build, ok := registry[name]
	if !ok {
		return nil, schemas.E("build backbone", fmt.Sprintf("%q", name),
			"use one of "+strings.Join(Names(), ", "), schemas.Because(schemas.ErrUsage, "no such backbone"))
	}
	if c.Width == 0 {
		c.Width = 64
	}
	if c.Width < 1 || c.Width > MaxWidth {
		return nil, schemas.E("build backbone", name, fmt.Sprintf("give a width of 1 to %d", MaxWidth),
			schemas.Because(schemas.ErrUsage, fmt.Sprintf("width is %d", c.Width)))
	}
	var b Backbone
	err := torch.Do(func() error {
		b = build(nn.Builder{Seed: c.Seed, Device: c.Device, ChannelsLast: c.ChannelsLast, Double: c.Double}, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}
