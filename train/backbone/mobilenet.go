package backbone

import (
	"resslt/train/nn"
)

// mobileNetBlock is a row of Table 1 of the MobileNetV3 paper.
type mobileNetBlock struct {
	in, kernel, expanded, out int64
	excite                    bool // squeeze-and-excitation
	hard                      bool // hard swish, else ReLU
	stride                    int64
}

var mobileNetV3Large = []mobileNetBlock{
	{16, 3, 16, 16, false, false, 1},
	{16, 3, 64, 24, false, false, 2},
	{24, 3, 72, 24, false, false, 1},
	{24, 5, 72, 40, true, false, 2},
	{40, 5, 120, 40, true, false, 1},
	{40, 5, 120, 40, true, false, 1},
	{40, 3, 240, 80, false, true, 2},
	{80, 3, 200, 80, false, true, 1},
	{80, 3, 184, 80, false, true, 1},
	{80, 3, 184, 80, false, true, 1},
	{80, 3, 480, 112, true, true, 1},
	{112, 3, 672, 112, true, true, 1},
	{112, 5, 672, 160, true, true, 2},
	{160, 5, 960, 160, true, true, 1},
	{160, 5, 960, 160, true, true, 1},
}

// mobileNet builds torchvision's MobileNetV3-Large (Howard et al., Searching for
// MobileNetV3, 2019) without classifier: features.0 is the stem, features.1 to 15 are
// the blocks, features.16 is a 1×1 convolution to six times the last block's channels.
// Its 960 features are those that torchvision averages; the layer from 960 to 1280,
// which some count as part of the encoder, is the first of torchvision's classifier.
func mobileNet(b nn.Builder, c Config) Backbone {
	m := mobile{
		norm:   nn.NormOptions{Momentum: 0.01, Eps: 0.001},
		excite: nn.ReLU{}, scale: nn.Hardsigmoid{},
	}
	net := &network{}
	add := featureStages(net, b)
	first, last := scaled(mobileNetV3Large[0].in, c.Width), int64(0)
	add(func(b nn.Builder) nn.Module { return m.convNorm(b, 3, first, 3, halving(!c.SmallStem), nn.Hardswish{}) })
	for i, row := range mobileNetV3Large {
		s := blockSpec{
			in: scaled(row.in, c.Width), expanded: scaled(row.expanded, c.Width), out: scaled(row.out, c.Width),
			kernel: row.kernel, stride: row.stride, act: nn.ReLU{},
		}
		if row.hard {
			s.act = nn.Hardswish{}
		}
		if row.excite {
			s.squeezed = divisible(float64(s.expanded / 4))
		}
		if c.SmallStem && i == 1 {
			s.stride = 1
		}
		add(func(b nn.Builder) nn.Module { return m.block(b, s) })
		last = s.out
	}
	add(func(b nn.Builder) nn.Module { return m.convNorm(b, last, 6*last, 1, 1, nn.Hardswish{}) })
	return net.pooled(6 * last)
}
