package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Limits of one pull. A byte limit below one message's size would stall.
const (
	pullMessages  = 16
	pullBytes     = 48 << 20
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second
	// inactive is how long the broker keeps the consumer of a trainer that died.
	inactive = time.Minute
	// maxRejects is how often a chunk may come unusable before the stream ends.
	maxRejects = 3
)

var (
	errReconnected = errors.New("the connection is new")
	errGap         = errors.New("a message was lost on its way")
)

// consume takes in chunks until ctx ends. It keeps its position in the stream itself
// rather than leave it to an ordered consumer of nats.go, whose recovery waits
// without end where a stream is gone; here a broker that came back without its
// memory has the streams created and the tasks issued again.
func (s *Stream) consume(ctx context.Context) error {
	pat := link.Patience{Conn: s.run.JetStream().Conn(), Limit: s.opts.BrokerTimeout}
	last := uint64(0) // stream sequence of the last message that was taken in
	for {
		err := s.session(ctx, &last, &pat)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the stream is closed, and err says no more than that
		}
		var lost notRecorded
		switch {
		case errors.As(err, &lost):
			return lost.error
		case errors.Is(err, errReconnected), errors.Is(err, errGap):
			continue
		case errors.Is(err, errs.ErrDeterminism), errors.Is(err, errs.ErrCorrupt), errors.Is(err, errs.ErrMismatch), errors.Is(err, errs.ErrTooLarge),
			errors.Is(err, errs.ErrUnsupported):
			return err
		}
		if ferr := pat.Failed(ctx, "stream of run", s.run.Name, err); ferr != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // as above
			}
			return ferr
		}
		if s.run.JetStream().Conn().IsConnected() {
			// A failure here shows again in the next session, and is counted there.
			hctx, cancel := link.WhileConnected(ctx, s.run.JetStream().Conn(), link.PassTimeout)
			step := s.at()
			_, _ = s.driver.repair(hctx, step, s.asm.Missing(step))
			cancel()
		}
	}
}

// interrupt ends the current session, so that the next creates its consumer again.
func (s *Stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reconnect != nil {
		s.reconnect(errReconnected)
	}
}

// session takes in chunks through one consumer, from *last on.
func (s *Stream) session(ctx context.Context, last *uint64, pat *link.Patience) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	s.reconnect = cancel
	s.mu.Unlock()

	js, name := s.run.JetStream(), schemas.BatchStream(s.run.Name)
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	if stream.CachedInfo().State.LastSeq < *last {
		*last, s.openSeq = 0, 0 // the stream was created again
		s.seen.Store(0)
	}
	one, several := s.filters()
	cons, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: one, FilterSubjects: several,
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *last + 1,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
	})
	if err != nil {
		return err
	}
	defer func() {
		// A consumer that is not deleted expires by itself after a minute.
		dctx, dcancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer dcancel()
		if js.Conn().IsConnected() {
			_ = stream.DeleteConsumer(dctx, cons.CachedInfo().Name)
		}
	}()
	limit := max(pullBytes, 2*s.run.Spec().MaxChunkMessage())
	it, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, limit),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer it.Stop()
	for delivered := uint64(1); ; delivered++ {
		msg, err := s.nextMessage(ctx, cons, it, pat)
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, errReconnected) {
				return cause
			}
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != delivered {
			return errGap
		}
		m := &nats.Msg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()}
		if err := s.takeIn(ctx, m, meta.Sequence.Stream); err != nil {
			return err
		}
		*last = meta.Sequence.Stream
		s.seen.Store(*last)
	}
}

// filters are the subjects that the consumer wants, as one or several: of all chunks
// (and that, where it is no less than everything: see purgeSubject), or of those that
// the assembler wants.
func (s *Stream) filters() (one string, several []string) {
	wanted := s.asm.Missing(s.run.Spec().Steps()) // of a step that never comes: all that it wants
	switch {
	case len(wanted) == s.run.Spec().Chunks(), s.opts.Keep < 0: // a recording is of all rows
		return schemas.AllChunks(s.run.Name), nil
	case len(wanted) == 1:
		return schemas.ChunkFilter(s.run.Name, wanted[0]), nil
	case !takesFilters(s.run.JetStream().Conn().ConnectedServerVersion()):
		return schemas.AllChunks(s.run.Name), nil
	}
	for _, c := range wanted {
		several = append(several, schemas.ChunkFilter(s.run.Name, c))
	}
	return "", several
}

// takesFilters reports whether a broker lets a consumer have several filters: from 2.10 on.
func takesFilters(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 2 || major == 2 && minor >= 10
}

