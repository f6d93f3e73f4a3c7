package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Seal makes a recording of a stream that keeps all: first it has every chunk produced
// again that the broker lacks, of whatever step, then it seals the run. Another trainer
// may have purged a step before it knew that this one records, and a broker may have
// lost some. What comes again is checked as it comes (late), and the run is sealed when all
// of it was. The caller has taken the run's last step.
//
// It returns ErrUnavailable where chunks do not come for StallTimeout, or the broker is
// away for BrokerTimeout; Next's error where the stream has failed, as by a chunk that
// came as a tombstone or altered, time after time; ctx's error.
func (s *Stream) Seal(ctx context.Context) error {
	pat := link.Patience{Conn: s.run.JetStream().Conn(), Limit: s.opts.BrokerTimeout}
	first := true
	before, since := -1, time.Now() // what the last pass found lacking, and since when it is so
	looked := since                 // when the queue was last looked at
	for {
		look := min(time.Since(since), time.Since(looked)) > s.opts.RepairAfter
		if look {
			looked = time.Now()
		}
		seen := s.seen.Load()
		pctx, cancel := link.WhileConnected(ctx, s.run.JetStream().Conn(), link.PassTimeout)
		lack, err := s.driver.seal(pctx, sealing{first, look})
		first = false
		if err == nil && lack == 0 {
			lack, err = s.unseen(pctx, seen)
		}
		cancel()
		switch {
		case err != nil:
			if err := pat.Failed(ctx, "seal recording", s.run.Name, err); err != nil {
				return err
			}
			since = time.Now()
		case lack == 0:
			return s.run.Seal(ctx)
		case lack != before:
			before, since = lack, time.Now()
		case s.opts.StallTimeout > 0 && time.Since(since) > s.opts.StallTimeout:
			return errs.New("seal recording", s.run.Name, "start `augmentd` workers that can reach the data, then resume",
				errs.Because(errs.ErrUnavailable, fmt.Sprintf("the broker lacks %d chunks, or does not show them, and none came in %v", lack, s.opts.StallTimeout)))
		}
		if err == nil {
			pat.Answered()
		}
		select {
		case <-time.After(planTick):
		case <-s.failed:
			return s.reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unseen reports whether the broker has chunks behind seen, as 1, else 0: where it has none,
// whatever was listed after seen was read had been taken in by then.
func (s *Stream) unseen(ctx context.Context, seen uint64) (int, error) {
	stream, err := s.run.JetStream().Stream(ctx, schemas.BatchStream(s.run.Name))
	if err != nil {
		return 0, err
	}
	_, err = stream.GetMsg(ctx, seen+1, jetstream.WithGetMsgSubject(schemas.AllChunks(s.run.Name)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	return 1, err
}

// late checks a chunk of a step that was handed out, which came again: a recording
// holds no tombstone, nothing that cannot be read, and of what this stream has handed out
// the same bytes alone. What is unusable is requested again, a few times.
func (s *Stream) late(ctx context.Context, msg *nats.Msg, seq uint64, id chunkID) error {
	if id.chunk >= s.run.Spec().Chunks() {
		return s.discard(ctx, seq, msg.Subject)
	}
	chunk, release, err := s.read(msg)
	defer release()
	if err == nil {
		err = s.compare(chunk)
	}
	if err == nil {
		delete(s.rejected, msg.Subject)
		return nil
	}
	s.stats.rejected.Add(1)
	if s.rejected[msg.Subject]++; s.rejected[msg.Subject] > maxRejects {
		return notRecorded{err}
	}
	return s.again(ctx, seq, id)
}

// compare checks a chunk that came again against what was handed out.
func (s *Stream) compare(c *wire.Chunk) error {
	where := fmt.Sprintf("chunk %d of step %d", c.Index, c.Step)
	if c.Tombstone != "" {
		return errs.Tombstone("record", where, c.Tombstone, ", then resume")
	}
	if was := s.digests[chunkID{c.Step, c.Index}]; was != "" && was != c.Digest {
		return errs.New("record", where, "run the same build of the worker on every machine, then resume",
			errs.Because(errs.ErrDeterminism, fmt.Sprintf("it was handed out with digest %.12s, and made again with %.12s", was, c.Digest)))
	}
	return nil
}
