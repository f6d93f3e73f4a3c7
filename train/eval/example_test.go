package eval_test

import (
	"context"
	"fmt"

	"resslt/train/eval"
	"resslt/train/torch"
)

// Four training and two test images with features of two dimensions. Examples that need
// libtorch have no Output comment: they are compiled, not run.
func ExampleKNN() {
	train, err := eval.NewSet([]float32{1, 0, 0.9, 0.1, 0, 1, 0.1, 0.9}, 2, []int32{0, 0, 1, 1}, torch.CPU)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer train.Free()
	test, err := eval.NewSet([]float32{0.8, 0.2, 0.2, 0.8}, 2, []int32{0, 1}, torch.CPU)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer test.Free()
	top1, err := eval.KNN(train, test, eval.KNNOptions{K: []int{2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(top1[2]) // 100
	probe, err := eval.Linear(context.Background(), train, test, eval.LinearOptions{Epochs: 10, LR: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(probe.Top1) // 100
}
