package runs

import (
	"context"
	"errors"

	"resslt/batcher/internal/link"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// Options are what the run was last opened with, with defaults.
func (r *Run) Options() Options { return r.opts }

// JetStream is the broker that the run is in.
func (r *Run) JetStream() jetstream.JetStream { return r.js }

// Window is how many steps workers may be ahead of the slowest trainer.
func (r *Run) Window() int64 { return r.opts.Window }

// Buffered gives how many steps from step on are complete in the broker, one after
// another, at most limit: how far a trainer that needs step next could go if every
// worker stopped now. It asks once a step, and stops at the first gap.
func (r *Run) Buffered(ctx context.Context, step, limit int64) (int64, error) {
	s, err := r.js.Stream(ctx, schemas.BatchStream(r.Name))
	if err != nil {
		return 0, link.Unavailable(r.js.Conn(), "look at chunks", r.Name, err)
	}
	n := int64(0)
	for ; n < limit && step+n < r.Spec().Steps(); n++ {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(schemas.StepFilter(r.Name, step+n)))
		if err != nil {
			return 0, link.Unavailable(r.js.Conn(), "look at chunks", r.Name, err)
		}
		if len(info.State.Subjects) < r.Spec().Chunks() {
			break
		}
	}
	return n, nil
}

// Usage is what the run holds in the broker, bytes: chunks, and everything else.
func (r *Run) Usage(ctx context.Context) (chunks, rest uint64, err error) {
	for _, name := range []string{schemas.BatchStream(r.Name), schemas.TasksStream(r.Name), schemas.BeatsStream(r.Name), schemas.CtrlStream(r.Name)} {
		s, err := r.js.Stream(ctx, name)
		if name == schemas.BeatsStream(r.Name) && errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // an earlier build opened the run
		}
		if err != nil {
			return 0, 0, link.Unavailable(r.js.Conn(), "look at run", r.Name, err)
		}
		if b := s.CachedInfo().State.Bytes; name == schemas.BatchStream(r.Name) {
			chunks = b
		} else {
			rest += b
		}
	}
	return chunks, rest, nil
}
