package assemble

import (
	"context"
	"fmt"

	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/schemas"
)

// Batches produces the batches of steps [from, from+n) in this goroutine, without
// a broker: what a Stream would give. For tests, benchmarks and inspection.
func Batches(ctx context.Context, spec *schemas.RunSpec, order wire.Order, maker produce.Maker, from int64, n int) ([]*schemas.Batch, error) {
	asm, chunk := New(spec, Options{From: from, Plans: true}), wire.NewChunk(spec)
	var out []*schemas.Batch
	for step := from; step < from+int64(n); step++ {
		for c := range spec.Chunks() {
			if err := produce.Fill(ctx, spec, order, maker, wire.NewTask(spec, order, step, c), chunk); err != nil {
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
