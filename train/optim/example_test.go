package optim_test

import (
	"fmt"
	"log"

	"resslt/train/nn"
	"resslt/train/optim"
	"resslt/train/torch"
)

// A schedule is a pure function of the step.
func ExampleWarmupCosine() {
	lr := optim.WarmupCosine(0.06, 2, 6)
	for step := range int64(6) {
		fmt.Printf("%.3f ", lr(step))
	}
	// Output:
	// 0.030 0.060 0.060 0.051 0.030 0.009
}

// Ten steps of SGD. It needs libtorch, so it is compiled, not run.
func ExampleOptimizer() {
	err := torch.Do(func() error {
		m := nn.NewLinear(nn.Builder{Seed: 1}, 8, 1)
		defer nn.Free(m)
		opt, err := optim.New(nn.Parameters(m), optim.Options{Momentum: 0.9, WeightDecay: 5e-4})
		if err != nil {
			return err
		}
		defer opt.Free()
		x := torch.Ones([]int64{4, 8}, torch.Float32, torch.CPU)
		lr := optim.Cosine(0.1, 0, 10)
		for step := range int64(10) {
			opt.ZeroGrad()
			torch.Sum(torch.Square(m.Forward(x)), torch.Unset).Backward()
			if err := opt.Step(lr(step)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
