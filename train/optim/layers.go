package optim

import (
	"regexp"
	"strconv"
	"strings"
)

// layerNumber finds a backbone's stage in the key of a parameter: a transformer's block, or
// the stage of a ResNet, EfficientNet, MobileNetV3 or ConvNeXt.
var layerNumber = regexp.MustCompile(`^(?:encoder\.layers\.encoder_layer_|layer|features\.)(\d+)\.`)

// layerScales are the factors of the parameters' learning rates by layer-wise decay (Clark et
// al. 2020; Bao et al. 2021): decay to the power of the layers above. A transformer's patches,
// token and positions are layer 0, its blocks 1 and so on; what follows the blocks and what is
// no part of the backbone is not scaled.
func layerScales(names []string, decay float64) []float64 {
	layers, top := make([]int, len(names)), 0
	for i, n := range names {
		layers[i] = layerOf(n)
		top = max(top, layers[i]+1)
	}
	out := make([]float64, len(names))
	for i, l := range layers {
		out[i] = 1
		if l >= 0 {
			out[i] = power(decay, int64(top-l))
		}
	}
	return out
}

// layerOf is a parameter's layer, from 0; −1 for those above all layers.
func layerOf(name string) int {
	key, ok := strings.CutPrefix(name, "backbone.")
	if !ok || strings.HasPrefix(key, "encoder.ln.") || strings.HasPrefix(key, "classifier.") {
		return -1
	}
	m := layerNumber.FindStringSubmatch(key)
	if m == nil { // stem, tokens, positions
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // digits
	if strings.HasPrefix(key, "encoder.") {
		n++ // blocks are numbered from 0, and follow the tokens
	}
	return n
}
