package recipe_test

import (
	"fmt"
	"log"

	"resslt/train/recipe"
)

func ExampleLoad() {
	r, err := recipe.Load("cifar10")
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Set("tau_t=0.05", "epochs=20"); err != nil {
		log.Fatal(err)
	}
	if err := r.Resolve(recipe.Host{Threads: 2}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Backbone, r.TauS, r.TauT, r.K, r.Epochs)
	fmt.Println(r.Set("epoch=5"))
	// Output:
	// resnet18 0.1 0.05 4096 20
	// --set epoch=5: wrong use: unknown key epoch (hint: did you mean epochs? `resslt recipe show` lists every key)
}

func ExampleGridSweep() {
	s, err := recipe.GridSweep("cifar10", []string{"tau_t=0.03,0.04"}, []uint64{1, 2})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range s.Cells() {
		fmt.Println(c.ID, c.Set)
	}
	// Output:
	// r1-c1_0_03-s1 [tau_t=0.03 seed=1]
	// r1-c1_0_03-s2 [tau_t=0.03 seed=2]
	// r1-c2_0_04-s1 [tau_t=0.04 seed=1]
	// r1-c2_0_04-s2 [tau_t=0.04 seed=2]
}
