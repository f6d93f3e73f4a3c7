package main

import (
	"maps"
	"runtime"
	"slices"

	"resslt/cmd/internal/pipeline"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// encoder is a frozen backbone and what one has to know to use it. The weights
// live as long as the process.
type encoder struct {
	backbone.Backbone
	info   train.EncoderInfo
	device torch.Device
}

// resolveHere fills a recipe's defaults from this machine.
func resolveHere(r *recipe.Recipe) error { return r.Resolve(pipeline.Host(runtime.NumCPU())) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
