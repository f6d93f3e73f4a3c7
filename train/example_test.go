package train_test

import (
	"fmt"

	"resslt/train"
)

// torchrun's environment says which rank this process is; without it there is one process.
func ExampleFromEnvironment() {
	env := map[string]string{"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
	r, err := train.FromEnvironment(func(key string) (string, bool) { v, ok := env[key]; return v, ok })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Rank, r.World, r.Addr, r.Port)
	alone, err := train.FromEnvironment(func(string) (string, bool) { return "", false })
	fmt.Println(alone == nil, err)
	// Output:
	// 1 2 10.0.0.1 29500
	// true <nil>
}
