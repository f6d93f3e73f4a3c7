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
	// Chunk is told of every chunk before it becomes a part of its step, and of
	// tombstones; it may be told again of one that it knows. The chunk's columns must
	// not be kept after the call. ctx ends when the stream is closed.
	Chunk(ctx context.Context, c *wire.Chunk) error
	// Step is told that a step is being handed out, in order of steps; Chunk has
	// been told of all its chunks.
	Step(step int64) error
}

// Recorders tells several recorders, one after another.
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

// notRecorded ends a stream: what a recorder did not keep cannot be made up for later,
// other than trouble with the broker.
type notRecorded struct{ error }

func (e notRecorded) Unwrap() error { return e.error }

// record tells the stream's recorder of a chunk.
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

// recordStep tells it that a step is being handed out.
func (s *Stream) recordStep(step int64) error {
	if s.opts.Record == nil {
		return nil
	}
	return s.opts.Record.Step(step)
}
