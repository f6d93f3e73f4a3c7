package optim

import (
	"math"
	"testing"

	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestLayerScales: the layers above, by the keys of every family of networks.
func TestLayerScales(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  []float64
	}{
		{
			[]string{"backbone.class_token", "backbone.encoder.pos_embedding", "backbone.encoder.layers.encoder_layer_0.ln_1.weight", "backbone.encoder.layers.encoder_layer_1.mlp.0.bias", "backbone.encoder.ln.weight", "projector.0.weight"},
			[]float64{0.125, 0.125, 0.25, 0.5, 1, 1},
		},
		{[]string{"backbone.conv1.weight", "backbone.layer1.0.conv1.weight", "backbone.layer2.1.bn1.bias", "projector.layer1.weight"}, []float64{0.125, 0.25, 0.5, 1}},
		{[]string{"backbone.features.0.0.weight", "backbone.features.1.0.block.0.0.weight"}, []float64{0.25, 0.5}},
		{[]string{"backbone.features.0.0.weight", "backbone.features.1.0.layer_scale", "backbone.classifier.0.weight"}, []float64{0.25, 0.5, 1}},
	} {
		for i, got := range layerScales(c.names, 0.5) {
			if got != c.want[i] {
				t.Errorf("%s is scaled by %g, want %g", c.names[i], got, c.want[i])
			}
		}
	}
}

// TestLayerDecayScalesTheStep: of AdamW's first step, which is as long as the learning rate.
func TestLayerDecayScalesTheStep(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		var params []nn.Named
		for _, name := range []string{"backbone.conv1.weight", "backbone.layer1.0.conv1.weight", "projector.0.weight"} {
			w := torch.FromFloat32([]float32{1, -1}, 2).SetRequiresGrad(true)
			w.SetGrad(torch.FromFloat32([]float32{3, -5}, 2))
			params = append(params, nn.Named{Name: name, Tensor: w})
		}
		opt, err := New(params, Options{Kind: AdamW, LayerDecay: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		defer opt.Free()
		if err := opt.Step(0.1); err != nil {
			t.Fatal(err)
		}
		for i, scale := range []float64{0.25, 0.5, 1} {
			w := params[i].Tensor.Detach().Float32s()
			// The step is lr up to ε, 1e-8 of a gradient above 1; the rest is fp32's rounding.
			if want := 1 - 0.1*scale; math.Abs(float64(w[0])-want) > 3e-7 || w[1] != -w[0] {
				t.Errorf("%s is %v, want ±%g", params[i].Name, w, want)
			}
		}
	})
}
