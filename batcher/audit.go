package batcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"resslt/schemas"
)

// Auditor makes some of the chunks that a stream takes in again, with data of its own,
// and compares: a chunk's digest says that its bytes are what its worker made, not that
// its worker made the right ones. Which chunks they are nobody can foresee, so that a
// worker whose memory is bad, or who lies, is found out after some thousands of chunks,
// not after the run. It is a Recorder; put it ahead of others.
type Auditor struct {
	spec    *schemas.RunSpec
	source  Source
	maker   Maker
	encoder *Encoder
	chunk   *Chunk
	every   int64
	audited atomic.Int64
}

// NewAuditor makes one chunk in every again; every is at least 1. The source is its own
// from then on.
func NewAuditor(spec *schemas.RunSpec, source Source, every int64) (*Auditor, error) {
	if every < 1 {
		return nil, errors.Join(schemas.E("audit", fmt.Sprintf("one chunk in %d", every), "give 1 or more", schemas.ErrUsage), source.Close())
	}
	maker, err := source.NewMaker()
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return &Auditor{spec: spec, source: source, maker: maker, encoder: NewEncoder(spec), chunk: NewChunk(spec), every: every}, nil
}

// Chunk makes the chunk again, if the lot falls on it. It returns ErrDeterminism where
// other bytes come of it; the trainer has not seen the chunk's step then.
func (a *Auditor) Chunk(c *Chunk) error {
	if c.Tombstone != "" || rand.Int64N(a.every) > 0 {
		return nil
	}
	if err := MakeChunk(context.Background(), a.spec, a.source.Order(), a.maker, a.encoder, c.Step, c.Index, a.chunk); err != nil {
		return schemas.E("audit chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step), "see that this machine can read the data, or train without --audit", err)
	}
	a.audited.Add(1)
	if a.chunk.Digest != c.Digest {
		return schemas.E("audit chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step),
			"find the worker that made it by `resslt status`, then start over without it: earlier chunks of it were not all audited",
			schemas.Because(schemas.ErrDeterminism, fmt.Sprintf("it came with digest %.12s, made here it has %.12s", c.Digest, a.chunk.Digest)))
	}
	return nil
}

// Step does nothing.
func (a *Auditor) Step(int64) error { return nil }

// Audited is how many chunks were made again.
func (a *Auditor) Audited() int64 { return a.audited.Load() }

// Close closes the source.
func (a *Auditor) Close() error { return errors.Join(a.maker.Close(), a.source.Close()) }
