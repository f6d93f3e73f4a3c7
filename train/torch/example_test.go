package torch_test

import (
	"fmt"
	"log"

	"resslt/train/torch"
)

// The derivative of Σx² is 2x. Examples that need libtorch have no Output comment: they
// are compiled, not run, so that `go test` passes without it.
func ExampleTensor_Backward() {
	err := torch.Do(func() error {
		x := torch.FromFloat32([]float32{1, 2, 3}, 3).SetRequiresGrad(true)
		loss := torch.Scope(func() *torch.Tensor { return torch.Sum(torch.Square(x), torch.Unset) })
		loss.Backward()
		fmt.Println(loss.Item(), x.Grad().Float32s()) // 14 [2 4 6]
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A kept tensor outlives the call of Do that made it.
func ExampleTensor_Keep() {
	var weight *torch.Tensor
	if err := torch.Do(func() error {
		weight = torch.Ones([]int64{2, 3}, torch.Float32, torch.CPU).Keep()
		return nil
	}); err != nil {
		log.Fatal(err)
	}
	defer weight.Free()
	fmt.Println(torch.LiveTensors()) // 1
}
