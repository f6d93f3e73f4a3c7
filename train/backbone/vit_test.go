package backbone_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestStochasticDepthOfTransformers: the masks are another in every batch, are repeated where
// the counters are, and a teacher's, which has none, has no counter.
func TestStochasticDepthOfTransformers(t *testing.T) {
	nntest.Torch(t)
	b, err := backbone.New("vit_tiny_patch8", backbone.Config{Width: 4, Seed: 1, ImageSize: 16, StochasticDepth: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	nntest.Do(t, func() {
		nntest.Fill(b, "depth ")
		x := nntest.FormulaTensor("depth", 1, 0, 4, 3, 16, 16)
		forward := func() (out []float32) {
			torch.NoGrad(func() { out = b.Forward(x).Float32s() })
			return out
		}
		first, second := forward(), forward()
		counters := 0
		b.Visit("", func(e nn.Entry) {
			if backbone.TrainingOnly(e.Name) {
				counters++
				if n := e.Tensor.Int64s()[0]; n != 2 {
					t.Errorf("%s is %d, want 2", e.Name, n)
				}
				torch.Zero_(e.Tensor)
			}
		})
		if counters != 11 { // the first of twelve blocks is never dropped
			t.Errorf("%d counters", counters)
		}
		again := forward()
		b.SetTraining(false)
		plain := forward()
		if !slices.Equal(first, again) || slices.Equal(first, second) || slices.Equal(first, plain) {
			t.Error("masks are not a function of the batch's number")
		}
		if slices.ContainsFunc(plain, func(v float32) bool { return math.IsNaN(float64(v)) }) {
			t.Error("not a number")
		}
	})
}

// TestSizes: images that patches do not divide are refused.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		ok   bool
	}{
		{"vit_small_patch14", 224, true},
		{"vit_small_patch14", 96, false},
		{"vit_tiny_patch4", 30, false},
		{"vit_base_patch16", 0, false},
		{"resnet18", 33, true},
	} {
		if err := backbone.CheckSize(c.name, c.size); (err == nil) != c.ok || err != nil && !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%s at %d: %v", c.name, c.size, err)
		}
	}
	_, err := backbone.New("vit_small_patch14", backbone.Config{ImageSize: 96})
	if !errors.Is(err, errs.ErrUsage) {
		t.Errorf("built for 96 pixels: %v", err)
	}
	_, err = backbone.New("vit_tiny_patch4", backbone.Config{Pool: "max"})
	if !errors.Is(err, errs.ErrUsage) {
		t.Errorf("pooled by max: %v", err)
	}
}
