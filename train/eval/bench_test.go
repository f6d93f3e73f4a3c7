package eval_test

import (
	"context"
	"testing"

	"resslt/train/eval"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// benchSets are features of CIFAR-10's and ResNet-18's sizes, or Fashion-MNIST's.
func benchSets(b *testing.B) (train, test *eval.Set) {
	nntest.Torch(b)
	make := func(name string, n int) *eval.Set {
		s, err := eval.NewSet(nntest.Formula(name, n*512, 1, 0.5), 512, nntest.Labels(name, n, 10), torch.CPU)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.Free)
		return s
	}
	return make("train", 60_000), make("test", 10_000)
}

// BenchmarkKNN is 10,000 test against 60,000 training images of 512 dimensions.
func BenchmarkKNN(b *testing.B) {
	train, test := benchSets(b)
	for b.Loop() {
		if _, err := eval.KNN(train, test, eval.KNNOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLinearEpoch is one of the probe's hundred epochs on the same.
func BenchmarkLinearEpoch(b *testing.B) {
	train, test := benchSets(b)
	for b.Loop() {
		if _, err := eval.Linear(context.Background(), train, test, eval.LinearOptions{Epochs: 1}); err != nil {
			b.Fatal(err)
		}
	}
}
