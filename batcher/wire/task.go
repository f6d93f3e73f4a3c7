package wire

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"resslt/batcher/internal/layout"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Order says which sample an index of an epoch has, 0 ≤ index <
// Dataset.Samples. It is a pure function of the run spec, without the same id twice in an
// epoch, and safe for concurrent use.
type Order interface {
	At(epoch, index int64) int64
}

// TaskRow requests one sample.
type TaskRow struct {
	Slot   int32 // row of the training batch
	Sample int64 // sample to visit
	Index  int64 // its index in the epoch's order
	Epoch  int64 // Step / StepsPerEpoch; seeds the views
}

// Task requests one chunk.
type Task struct {
	Step  int64
	Chunk int
	Rows  []TaskRow
	// Tombstone requests a tombstone with this reason instead; "" requests the chunk.
	Tombstone string
}

// NewTask is the task of a chunk: slot i of step s has index
// (s mod StepsPerEpoch)·B + i of epoch ⌊s/StepsPerEpoch⌋.
func NewTask(spec *schemas.RunSpec, order Order, step int64, chunk int) *Task {
	lo, hi := spec.ChunkRange(chunk)
	t := &Task{Step: step, Chunk: chunk, Rows: make([]TaskRow, 0, hi-lo)}
	epoch := step / spec.StepsPerEpoch
	for slot := lo; slot < hi; slot++ {
		index := (step%spec.StepsPerEpoch)*int64(spec.BatchSize) + int64(slot)
		t.Rows = append(t.Rows, TaskRow{Slot: int32(slot), Sample: order.At(epoch, index), Index: index, Epoch: epoch})
	}
	return t
}

var taskLayout = sync.OnceValues(func() (*layout.Layout, error) { return layout.New(schemas.TaskBatchSchema()) })

// EncodeTask makes the message that requests a chunk of a run whose spec has the given
// digest.
func EncodeTask(run, spec string, t *Task) (*nats.Msg, error) {
	n := len(t.Rows)
	slots, samples, indices := make([]int32, n), make([]int64, n), make([]int64, n)
	for i, r := range t.Rows {
		slots[i], samples[i], indices[i] = r.Slot, r.Sample, r.Index
	}
	cols := layout.NewColumns(n)
	cols.Int32(slots)
	cols.Int64(samples)
	cols.Int64(indices)
	var out bytes.Buffer
	if err := writeStream(&out, schemas.TaskBatchSchema(), cols); err != nil {
		return nil, err
	}
	body := out.Bytes()
	return &nats.Msg{
		Subject: schemas.TaskSubject(run, t.Step, t.Chunk),
		Data:    body,
		Header: nats.Header{
			schemas.HeaderSpec:   []string{spec},
			schemas.HeaderDigest: []string{Digest(body)},
		},
	}, nil
}

// DecodeTask reads a message of TASKS_<run>. It returns ErrMismatch where the task
// is of another spec, ErrTooLarge or ErrCorrupt where it is not what it claims.
func DecodeTask(spec *schemas.RunSpec, specDigest string, subject string, header nats.Header, body []byte) (*Task, error) {
	fail := func(err error) (*Task, error) {
		return nil, errs.New("decode task", subject, "see who publishes to this subject", err)
	}
	l, err := taskLayout()
	if err != nil {
		return nil, err
	}
	if got := header.Get(schemas.HeaderSpec); got != specDigest {
		return fail(errs.Because(errs.ErrMismatch, fmt.Sprintf("it is of spec %.12q, this run has %.12q", got, specDigest)))
	}
	if limit := len(l.Prefix()) + schemas.IPCOverhead + schemas.RowOverhead*spec.ChunkSamples; len(body) > limit {
		return fail(errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over %d", len(body), limit)))
	}
	_, step, chunk, err := schemas.ParseStepSubject(subject)
	if err != nil {
		return nil, err
	}
	if step >= spec.Steps() || chunk >= spec.Chunks() {
		return fail(errs.Because(errs.ErrCorrupt, "the run has no such step or chunk"))
	}
	if got, want := header.Get(schemas.HeaderDigest), Digest(body); got != want {
		return fail(errs.Because(errs.ErrCorrupt, fmt.Sprintf("its body has SHA-256 %.12s, the header says %.12q", want, got)))
	}
	lo, hi := spec.ChunkRange(chunk)
	bufs, err := l.Parse(body, hi-lo)
	if err != nil {
		return fail(err)
	}
	slots, samples, indices := layout.Int32s(bufs[0]), layout.Int64s(bufs[1]), layout.Int64s(bufs[2])
	t := &Task{Step: step, Chunk: chunk, Rows: make([]TaskRow, hi-lo)}
	if why := header.Get(schemas.HeaderGiveUp); why != "" {
		t.Tombstone = ReasonLine(why)
	}
	epoch, base := step/spec.StepsPerEpoch, (step%spec.StepsPerEpoch)*int64(spec.BatchSize)
	for i := range t.Rows {
		if int(slots[i]) != lo+i || indices[i] != base+int64(lo+i) || !spec.Dataset.HasID(samples[i]) {
			return fail(errs.Because(errs.ErrCorrupt, fmt.Sprintf("row %d asks for slot %d, index %d, sample %d", i, slots[i], indices[i], samples[i])))
		}
		t.Rows[i] = TaskRow{Slot: slots[i], Sample: samples[i], Index: indices[i], Epoch: epoch}
	}
	return t, nil
}
