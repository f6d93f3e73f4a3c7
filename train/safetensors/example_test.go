package safetensors_test

import (
	"fmt"
	"os"
	"path/filepath"

	"resslt/train/safetensors"
)

func ExampleWriteFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "weights.safetensors")
	err = safetensors.WriteFile(path, []safetensors.Tensor{
		{Name: "bias", DType: safetensors.U8, Shape: []int64{3}, Data: []byte{1, 2, 3}},
	}, map[string]string{"step": "12"})
	if err != nil {
		fmt.Println(err)
		return
	}
	tensors, meta, err := safetensors.ReadFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range tensors {
		fmt.Println(t.Name, t.DType, t.Shape, len(t.Data), "bytes", meta)
	}
	// Output:
	// bias U8 [3] 3 bytes map[step:12]
}
