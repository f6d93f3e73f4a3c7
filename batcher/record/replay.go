package record

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"resslt/batcher/assemble"
	"resslt/batcher/internal/memory"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Source gives recorded chunks: a Folder, or a batcher.Stored, what a broker keeps of a
// run. It is safe for concurrent use. Chunk returns ErrNotFound where it has none.
type Source interface {
	Spec() *schemas.RunSpec
	Chunk(ctx context.Context, step int64, index int) (*wire.Chunk, error)
}

// Stream hands out recorded batches: the face of a batcher.Stream without planner or
// workers. Next belongs to one goroutine; Stats and Close may be called from any.
type Stream struct {
	source   Source
	spec     *schemas.RunSpec
	asm      *assemble.Assembler
	recorder stream.Recorder

	steps  chan int64 // read and assembled; closed by the reader
	cancel context.CancelFunc
	joined chan struct{}
	failed error // why the reader ended; read after steps is closed

	next, chunks, bytes, waited atomic.Int64
	closed                      sync.Once
}

// replayAhead is how many steps are read before they are requested.
const replayAhead = 2

// Replay begins to read the source's steps from the given one on. recorder, if not nil, is
// given what is handed out. Whether the source has all steps shows in Next.
func Replay(source Source, from int64, recorder stream.Recorder) (*Stream, error) {
	return ReplayPart(source, from, assemble.Part{}, recorder)
}

// ReplayPart is Replay of a part of every batch; chunks without any of its rows are
// read for a recorder alone.
func ReplayPart(source Source, from int64, part assemble.Part, recorder stream.Recorder) (*Stream, error) {
	spec := source.Spec()
	if err := part.Validate(spec.BatchSize); err != nil {
		return nil, err
	}
	if from < 0 || from > spec.Steps() {
		return nil, errs.New("replay", fmt.Sprintf("from step %d", from), "resume with the recipe that the checkpoint was made with",
			errs.Because(errs.ErrUsage, fmt.Sprintf("the run has %d", spec.Steps())))
	}
	first, end := part.Rows(spec.BatchSize)
	// The steps ahead, one that is assembled, one that is trained; and chunks as they are read.
	need := (replayAhead+2)*spec.BatchBytes(end-first) + int64(readers())*2*int64(spec.MaxChunkBytes())
	if err := memory.Check("replay", fmt.Sprintf("batches of %d", end-first), need, "replay on a larger machine, or a part on each of several"); err != nil {
		return nil, err
	}
	all := recorder != nil
	if !all {
		recorder = stream.Recorders()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Stream{
		source: source, spec: spec, asm: assemble.New(spec, assemble.Options{From: from, Part: part, All: all}), recorder: recorder,
		steps: make(chan int64, replayAhead), cancel: cancel, joined: make(chan struct{}),
	}
	s.next.Store(from)
	go func() { // joined by Close
		defer close(s.joined)
		defer close(s.steps)
		s.failed = s.read(ctx, from)
	}()
	return s, nil
}

// readers is how many chunks are read at once.
func readers() int { return max(2, runtime.GOMAXPROCS(0)/2) }

// read assembles step after step, the chunks of one at once.
func (s *Stream) read(ctx context.Context, from int64) error {
	for step := from; step < s.spec.Steps(); step++ {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(readers())
		var mu sync.Mutex // recorders receive one chunk at a time
		for _, index := range s.asm.Missing(step) {
			g.Go(func() error {
				c, err := s.source.Chunk(gctx, step, index)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				if err := s.recorder.Chunk(gctx, c); err != nil {
					return err
				}
				s.chunks.Add(1)
				for _, p := range c.Pixels {
					s.bytes.Add(int64(len(p)))
				}
				_, err = s.asm.Add(c)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		select {
		case s.steps <- step:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Next gives the batch of the next step, io.EOF after the run's last. The caller releases
// it. It returns ErrNotFound where the source does not have the step, ErrCorrupt where its
// bytes are not what was recorded, ErrTombstone as a batcher.Stream does, ctx's error.
func (s *Stream) Next(ctx context.Context) (*schemas.Batch, error) {
	start := time.Now()
	defer func() { s.waited.Add(int64(time.Since(start))) }()
	select {
	case step, ok := <-s.steps:
		switch {
		case ok:
		case s.failed != nil:
			return nil, s.failed
		default:
			return nil, io.EOF
		}
		b, err := s.asm.Take(step)
		if err != nil {
			return nil, err
		}
		if err := s.recorder.Step(step); err != nil {
			b.Release()
			return nil, err
		}
		s.next.Store(step + 1)
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stats gives the stream's counts.
func (s *Stream) Stats() stream.Stats {
	return stream.Stats{
		Chunks: s.chunks.Load(), Bytes: s.bytes.Load(), Waited: time.Duration(s.waited.Load()),
		Next: s.next.Load(), BufferedSteps: int64(len(s.steps)),
	}
}

// Close ends the reader and waits for it. The source is the caller's to close.
func (s *Stream) Close() error {
	s.closed.Do(func() {
		s.cancel()
		<-s.joined
	})
	return nil
}
