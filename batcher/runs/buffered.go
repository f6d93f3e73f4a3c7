package runs

import (
	"context"
	"errors"

	"resslt/batcher/internal/link"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// Buffered gives how many steps from step on are complete in the broker, one after
// another, at most limit: how far a trainer that needs step next could go if every
// worker stopped now.
func (r *Run) Buffered(ctx context.Context, step, limit int64) (int64, error) {
	s, err := r.js.Stream(ctx, schemas.BatchStream(r.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil // asleep
	}
	if err != nil {
		return 0, link.Unavailable(r.js.Conn(), "look at chunks", r.Name, err)
	}
	return r.buffered(ctx, s, step, 0, limit)
}

// maxListed is how many chunks are listed to see which are complete. A recording may have more;
// its steps are asked for one by one, from the trainer's on.
const maxListed = 20_000

// buffered does so where the trainer may have gone on by lag steps since it said that it needs
// step; -1: by any number.
func (r *Run) buffered(ctx context.Context, s jetstream.Stream, step, lag, limit int64) (int64, error) {
	perStep := r.Spec().Chunks()
	list := func(filter string) (map[int64]int, error) {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, link.Unavailable(r.js.Conn(), "look at chunks", r.Name, err)
		}
		chunks := map[int64]int{}
		for subject := range info.State.Subjects {
			if _, step, index, err := schemas.ParseStepSubject(subject); err == nil && index < perStep {
				chunks[step]++
			}
		}
		return chunks, nil
	}
	if s.CachedInfo().State.NumSubjects <= maxListed {
		chunks, err := list(schemas.AllChunks(r.Name))
		return completeFrom(chunks, perStep, step, lag, limit), err
	}
	for n := int64(0); ; n++ {
		if n == limit {
			return n, nil
		}
		chunks, err := list(schemas.StepFilter(r.Name, step+n))
		if err != nil || chunks[step+n] < perStep {
			return n, err
		}
	}
}

// completeFrom counts the complete steps, one after another, of the next limit of a trainer. Of
// chunks it is said how many each step has. The trainer said that it needs step from; those
// that it has done since are purged, up to lag of them, and are passed over.
func completeFrom(chunks map[int64]int, perStep int, from, lag, limit int64) int64 {
	if lag < 0 || lag > limit {
		lag = limit
	}
	first := from
	for first < from+lag && chunks[first] == 0 {
		first++
	}
	n := int64(0)
	for n < limit && chunks[first+n] >= perStep {
		n++
	}
	return n
}
