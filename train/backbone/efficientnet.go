package backbone

import (
	"fmt"
	"math"

	"resslt/train/nn"
)

// efficientNetStage is a row of Table 1 of the EfficientNet paper: blocks with the same
// output, the first of which may have a stride.
type efficientNetStage struct {
	expand, kernel, stride int64
	in, out                int64
	layers                 float64 // of B0; B1 has 1.1 times as many, rounded up
}

var efficientNetB0 = []efficientNetStage{
	{1, 3, 1, 32, 16, 1},
	{6, 3, 2, 16, 24, 2},
	{6, 5, 2, 24, 40, 2},
	{6, 3, 2, 40, 80, 3},
	{6, 5, 1, 80, 112, 3},
	{6, 5, 2, 112, 192, 4},
	{6, 3, 1, 192, 320, 1},
}

// efficientNet returns the constructor of torchvision's EfficientNet (Tan and Le,
// EfficientNet: Rethinking Model Scaling, 2019) with B0's width and depth times its
// depth, without classifier: features.0 is the stem, features.1 to 7 are the stages,
// features.8 is a 1×1 convolution to four times the last stage's channels.
func efficientNet(depth float64) func(nn.Builder, Config) Backbone {
	return func(b nn.Builder, c Config) Backbone {
		m := mobile{excite: nn.SiLU{}, scale: nn.Sigmoid{}, drop: c.StochasticDepth}
		layers := make([]int, len(efficientNetB0))
		total := 0
		for i, s := range efficientNetB0 {
			layers[i] = int(math.Ceil(s.layers * depth))
			total += layers[i]
		}
		net := &network{}
		add := featureStages(net, b)
		first, last := scaled(efficientNetB0[0].in, c.Width), int64(0)
		add(func(b nn.Builder) nn.Module { return m.convNorm(b, 3, first, 3, halving(!c.SmallStem), nn.SiLU{}) })
		done := 0
		for i, s := range efficientNetB0 {
			in, out, stride := scaled(s.in, c.Width), scaled(s.out, c.Width), s.stride
			if c.SmallStem && i == 1 {
				stride = 1
			}
			add(func(b nn.Builder) nn.Module {
				stage := &row{}
				for j := range layers[i] {
					stage.Children = append(stage.Children, m.block(b.At(fmt.Sprint(j)), blockSpec{
						in: in, expanded: divisible(float64(in * s.expand)), out: out,
						kernel: s.kernel, stride: stride, squeezed: max(1, in/4), act: nn.SiLU{},
						drop: m.drop * float64(done) / float64(total),
					}))
					in, stride = out, 1
					done++
				}
				return stage
			})
			last = out
		}
		add(func(b nn.Builder) nn.Module { return m.convNorm(b, last, 4*last, 1, 1, nn.SiLU{}) })
		return net.pooled(4 * last)
	}
}
