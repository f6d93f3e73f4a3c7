package torch_test

import (
	"math/rand/v2"
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

// BenchmarkCall is a call that only returns a number: cgo, decoding and the exception
// guard.
func BenchmarkCall(b *testing.B) {
	inDo(b, func() func() {
		t := torch.Zeros([]int64{1}, torch.Float32, torch.CPU)
		return func() { t.Same(t) }
	})
}

func BenchmarkScope(b *testing.B) {
	inDo(b, func() func() { return func() {} })
}

func BenchmarkNeg(b *testing.B) {
	inDo(b, func() func() {
		t := torch.Ones([]int64{16}, torch.Float32, torch.CPU)
		return func() { torch.Neg(t) }
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

// BenchmarkStep is a training step: eight 3×3 convolutions of 32 channels with
// batch norm and ReLU on 64 images of 32×32, cross-entropy, backward, SGD.
func BenchmarkStep(b *testing.B) {
	inDo(b, func() func() {
		r := rand.New(rand.NewPCG(1, 0))
		normal := func(std float64, shape ...int64) *torch.Tensor { return normals(r, 0, std, shape...) }
		const width, classes = 32, 10
		x := normal(1, 64, 3, 32, 32)
		labels := make([]int64, 64)
		for i := range labels {
			labels[i] = int64(i % classes)
		}
		y := torch.FromInt64(labels, 64)
		var params []*torch.Tensor
		in := int64(3)
		for range 8 {
			params = append(params,
				normal(0.1, width, in, 3, 3),
				torch.Ones([]int64{width}, torch.Float32, torch.CPU),
				torch.Zeros([]int64{width}, torch.Float32, torch.CPU))
			in = width
		}
		params = append(params, normal(0.1, classes, width))
		for _, p := range params {
			p.SetRequiresGrad(true)
		}
		one := []int64{1, 1}
		return func() {
			loss := torch.Scope(func() *torch.Tensor {
				h := x
				for i := 0; i+2 < len(params); i += 3 {
					h = torch.Conv2d(h, params[i], nil, one, one, one, 1)
					h = torch.BatchNorm(h, params[i+1], params[i+2], nil, nil, true, 0.1, 1e-5, true)
					h = torch.Relu_(h)
				}
				h = torch.Flatten(torch.AdaptiveAvgPool2d(h, one), 1, -1)
				return torch.CrossEntropyLoss(torch.Linear(h, params[len(params)-1], nil), y, nil, 1, -100, 0)
			})
			loss.Backward()
			torch.NoGrad(func() {
				grads := make([]*torch.Tensor, len(params))
				for i, p := range params {
					grads[i] = p.Grad()
				}
				torch.ForeachAddList_(params, grads, -0.01)
				for _, p := range params {
					p.SetGrad(nil)
				}
			})
		}
	})
}
