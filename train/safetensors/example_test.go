package safetensors_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"resslt/train/safetensors"
)

func ExampleWriteFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "weights.safetensors")
	err = safetensors.WriteFile(path, []safetensors.Tensor{
		{Name: "bias", DType: safetensors.U8, Shape: []int64{3}, Data: []byte{1, 2, 3}},
	}, map[string]string{"step": "12"})
	if err != nil {
		log.Fatal(err)
	}
	tensors, meta, err := safetensors.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range tensors {
		fmt.Println(t.Name, t.DType, t.Shape, t.Data, meta)
	}
	// Output:
	// bias U8 [3] [1 2 3] map[step:12]
}
