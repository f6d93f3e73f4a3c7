package stream

import (
	"context"
	"io"
	"sync/atomic"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// Memory hands out ready-made batches again and again, under the step
// numbers of a run: a Stream without a broker, for tests, and as the mark that
// transport is measured against. Its batches share their buffers.
type Memory struct {
	spec  *schemas.RunSpec
	ready []*schemas.Batch
	next  atomic.Int64
}

// NewMemory makes a stream that begins at step from. ready must not be empty
// and not be released meanwhile.
func NewMemory(spec *schemas.RunSpec, from int64, ready []*schemas.Batch) (*Memory, error) {
	if len(ready) == 0 {
		return nil, errs.New("memory stream", "", "make at least one batch", errs.Because(errs.ErrUsage, "no batches"))
	}
	m := &Memory{spec: spec, ready: ready}
	m.next.Store(from)
	return m, nil
}

// Next gives the batch of the next step, io.EOF after the run's last.
func (m *Memory) Next(ctx context.Context) (*schemas.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	step := m.next.Load()
	if step >= m.spec.Steps() {
		return nil, io.EOF
	}
	m.next.Store(step + 1)
	b := *m.ready[step%int64(len(m.ready))]
	b.Step, b.Epoch = step, step/m.spec.StepsPerEpoch
	b.OnRelease(nil) // the buffers stay
	return &b, nil
}

// Stats gives the stream's place; nothing else is counted.
func (m *Memory) Stats() Stats {
	return Stats{Next: m.next.Load(), BufferedSteps: m.spec.Steps() - m.next.Load()}
}

// Close does nothing: there is nothing to end.
func (m *Memory) Close() error { return nil }