// nextMessage waits until there is room for another batch, then for a message.
// When the trainer is starved meanwhile, it has the step repaired.
func (s *Stream) nextMessage(ctx context.Context, cons jetstream.Consumer, it jetstream.MessagesContext, pat *link.Patience) (jetstream.Msg, error) {
	for {
		for s.asm.Complete(s.at()) >= s.opts.Prefetch {
			select {
			case <-s.room:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		for step := s.at(); step < s.at()+s.opts.Prefetch; step++ {
			if s.ahead[step] {
				if err := s.pickUp(ctx, step); err != nil {
					return nil, err
				}
			}
		}
		wctx, cancel := context.WithTimeout(ctx, s.opts.RepairAfter)
		msg, err := it.Next(jetstream.NextContext(wctx))
		cancel()
		if err == nil {
			pat.Answered()
			return msg, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		step := s.at()
		if s.asm.Ready(step) || step >= s.run.Spec().Steps() {
			continue
		}
		hctx, cancel := link.WhileConnected(ctx, s.run.JetStream().Conn(), link.PassTimeout)
		there, err := s.driver.repair(hctx, step, s.asm.Missing(step))
		var info *jetstream.ConsumerInfo
		if err == nil {
			info, err = cons.Info(hctx)
		}
		cancel()
		if err != nil {
			return nil, err
		}
		pat.Answered()
		if info.NumPending > 0 {
			continue // they are on their way
		}
		missing := s.asm.Missing(step)
		if slices.ContainsFunc(there, func(c int) bool { return slices.Contains(missing, c) }) {
			// Everything was delivered, yet one that is there did not arrive.
			if err := s.pickUp(ctx, step); err != nil {
				return nil, err
			}
		}
	}
}

// pickUp takes in the chunks of a step that are in the stream, and that the consumer
// does not bring any more.
func (s *Stream) pickUp(ctx context.Context, step int64) error {
	delete(s.ahead, step)
	stream, err := s.run.JetStream().Stream(ctx, schemas.BatchStream(s.run.Name))
	if err != nil {
		return err
	}
	for _, c := range s.asm.Missing(step) {
		m, err := stream.GetLastMsgForSubject(ctx, schemas.ChunkSubject(s.run.Name, step, c))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it is still to come
		}
		if err != nil {
			return err
		}
		if err := s.takeIn(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}, m.Sequence); err != nil {
			return err
		}
	}
	return nil
}

// takeIn decodes a message and adds it to its batch. One of no use is deleted and
// requested again, a few times.
func (s *Stream) takeIn(ctx context.Context, msg *nats.Msg, seq uint64) error {
	_, step, index, err := schemas.ParseStepSubject(msg.Subject)
	if err != nil || step < s.at() {
		s.stats.repeated.Add(1)
		if err == nil && s.opts.Keep < 0 {
			return s.late(ctx, msg, seq, chunkID{step, index})
		}
		if err == nil && s.driver.wants(step) {
			return nil
		}
		return s.discard(ctx, seq, msg.Subject) // a worker was too late
	}
	if step >= s.at()+s.run.Options().Window && step < s.run.Spec().Steps() {
		// It is for a trainer that is further on. To hold it until its turn comes
		// would take memory without bound; it is picked up then.
		s.ahead[step] = true
		return nil
	}
	chunk, release, err := s.read(msg)
	defer release()
	if err != nil {
		if errors.Is(err, wire.ErrBodyDigest) {
			s.stats.mismatches.Add(1)
		} else {
			s.stats.rejected.Add(1)
		}
		if step >= s.run.Spec().Steps() || index >= s.run.Spec().Chunks() {
			return s.discard(ctx, seq, msg.Subject) // nobody requested it, nobody misses it
		}
		if s.rejected[msg.Subject]++; s.rejected[msg.Subject] > maxRejects {
			return err
		}
		return s.again(ctx, seq, chunkID{step, index})
	}
	if chunk.Tombstone != "" && seq <= s.openSeq {
		// It was published before this trainer came: whatever was the matter may
		// have been fixed since.
		return s.again(ctx, seq, chunkID{step, index})
	}
	// Before the chunk can complete its step: Next hands that out at once.
	if err := s.record(ctx, chunk); err != nil {
		return err
	}
	added, err := s.asm.Add(chunk)
	if err != nil {
		s.stats.mismatches.Add(1) // Decode lets no chunk through that the run does not have
		return err
	}
	if !added {
		s.stats.repeated.Add(1)
		return nil
	}
	delete(s.rejected, msg.Subject)
	if s.opts.Keep < 0 {
		s.digests[chunkID{step, index}] = chunk.Digest
	}
	s.stats.chunks.Add(1)
	s.stats.bytes.Add(max(int64(len(msg.Data)), chunk.PixelBytes()))
	if chunk.Tombstone != "" {
		s.stats.tombstoned.Add(1)
	}
	if s.asm.Ready(step) {
		wake(s.news)
	}
	return nil
}

// again deletes a message and requests its chunk once more.
func (s *Stream) again(ctx context.Context, seq uint64, id chunkID) error {
	if err := s.discard(ctx, seq, schemas.ChunkSubject(s.run.Name, id.step, id.chunk)); err != nil {
		return err
	}
	return s.driver.again(ctx, id)
}

// read decodes the chunk of a message, or finds it where it is held. The caller calls release
// after the use of it.
func (s *Stream) read(msg *nats.Msg) (c *wire.Chunk, release func(), err error) {
	release = func() {}
	if s.opts.Held == nil || !wire.IsHeld(msg.Header) {
		c, err = s.dec.Decode(msg)
		return c, release, err
	}
	_, step, index, err := schemas.ParseStepSubject(msg.Subject)
	if err != nil {
		return nil, release, err
	}
	h := s.opts.Held.Get(step, index)
	if h == nil {
		return nil, release, errs.New("read chunk", msg.Subject, "it will be requested again",
			errs.Because(errs.ErrCorrupt, "its rows are not in this process any more"))
	}
	digest := ""
	if s.opts.Record != nil || s.opts.Keep < 0 {
		if digest, err = h.Digest(s.enc); err != nil {
			return nil, h.Release, err
		}
	}
	return h.Rows(digest, msg.Header.Get(schemas.HeaderWorker)), h.Release, nil
}

// discard deletes a message of BATCH_<run>.
func (s *Stream) discard(ctx context.Context, seq uint64, subject string) error {
	stream, err := s.run.JetStream().Stream(ctx, schemas.BatchStream(s.run.Name))
	if err != nil {
		return err
	}
	err = stream.DeleteMsg(ctx, seq)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("delete message %d: %w", seq, err)
	}
	if s.opts.Held != nil {
		if _, step, index, err := schemas.ParseStepSubject(subject); err == nil {
			s.opts.Held.Drop(step, index)
		}
	}
	return nil
}
