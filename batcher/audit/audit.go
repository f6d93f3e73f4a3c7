package audit

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Auditor produces a sample of the chunks that a stream takes in again, with data of its
// own, and compares: a chunk's digest says that its bytes are what its worker made, not that
// its worker made the right ones. Which chunks they are nobody can foresee, so that a
// worker whose memory is bad, or that lies, is caught after some thousands of chunks,
// not after the run. It is a Recorder; put it ahead of others.
type Auditor struct {
	spec    *schemas.RunSpec
	source  produce.Source
	maker   produce.Maker
	encoder *wire.Encoder
	chunk   *wire.Chunk
	opts    Options
	run     string // digest of spec
	audited atomic.Int64
	refusal atomic.Pointer[errs.Error]
}

// Options configure an Auditor.
type Options struct {
	// Every: one chunk in so many is made again; at least 1.
	Every int64
	// Secret is what decides which chunks are sampled, at least AuditSecretBytes that no worker knows.
	// The same secret samples the same chunks, so that a chunk that was found false is checked
	// again when the run is resumed; and those of one Every are among those of a smaller.
	// Default: random.
	Secret []byte
}

// SecretBytes is how long a secret is.
const SecretBytes = 32

// How often a chunk is tried where this machine cannot make it, and how long apart.
const (
	auditTries = 4
	auditPause = 500 * time.Millisecond
)

// New makes an auditor. The source is its own from then on. It returns ErrUsage
// for options that cannot be.
func New(spec *schemas.RunSpec, source produce.Source, o Options) (*Auditor, error) {
	bad := func(where, hint string) error {
		return errors.Join(errs.New("audit", where, hint, errs.ErrUsage), source.Close())
	}
	if o.Every < 1 {
		return nil, bad(fmt.Sprintf("one chunk in %d", o.Every), "give 1 or more")
	}
	if o.Secret == nil {
		o.Secret = make([]byte, SecretBytes)
		rand.Read(o.Secret) // never fails
	}
	if len(o.Secret) < SecretBytes {
		return nil, bad(fmt.Sprintf("secret of %d bytes", len(o.Secret)), fmt.Sprintf("give %d or more", SecretBytes))
	}
	maker, err := source.NewMaker()
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return &Auditor{spec: spec, source: source, maker: maker, encoder: wire.NewEncoder(spec), chunk: wire.NewChunk(spec), opts: o, run: spec.Digest()}, nil
}

// isSampled reports whether a chunk is in the sample.
func (a *Auditor) isSampled(step int64, index int) bool {
	h := hmac.New(sha256.New, a.opts.Secret)
	fmt.Fprintf(h, "%s %d %d", a.run, step, index)
	return binary.BigEndian.Uint64(h.Sum(nil)) <= math.MaxUint64/uint64(a.opts.Every)
}

// Chunk produces the chunk again, if it is in the sample: twice, before it says of other
// bytes that they are false. It returns ErrDeterminism then, as Refusal does
// from then on, and where this machine's two differ; the trainer has not seen the
// chunk's step. What cannot be read is tried again, auditTries times in all.
func (a *Auditor) Chunk(ctx context.Context, c *wire.Chunk) error {
	if c.Tombstone != "" || !a.isSampled(c.Step, c.Index) {
		return nil
	}
	first, err := a.make(ctx, c)
	if err != nil {
		return err
	}
	a.audited.Add(1)
	if first == c.Digest {
		return nil
	}
	second, err := a.make(ctx, c)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("%d of step %d", c.Index, c.Step)
	if first != second {
		return errs.New("audit chunk", where, "see to this machine's memory and its copy of the data, then resume",
			errs.Because(errs.ErrDeterminism, fmt.Sprintf("it was made here twice, with digest %.12s and with %.12s", first, second)))
	}
	worker := c.Worker
	if worker == "" {
		worker = "a worker that does not name itself"
	}
	refusal := &errs.Error{
		Op: "audit chunk", Where: where,
		Hint: "leave that worker out and start over with --fresh: what it made before was not all audited",
		Err: errs.Because(errs.ErrDeterminism,
			fmt.Sprintf("it came with digest %.12s, by its own word from %s; made here, twice, it has %.12s", c.Digest, worker, first)),
	}
	a.refusal.CompareAndSwap(nil, refusal)
	return refusal
}

// make gives the digest of the chunk as this machine makes it.
func (a *Auditor) make(ctx context.Context, c *wire.Chunk) (string, error) {
	for try := 1; ; try++ {
		err := produce.Chunk(ctx, a.spec, a.source.Order(), a.maker, a.encoder, c.Step, c.Index, a.chunk)
		switch {
		case err == nil:
			return a.chunk.Digest, nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case try == auditTries:
			return "", errs.New("audit chunk", fmt.Sprintf("%d of step %d", c.Index, c.Step),
				"see that this machine can read the data, or train without --audit", err)
		}
		if err := link.Sleep(ctx, auditPause); err != nil {
			return "", err
		}
	}
}

// Refusal is what Chunk said of the first false chunk; nil where there was none. A run
// that has one is not to be continued.
func (a *Auditor) Refusal() error {
	if r := a.refusal.Load(); r != nil {
		return r
	}
	return nil
}

// Step does nothing.
func (a *Auditor) Step(int64) error { return nil }

// Audited is how many chunks were made again.
func (a *Auditor) Audited() int64 { return a.audited.Load() }

// Close closes the source.
func (a *Auditor) Close() error { return errors.Join(a.maker.Close(), a.source.Close()) }
