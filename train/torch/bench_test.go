package torch_test

import (
	"testing"

	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// inDo runs fn in Do, with b.N iterations in a scope each.
func inDo(b *testing.B, setup func() func()) {
	b.Helper()
	torchtest.Require(b)
	b.ReportAllocs()
	if err := torch.Do(func() error {
		step := setup()
		step()
		b.ResetTimer()
		for range b.N {
			torch.ScopeDo(step)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCall is a call that does nothing but give a number: cgo, decoding
// and the exception guard.
func BenchmarkCall(b *testing.B) {
	inDo(b, func() func() {
		t := torch.Zeros([]int64{1}, torch.Float32, torch.CPU)
		return func() { t.Same(t) }
	})
}

func BenchmarkScope(b *testing.B) {
	inDo(b, func() func() { return func() {} })
}

func BenchmarkRelu(b *testing.B) {
	inDo(b, func() func() {
		t := torch.Ones([]int64{16}, torch.Float32, torch.CPU)
		return func() { torch.Relu(t) }
	})
}

func BenchmarkConv2d(b *testing.B) {
	inDo(b, func() func() {
		x := torch.Ones([]int64{1, 3, 8, 8}, torch.Float32, torch.CPU)
		w := torch.Ones([]int64{4, 3, 3, 3}, torch.Float32, torch.CPU)
		one := []int64{1, 1}
		return func() { torch.Conv2d(x, w, nil, one, one, one, 1) }
	})
}

func BenchmarkDo(b *testing.B) {
	torchtest.Require(b)
	b.ReportAllocs()
	for range b.N {
		if err := torch.Do(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
