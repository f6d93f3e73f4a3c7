package nn_test

import (
	"bytes"
	"testing"

	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestFusedConv2d: with a builder's Fused, the shim computes 3×3 convolutions of stride 1;
// libtorch computes all others, and every network without Fused.
func TestFusedConv2d(t *testing.T) {
	nntest.Torch(t)
	if info, err := torch.Info(); err != nil || info.Fused == "none" {
		t.Skipf("this CPU has none of the instruction sets of the shim's own loops: %v", err)
	}
	nntest.Do(t, func() {
		x := nntest.FormulaTensor("fused conv", 1, 0, 2, 32, 8, 8).ToMemoryFormat(torch.ChannelsLast)
		build := func(make func(nn.Builder) *nn.Conv2d, fused bool) *torch.Tensor {
			c := make(nn.Builder{Seed: 3, ChannelsLast: true, Fused: fused})
			defer nn.Free(c)
			return c.Forward(x)
		}
		for name, c := range map[string]struct {
			make func(nn.Builder) *nn.Conv2d
			ours bool
		}{
			"3×3":            {func(b nn.Builder) *nn.Conv2d { return nn.NewConv2d(b, 32, 32, 3, 1, 1) }, true},
			"3×3, stride 2":  {func(b nn.Builder) *nn.Conv2d { return nn.NewConv2d(b, 32, 32, 3, 2, 1) }, false},
			"3×3, unpadded":  {func(b nn.Builder) *nn.Conv2d { return nn.NewConv2d(b, 32, 32, 3, 1, 0) }, false},
			"1×1":            {func(b nn.Builder) *nn.Conv2d { return nn.NewConv2d(b, 32, 32, 1, 1, 0) }, false},
			"5×5":            {func(b nn.Builder) *nn.Conv2d { return nn.NewConv2d(b, 32, 32, 5, 1, 2) }, false},
			"3×3, depthwise": {func(b nn.Builder) *nn.Conv2d { return nn.NewDepthwiseConv2d(b, 32, 3, 1) }, false},
			"1×1, with bias": {func(b nn.Builder) *nn.Conv2d { return nn.NewPointwiseConv2d(b, 32, 32) }, false},
		} {
			ours, theirs := build(c.make, true), build(c.make, false)
			if same := bytes.Equal(ours.Bytes(), theirs.Bytes()); same == c.ours {
				t.Errorf("%s: with Fused the bits are libtorch's: %v, want %v", name, same, !c.ours)
			}
		}
	})
}
