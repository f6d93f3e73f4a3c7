package train

import (
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
	"resslt/train/nn/nntest"
	"resslt/train/optim"
)

// TestFreezePatterns: which parameters a pattern names, and what is said where it names none.
func TestFreezePatterns(t *testing.T) {
	nntest.Torch(t)
	resnet := []string{"conv1.weight", "bn1.weight", "bn1.bias"}
	for _, c := range []struct {
		network  string
		patterns string
		want     []string // some of them
		n        int
		says     []string
	}{
		{"resnet18", "stem", resnet, 3, nil},
		{"resnet18", "conv1 bn1", resnet, 3, nil},
		{"resnet18", "layer1.0", []string{"layer1.0.conv1.weight", "layer1.0.bn2.bias"}, 6, nil},
		{"resnet18", "layer1.0.conv1.weight", []string{"layer1.0.conv1.weight"}, 1, nil},
		{"resnet18", "layer[12]", []string{"layer2.1.bn2.bias"}, 27, nil},
		{"resnet18", "*.bn?", []string{"layer4.1.bn2.bias"}, 32, nil},
		{"resnet18", "*", []string{"layer4.1.bn2.bias"}, 60, nil},
		{"vit_tiny_patch4", "conv_proj", []string{"conv_proj.weight", "conv_proj.bias"}, 2, nil},
		{"vit_tiny_patch4", "patch_embed", []string{"conv_proj.weight", "conv_proj.bias"}, 2, nil},
		{"vit_tiny_patch4", "blocks.1", []string{"encoder.layers.encoder_layer_1.ln_1.weight"}, 12, nil},
		{"vit_tiny_patch4", "stem", []string{"class_token", "encoder.pos_embedding"}, 4, nil},
		{"efficientnet_b0", "conv_stem blocks.0", []string{"features.0.0.weight", "features.1.0.block.0.0.weight"}, 11, nil},
		{"convnext_tiny", "stem stages.0.blocks.2", []string{"features.0.0.bias", "features.1.2.layer_scale"}, 13, nil},
		{"convnext_tiny", "features.0 features.1.2", []string{"features.0.0.bias", "features.1.2.layer_scale"}, 13, nil},
		{"resnet18", "layer", nil, 0, []string{`resnet18 has no parameter "layer"`, "stem, conv1, bn1, layer1 … layer4"}},
		{"resnet18", "layer1 layer9", nil, 0, []string{`"layer9"`}},
		{"vit_tiny_patch4", "layer1", nil, 0, []string{"class_token, conv_proj, encoder.pos_embedding, encoder.layers.encoder_layer_0 … encoder.layers.encoder_layer_11, encoder.ln"}},
		{"convnext_tiny", "layer1", nil, 0, []string{"features.0 … features.7, classifier.0"}},
		{"resnet18", "[", nil, 0, []string{`"[" is no pattern`}},
	} {
		config := small
		config.Backbone, config.ImageSize, config.Freeze = c.network, smallSize, strings.Fields(c.patterns)
		f, err := newFrozen(config)
		if c.says != nil {
			errstest.Want(t, err, errs.ErrUsage, c.says...)
			continue
		}
		if err != nil {
			t.Errorf("%s of %s: %v", c.patterns, c.network, err)
			continue
		}
		if len(f) != c.n {
			t.Errorf("%s of %s are %d parameters, want %d", c.patterns, c.network, len(f), c.n)
		}
		for _, name := range c.want {
			if !f[name] {
				t.Errorf("%s of %s does not have %s", c.patterns, c.network, name)
			}
		}
	}
}

// TestFrozenStays: neither gradients nor weight decay nor momentum nor batches move what is frozen,
// in either network; all else moves, and the optimiser keeps nothing for the former.
func TestFrozenStays(t *testing.T) {
	nntest.Torch(t)
	for name, change := range map[string]func(*Config){
		"sgd":  func(*Config) {},
		"lars": func(c *Config) { c.Optimizer = optim.Options{Kind: optim.LARS, Momentum: 0.9, WeightDecay: 1e-2} },
		"adamw": func(c *Config) {
			c.Optimizer = optim.Options{Kind: optim.AdamW, WeightDecay: 1e-2, LayerDecay: 0.7, Clip: 1}
		},
		"no teacher": func(c *Config) { c.Objective = "simclr" },
		"recomputed": func(c *Config) { c.Recompute = true },
		"layer scale and depth": func(c *Config) {
			c.Backbone, c.StochasticDepth, c.Freeze = "convnext_tiny", 0.5, []string{"stem", "stages.0"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := small
			c.Freeze = []string{"stem", "layer1", "layer3.0.bn1"}
			c.Optimizer.WeightDecay = 1e-2
			change(&c)
			l := newSmall(t, c)
			defer l.Free()
			before := contents(t, l)
			for i := range 6 {
				h := hyper
				h.Momentum, h.Step = 0.5, int64(i)
				if c.Objective == "simclr" {
					stepThree(t, l, string(rune('a'+i)), h)
				} else {
					stepOn(t, l, string(rune('a'+i)), h)
				}
			}
			still, moved := 0, 0
			for key, after := range contents(t, l) {
				network, name, _ := strings.Cut(key, ".")
				param := strings.TrimPrefix(name, "backbone.")
				norm := param[:strings.LastIndex(param, ".")+1]
				frozen := l.config.frozen[param] || l.config.frozen[norm+"weight"] && l.config.frozen[norm+"bias"]
				switch {
				case network != "student" && network != "teacher":
					if l.config.frozen[strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "momentum."), "second."), "backbone.")] {
						t.Errorf("the optimiser has %s", key)
					}
				case strings.HasPrefix(name, "backbone.") && frozen:
					still++
					if !slices.Equal(after, before[key]) {
						t.Errorf("%s has moved", key)
					}
				case !strings.HasSuffix(key, "weight"): // a bias may have no gradient
				case !slices.Equal(after, before[key]):
					moved++
				default:
					t.Errorf("%s is as it was", key)
				}
			}
			if still < 20 || moved < 20 {
				t.Errorf("%d tensors stayed, %d moved", still, moved)
			}
		})
	}
}
