package runs

import (
	"bytes"
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

// Stored is what BATCH_<run> holds, for reading. It is safe for concurrent use.
type Stored struct {
	run    *Run
	stream jetstream.Stream
	dec    *wire.Decoder
}

// Stored opens the run's chunks for reading. It returns ErrNotFound where the stream is
// gone, ErrUnavailable where the broker does not answer.
func (r *Run) Stored(ctx context.Context) (*Stored, error) {
	dec, err := wire.NewDecoder(r.Spec())
	if err != nil {
		return nil, err
	}
	s, err := r.batches(ctx)
	if err != nil {
		return nil, err
	}
	return &Stored{run: r, stream: s, dec: dec}, nil
}

// Spec is the run's spec.
func (s *Stored) Spec() *schemas.RunSpec { return s.run.Spec() }

// Chunk gives a chunk, checked as Decode does; a tombstone too. It returns ErrNotFound
// where the broker holds none, and Decode's errors.
func (s *Stored) Chunk(ctx context.Context, step int64, index int) (*wire.Chunk, error) {
	subject := schemas.ChunkSubject(s.run.Name, step, index)
	m, err := s.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errs.New("read chunk", subject, "see `resslt record ls` for the steps that are kept", errs.ErrNotFound)
	}
	if err != nil {
		return nil, link.Unavailable(s.run.js.Conn(), "read chunk", subject, err)
	}
	return s.dec.Decode(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
}

// Steps says which chunks are there: by step, how many of its chunks, and the stream's
// bytes in all.
func (s *Stored) Steps(ctx context.Context) (chunks map[int64]int, size uint64, err error) {
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(schemas.AllChunks(s.run.Name)))
	if err != nil {
		return nil, 0, link.Unavailable(s.run.js.Conn(), "list chunks", s.run.Name, err)
	}
	chunks = map[int64]int{}
	for subject := range info.State.Subjects {
		if _, step, index, err := schemas.ParseStepSubject(subject); err == nil && step < s.Spec().Steps() && index < s.Spec().Chunks() {
			chunks[step]++
		}
	}
	return chunks, info.State.Bytes, nil
}

// Sealed reports whether the stream is read-only for good.
func (s *Stored) Sealed() bool { return s.stream.CachedInfo().Config.Sealed }

// Store publishes a chunk that was produced before, say by an earlier run of the same
// spec. It is written once: a repeat is a success, other bytes are ErrDeterminism. A broker that is
// away or full is waited for, two minutes at most, and then ErrUnavailable.
func (r *Run) Store(ctx context.Context, enc *wire.Encoder, c *wire.Chunk, from string) error {
	body, err := enc.Encode(c)
	if err != nil {
		return err
	}
	m := wire.ChunkMessage(r.Name, r.Info.Digest, c.Step, c.Index, bytes.Clone(body), "", from)
	if got := m.Header.Get(schemas.HeaderDigest); c.Digest != "" && got != c.Digest {
		return errs.New("store chunk", m.Subject, "take the record from another copy", errs.Because(errs.ErrCorrupt,
			fmt.Sprintf("its rows have digest %.12s, it was recorded with %.12s", got, c.Digest)))
	}
	pctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if _, err = r.Publish(pctx, m, 0, func() {}); pctx.Err() != nil && ctx.Err() == nil {
		return errs.New("store chunk", m.Subject, "see that the broker runs and that its store has room",
			errs.Because(errs.ErrUnavailable, fmt.Sprintf("the broker did not take it for %v", storeWait)))
	}
	return err
}

func (r *Run) batches(ctx context.Context) (jetstream.Stream, error) {
	s, err := r.js.Stream(ctx, schemas.BatchStream(r.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, errs.New("open stream", schemas.BatchStream(r.Name), "open the run again, or delete it", errs.ErrNotFound)
	}
	if err != nil {
		return nil, link.Unavailable(r.js.Conn(), "open stream", r.Name, err)
	}
	return s, nil
}

// storeWait is how long Store waits for a broker that is away or full.
const storeWait = 2 * time.Minute
