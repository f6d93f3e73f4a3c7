package foreign

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"resslt/train/safetensors"
)

// ConvNeXt has three ways of naming: torchvision's, timm's and that of the paper's code
// (facebookresearch/ConvNeXt). S counts the stages from 0, F is 2·S+1:
//
//	torchvision              timm                               paper's code
//	features.0.0, .1         stem.0, .1                         downsample_layers.0.0, .1
//	features.(F-1).0, .1     stages.S.downsample.0, .1          downsample_layers.S.0, .1
//	features.F.B.layer_scale stages.S.blocks.B.gamma            stages.S.B.gamma
//	features.F.B.block.0     ….conv_dw                          ….dwconv
//	features.F.B.block.2     ….norm                             ….norm
//	features.F.B.block.3, 5  ….mlp.fc1, fc2                     ….pwconv1, pwconv2
//	classifier.0             head.norm                          norm
//
// A layer scale is (C,1,1) in torchvision and (C) elsewhere.
var (
	convNeXtFeature = regexp.MustCompile(`^features\.(\d+)\.(\d+)\.(.+)$`)
	convNeXtBlock   = regexp.MustCompile(`^stages\.(\d+)\.(?:blocks\.)?(\d+)\.(.+)$`)
	convNeXtHalving = regexp.MustCompile(`^(?:stages\.(\d+)\.downsample|downsample_layers\.(\d+))\.([01])\.(.+)$`)

	// convNeXtAlters are keys of ConvNeXts whose features this build's have not.
	convNeXtAlters = regexp.MustCompile(`^(stem|stages|downsample_layers|head\.norm|norm)\.`)
)

// layerScale is torchvision's name in a block; convNeXtNames are the others there: torchvision's,
// timm's and the paper's.
const layerScale = "layer_scale"

var convNeXtNames = [][3]string{
	{layerScale, "gamma", "gamma"},
	{"block.0.weight", "conv_dw.weight", "dwconv.weight"},
	{"block.0.bias", "conv_dw.bias", "dwconv.bias"},
	{"block.2.weight", "norm.weight", "norm.weight"},
	{"block.2.bias", "norm.bias", "norm.bias"},
	{"block.3.weight", "mlp.fc1.weight", "pwconv1.weight"},
	{"block.3.bias", "mlp.fc1.bias", "pwconv1.bias"},
	{"block.5.weight", "mlp.fc2.weight", "pwconv2.weight"},
	{"block.5.bias", "mlp.fc2.bias", "pwconv2.bias"},
}

// convNeXtToTimm is timm's name of a key of torchvision's ConvNeXt, "" where there is none.
func convNeXtToTimm(key string) string {
	if rest, ok := strings.CutPrefix(key, "classifier.0."); ok {
		return "head.norm." + rest
	}
	m := convNeXtFeature.FindStringSubmatch(key)
	if m == nil {
		return ""
	}
	feature, _ := strconv.Atoi(m[1]) // digits
	switch {
	case feature%2 == 1:
		for _, n := range convNeXtNames {
			if n[0] == m[3] {
				return fmt.Sprintf("stages.%d.blocks.%s.%s", feature/2, m[2], n[1])
			}
		}
		return ""
	case m[2] != "0" && m[2] != "1" || m[3] != "weight" && m[3] != "bias":
		return ""
	case feature == 0:
		return fmt.Sprintf("stem.%s.%s", m[2], m[3])
	}
	return fmt.Sprintf("stages.%d.downsample.%s.%s", feature/2, m[2], m[3])
}

// convNeXtOurs is torchvision's key of timm's or of the paper's, "" for classifiers.
func convNeXtOurs(key string, _ func(string) bool) string {
	if rest, ok := strings.CutPrefix(key, "stem."); ok {
		return "features.0." + rest
	}
	for _, norm := range []string{"head.norm.", "norm."} {
		if rest, ok := strings.CutPrefix(key, norm); ok {
			return "classifier.0." + rest
		}
	}
	if m := convNeXtHalving.FindStringSubmatch(key); m != nil {
		stage, _ := strconv.Atoi(m[1] + m[2]) // digits: one of them is empty
		return fmt.Sprintf("features.%d.%s.%s", 2*stage, m[3], m[4])
	}
	if m := convNeXtBlock.FindStringSubmatch(key); m != nil {
		stage, _ := strconv.Atoi(m[1]) // digits
		for _, n := range convNeXtNames {
			if n[1] == m[3] || n[2] == m[3] {
				return fmt.Sprintf("features.%d.%s.%s", 2*stage+1, m[2], n[0])
			}
		}
	}
	return ""
}

// asMap gives a layer scale torchvision's form.
func asMap(t *safetensors.Tensor) {
	if strings.HasSuffix(t.Name, "."+layerScale) && len(t.Shape) == 1 {
		t.Shape = []int64{t.Shape[0], 1, 1}
	}
}

// guessConvNeXt names a ConvNeXt by its shapes: the stages' blocks, and the first channels.
func guessConvNeXt(shape map[string][]int64) Guess {
	g := Guess{Stem: "imagenet"}
	s := shape["features.0.0.weight"]
	if len(s) != 4 {
		return g
	}
	if s[2] == 3 {
		g.Stem = "small"
	}
	n := 0
	for shape[fmt.Sprintf("features.5.%d.%s", n, layerScale)] != nil {
		n++
	}
	switch {
	case n == 9:
		g.Backbone = "convnext_tiny"
		if s[0] == 96 {
			g.Width = 64
		}
	case n == 27 && s[0] == 96:
		g.Backbone, g.Width = "convnext_small", 64
	case n == 27 && s[0] == 128:
		g.Backbone, g.Width = "convnext_base", 64
	}
	return g
}
