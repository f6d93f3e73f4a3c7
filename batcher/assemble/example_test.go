package assemble_test

import (
	"context"
	"fmt"

	"resslt/batcher/assemble"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
)

// Chunks come in any order; a batch is there when all of its chunks are.
func ExampleAssembler() {
	spec := fixture.Spec() // batches of 10 in 3 chunks
	source := &rig.HashSource{Spec: spec}
	maker, err := source.NewMaker()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer maker.Close()
	enc, a := wire.NewEncoder(&spec), assemble.New(&spec, assemble.Options{})
	for _, index := range []int{2, 0, 1} {
		c := wire.NewChunk(&spec)
		if err := produce.Chunk(context.Background(), &spec, source.Order(), maker, enc, 0, index, c); err != nil {
			fmt.Println(err)
			return
		}
		if _, err := a.Add(c); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("chunk", index, "missing", a.Missing(0))
	}
	b, err := a.Take(0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Release()
	fmt.Println("samples", b.Samples)
	// Output:
	// chunk 2 missing [0 1]
	// chunk 0 missing [1]
	// chunk 1 missing []
	// samples [3 8 13 18 23 28 33 38 43 1]
}
