package record

import (
	"context"
	"testing"

	"resslt/batcher/internal/memory"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// specOnly is a source that gives a spec, and fails the test where chunks are asked for.
type specOnly struct {
	t    *testing.T
	spec schemas.RunSpec
}

func (s specOnly) Spec() *schemas.RunSpec { return &s.spec }

func (s specOnly) Chunk(context.Context, int64, int) (*wire.Chunk, error) {
	s.t.Error("a chunk was read")
	return nil, errs.ErrNotFound
}

// A replay that cannot fit this machine is refused before it reads or allocates anything.
func TestReplayNeedsMemory(t *testing.T) {
	s := specOnly{t, testRun().Spec}
	s.spec.Dataset.Samples, s.spec.StepsPerEpoch, s.spec.ChunkSamples = 1<<30, 1, 1
	s.spec.Views[0].Size, s.spec.Views[1].Size = 1024, 1024
	s.spec.BatchSize = schemas.MaxBatchBytes / s.spec.SampleBytes()
	if err := s.spec.Validate(); err != nil {
		t.Fatal(err)
	}
	if need := 4 * s.spec.BatchBytes(s.spec.BatchSize); memory.Limit() >= need {
		t.Skipf("this machine has the %d GiB", need>>30)
	}
	_, err := Replay(s, 0, nil)
	errstest.Want(t, err, errs.ErrTooLarge, "replay", "GiB of memory")
}
