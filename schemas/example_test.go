package schemas_test

import (
	"fmt"

	"resslt/schemas"
)

// Two specs of equal digest have equal batches. The location of the data is no part
// of a spec, every number that a batch depends on is.
func ExampleRunSpec_Digest() {
	spec := schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d", Format: "cifar10", Split: "train", Samples: 50_000},
		Order:   "global", Policy: "{}", Engine: "ref/1", Seed: 1,
		BatchSize: 256, ChunkSamples: 256, Epochs: 200, StepsPerEpoch: 195,
		Views: []schemas.ViewSpec{
			{Name: "weak", Role: schemas.Teacher, Size: 32},
			{Name: "strong", Role: schemas.Student, Size: 32},
		},
		OnError: schemas.Replace,
	}
	other := spec
	other.Seed = 2
	fmt.Println(spec.Validate())
	fmt.Println(len(spec.Digest()), spec.Digest() == other.Digest())
	fmt.Println(spec.Steps(), "steps of", spec.Chunks(), "chunk")
	// Output:
	// <nil>
	// 64 false
	// 39000 steps of 1 chunk
}

func ExampleParseOrder() {
	order, err := schemas.ParseOrder("blocked:window=4096")
	fmt.Println(order, err)
	// Output: blocked:shards=8,window=4096 <nil>
}
