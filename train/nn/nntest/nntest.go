package nntest

import (
	"testing"

	"resslt/train/nn"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// Torch opens the shim or skips the test, as torchtest.Require does, and checks at the
// test's end that no tensor is left over.
func Torch(t testing.TB) {
	t.Helper()
	torchtest.Require(t)
	before := torch.LiveTensors()
	t.Cleanup(func() {
		if after := torch.LiveTensors(); after != before {
			t.Errorf("%d tensors are left over", after-before)
		}
	})
}

// Do runs fn inside torch.Do and fails the test if that returns an error.
func Do(t testing.TB, fn func()) {
	t.Helper()
	if err := torch.Do(func() error { fn(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// Head is a two-layer head, Linear → BN → ReLU → Linear: (N,in) → (N,out). It is the
// smallest module with every kind of state.
func Head(b nn.Builder, in, hidden, out int64) *nn.Sequential {
	return &nn.Sequential{Children: []nn.Module{
		nn.NewLinear(b.At("0"), in, hidden),
		nn.NewBatchNorm(b.At("1"), hidden),
		nn.ReLU{},
		nn.NewLinear(b.At("3"), hidden, out),
	}}
}
