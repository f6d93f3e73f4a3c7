package produce

import (
	"context"
	"fmt"

	"resslt/batcher/wire"
	"resslt/schemas"
)

// replacements is how many samples after the planned one are tried before the
// whole chunk becomes a tombstone. So many broken samples in a row mean a broken
// data set or decoder, not a broken file.
const replacements = 16

// Made is what a Maker says of a sample.
type Made struct {
	Label int32 // the sample's class, or schemas.NoLabel
}

// Maker decodes samples and renders their views. A worker has one a goroutine, so
// it may keep buffers.
type Maker interface {
	// Make renders every view of row.Sample: view v of the run spec into dst[v],
	// which has Views[v].Bytes() bytes, and its plan appended to plans[v][:0], at
	// most schemas.MaxPlanBytes. What it writes is a pure function of the run spec, the
	// sample and the epoch.
	//
	// A schemas.BadSample says that no machine can decode the sample: it is
	// replaced, and the reason becomes part of the chunk. Any other error, whatever
	// it wraps, is a fault of this worker or of its store, and another gets the task.
	Make(ctx context.Context, row wire.TaskRow, dst, plans [][]byte) (Made, error)
	Close() error
}

// Source gives a worker what it needs for one run; it is shared by the worker's
// goroutines.
type Source interface {
	Order() wire.Order
	NewMaker() (Maker, error)
	Close() error
}

// Fill makes all rows of a task. A sample that cannot be decoded is replaced
// by the next of the epoch's order that can: index+1, index+2, … modulo the number
// of samples. If none of 16 can, the chunk becomes a tombstone. Faults are returned, and
// the chunk is unusable.
func Fill(ctx context.Context, spec *schemas.RunSpec, order wire.Order, maker Maker, t *wire.Task, c *wire.Chunk) error {
	c.Reset(spec, t.Step, t.Chunk)
	dst, plans := make([][]byte, len(spec.Views)), make([][]byte, len(spec.Views))
	for i, planned := range t.Rows {
		for v, view := range spec.Views {
			dst[v] = c.Pixels[v][i*view.Bytes() : (i+1)*view.Bytes() : (i+1)*view.Bytes()]
			plans[v] = c.Plans[v][i][:0]
		}
		row, reason := planned, ""
		made, err := maker.Make(ctx, row, dst, plans)
		for k := int64(1); err != nil; k++ {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			bad := schemas.AsBadSample(err)
			if bad == nil {
				return err
			}
			if reason == "" {
				reason = wire.ReasonLine(bad.Error())
			}
			if k > replacements || k >= spec.Dataset.Samples {
				c.Tombstone = wire.ReasonLine(fmt.Sprintf("sample %d and the %d after it cannot be decoded: %s", planned.Sample, k-1, reason))
				return nil
			}
			row.Sample = order.At(row.Epoch, (planned.Index+k)%spec.Dataset.Samples)
			made, err = maker.Make(ctx, row, dst, plans)
		}
		c.Samples[i], c.Planned[i], c.Labels[i], c.Reasons[i] = row.Sample, planned.Sample, made.Label, reason
		for v := range spec.Views {
			c.Plans[v][i] = plans[v]
		}
	}
	return nil
}

// Chunk produces a chunk in this goroutine, without a broker, and sets its digest: what
// a worker would publish. c is of NewChunk, enc of the same spec.
func Chunk(ctx context.Context, spec *schemas.RunSpec, order wire.Order, maker Maker, enc *wire.Encoder, step int64, index int, c *wire.Chunk) error {
	if err := Fill(ctx, spec, order, maker, wire.NewTask(spec, order, step, index), c); err != nil {
		return err
	}
	body := []byte(c.Tombstone)
	if c.Tombstone == "" {
		var err error
		if body, err = enc.Encode(c); err != nil {
			return err
		}
	}
	c.Digest = wire.Digest(body)
	return nil
}
