package stream

import (
	"context"
	"errors"

	"resslt/batcher/wire"
	"resslt/schemas/errs"
)

// Recorder keeps what a stream hands out. A stream calls Chunk from its consumer's
// goroutine and Step from Next's.
type Recorder interface {
	// Chunk receives every chunk before it becomes a part of its step, tombstones
	// too; it may receive one again that it knows. The chunk's columns must
	// not be kept after the call. ctx ends when the stream is closed.
	Chunk(ctx context.Context, c *wire.Chunk) error
	// Step is called as a step is handed out, in order of steps; Chunk has received all
	// of its chunks.
	Step(step int64) error
}

// Recorders calls several recorders, one after another.
func Recorders(rs ...Recorder) Recorder { return recorders(rs) }

type recorders []Recorder

func (rs recorders) Chunk(ctx context.Context, c *wire.Chunk) error {
	for _, r := range rs {
		if err := r.Chunk(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (rs recorders) Step(step int64) error {
	for _, r := range rs {
		if err := r.Step(step); err != nil {
			return err
		}
	}
	return nil
}

// notRecorded ends a stream: what a recorder did not keep cannot be recovered later,
// unlike trouble with the broker.
type notRecorded struct{ error }

func (e notRecorded) Unwrap() error { return e.error }

// record gives the stream's recorder a chunk.
func (s *Stream) record(ctx context.Context, c *wire.Chunk) error {
	if s.opts.Record == nil {
		return nil
	}
	if err := s.opts.Record.Chunk(ctx, c); err != nil {
		if errors.Is(err, errs.ErrDeterminism) {
			s.stats.mismatches.Add(1)
		}
		return notRecorded{err}
	}
	return nil
}

// recordStep gives it the step that is handed out.
func (s *Stream) recordStep(step int64) error {
	if s.opts.Record == nil {
		return nil
	}
	return s.opts.Record.Step(step)
}
