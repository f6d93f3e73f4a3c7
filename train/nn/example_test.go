package nn_test

import (
	"fmt"
	"log"

	"resslt/train/nn"
	"resslt/train/torch"
)

// The same key gives the same numbers on every machine.
func ExampleRandom() {
	r := nn.Random(1, "layer1.0.conv1.weight")
	fmt.Printf("%.4f %.4f\n", r.Normal(), r.Normal())
	fmt.Println(nn.Random(1, "order").Permutation(5))
	// Output:
	// 1.5076 1.0772
	// [1 4 3 0 2]
}

// A linear classifier and the names of its state. It needs libtorch, so it is compiled,
// not run.
func ExampleStateDict() {
	err := torch.Do(func() error {
		b := nn.Builder{Seed: 1}
		m := &nn.Sequential{Children: []nn.Module{nn.NewLinear(b.At("0"), 8, 4), nn.ReLU{}}}
		defer nn.Free(m)
		x := torch.Ones([]int64{2, 8}, torch.Float32, torch.CPU)
		fmt.Println(m.Forward(x).Shape()) // [2 4]
		for _, n := range nn.StateDict(m) {
			fmt.Println(n.Name, n.Tensor.Shape()) // 0.weight [4 8], then 0.bias [4]
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
