package backbone_test

import (
	"fmt"

	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/torch"
)

func ExampleNames() {
	for _, name := range backbone.Names() {
		fmt.Println(name)
	}
	// Output:
	// convnext_base
	// convnext_small
	// convnext_tiny
	// efficientnet_b0
	// efficientnet_b1
	// mobilenet_v3_large
	// resnet18
	// resnet34
	// resnet50
	// vit_base_patch14
	// vit_base_patch16
	// vit_base_patch4
	// vit_base_patch8
	// vit_small_patch14
	// vit_small_patch16
	// vit_small_patch4
	// vit_small_patch8
	// vit_tiny_patch14
	// vit_tiny_patch16
	// vit_tiny_patch4
	// vit_tiny_patch8
	// wide_resnet50_2
}

// A narrow ResNet-18 for 32-pixel images. It needs libtorch, so it is compiled, not run.
func ExampleNew() {
	b, err := backbone.New("resnet18", backbone.Config{Width: 16, SmallStem: true, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nn.Free(b)
	err = torch.Do(func() error {
		x := torch.Zeros([]int64{2, 3, 32, 32}, torch.Float32, torch.CPU)
		fmt.Println(b.Forward(x).Shape()) // [2 128]
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
}
