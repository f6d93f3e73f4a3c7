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

// BenchmarkTransfer is the whole search of Table 9's protocol, 45 penalties and
// the last fit, on 10,000 images of 512 features, 10 classes.
func BenchmarkTransfer(b *testing.B) {
	nntest.Torch(b)
	all := blobs(b, "train", 10_000, 512, 10)
	train, val, err := eval.HoldOut(all, 0.2, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(train.Free)
	b.Cleanup(val.Free)
	test := blobs(b, "test", 2_000, 512, 10)
	for b.Loop() {
		r, err := eval.Transfer(context.Background(), train, val, test, eval.TransferOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(r.Iterations), "iterations")
		b.ReportMetric(r.Accuracy.Top1, "top-1")
	}
}

// BenchmarkLowShot is Table 11's protocol on VOC2007's sizes: 5,011 images of
// 2,048 features against 4,952, 20 classes.
func BenchmarkLowShot(b *testing.B) {
	nntest.Torch(b)
	train, test := severalClasses(blobs(b, "train", 5_011, 2048, 20), 20), severalClasses(blobs(b, "test", 4_952, 2048, 20), 20)
	for b.Loop() {
		if _, err := eval.LowShot(context.Background(), train, test, eval.LowShotOptions{K: []int{4, 32, 0}}); err != nil {
			b.Fatal(err)
		}
	}
}
