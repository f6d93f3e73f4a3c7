package batcher

import (
	"context"
	"fmt"

	"resslt/schemas"
)

// MakeBatches makes the batches of steps [from, from+n) in this goroutine, without
// a broker: what a Stream would give. For tests, benchmarks and inspection.
func MakeBatches(ctx context.Context, spec *schemas.RunSpec, order Order, maker Maker, from int64, n int) ([]*schemas.Batch, error) {
	asm, chunk := NewAssembler(spec, from), NewChunk(spec)
	var out []*schemas.Batch
	for step := from; step < from+int64(n); step++ {
		for c := range spec.Chunks() {
			if err := fillChunk(ctx, spec, order, maker, NewTask(spec, order, step, c), chunk); err != nil {
				return nil, err
			}
			chunk.Digest = fmt.Sprint(step, c)
			if _, err := asm.Add(chunk); err != nil {
				return nil, err
			}
		}
		b, err := asm.Take(step)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
