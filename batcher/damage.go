package batcher

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
)

// dropDamaged deletes those of the named streams that list messages which they
// cannot give, so that they are made anew. After bits flipped in a block of its file
// store, nats-server 2.9 goes on writing to that block: it counts and lists what it
// takes, and finds none of it again. All that a run's streams hold can be made
// again, so nothing is lost with them that is not lost already.
func (r *Run) dropDamaged(ctx context.Context, names ...string) error {
	for _, name := range names {
		damaged, err := r.damaged(ctx, name)
		if err == nil && damaged {
			err = r.js.DeleteStream(ctx, name)
		}
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return unavailable(r.js.Conn(), "open run", r.Name, err)
		}
	}
	return nil
}

// damaged says whether a stream's first message is listed and cannot be read. One
// that was removed between the two requests is no longer the first.
func (r *Run) damaged(ctx context.Context, name string) (bool, error) {
	s, err := r.js.Stream(ctx, name)
	if err != nil {
		return false, err
	}
	before := s.CachedInfo().State
	if before.Msgs == 0 {
		return false, nil
	}
	if _, err := s.GetMsg(ctx, before.FirstSeq); !errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, err
	}
	now, err := s.Info(ctx)
	return err == nil && now.State.Msgs > 0 && now.State.FirstSeq == before.FirstSeq, err
}

// dropDamagedChunks does it for BATCH_<run>, unless a trainer keeps what it had: a
// recording is not made anew behind its owner's back. Then it returns ErrCorrupt.
// p.mu is held.
func (p *Planner) dropDamagedChunks(ctx context.Context) error {
	name := schemas.BatchStream(p.run.Name)
	if !p.someoneKeepsAll() {
		return p.run.dropDamaged(ctx, name)
	}
	damaged, err := p.run.damaged(ctx, name)
	if err != nil || !damaged {
		return err
	}
	return schemas.E("read recording", name, "export what can be read with `resslt record export`, then start with --fresh",
		schemas.Because(schemas.ErrCorrupt, "the broker's store lists chunks that it cannot give"))
}
