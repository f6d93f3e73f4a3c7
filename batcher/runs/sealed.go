package runs

import (
	"context"

	"resslt/batcher/internal/link"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// RecordingBytes is a byte limit of BATCH_<run> under which all chunks of the run fit, so
// that a recording that purges nothing cannot be shut out by what it keeps. It is as much as
// a limit may be for a run that no disk holds.
func RecordingBytes(spec *schemas.RunSpec) int64 {
	step := int64(spec.Chunks()) * int64(spec.MaxChunkMessage())
	if spec.Steps() > (maxStreamBytes-streamSlack)/step {
		return maxStreamBytes
	}
	return spec.Steps()*step + streamSlack
}

// Seal makes BATCH_<run> read-only for good: a recording. The run cannot be opened
// for training any more, only read and deleted. A trainer that still reads it continues.
func (r *Run) Seal(ctx context.Context) error {
	s, err := r.batches(ctx)
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	cfg.Sealed = true
	if _, err := r.js.UpdateStream(ctx, cfg); err != nil {
		return link.Unavailable(r.js.Conn(), "seal recording", r.Name, err)
	}
	return nil
}

// errSealed: the run is a recording, and takes nothing any more.
var errSealed = errs.Because(errs.ErrMismatch, "the run is a sealed recording")

func sealedError(op, where string) error {
	return errs.New(op, where, "read it with --replay stream:RUN, choose another --run name, or pass --fresh to delete it", errSealed)
}
