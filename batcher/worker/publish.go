package worker

import (
	"context"
	"errors"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/wire"
	"resslt/schemas/errs"
)

// publish publishes the chunk of the bench: its body, or where it is held in this process, its
// message. It gives the bytes of that, or of what is held, and whether the chunk was not there.
func (w *Worker) publish(ctx context.Context, t *task, b *bench, work *wire.Task) (size int64, fresh bool, err error) {
	run, alive := t.ws.run, func() { _ = t.hand.InProgress() } // one that is lost is followed by another
	if w.opts.Held != nil && b.chunk.Tombstone == "" {
		size = b.chunk.PixelBytes()
		if err := w.hold(ctx, b, alive); err != nil {
			return 0, false, err
		}
		m := wire.HeldMessage(run.Name, run.Info.Digest, work.Step, work.Chunk, w.opts.Name)
		fresh, err = run.Publish(ctx, m, w.opts.PublishTimeout, alive)
		return size, fresh, err
	}
	var body []byte
	if b.chunk.Tombstone == "" {
		if body, err = b.encoder.Encode(b.chunk); err != nil {
			return 0, false, err
		}
	}
	m := wire.ChunkMessage(run.Name, run.Info.Digest, work.Step, work.Chunk, body, b.chunk.Tombstone, w.opts.Name)
	fresh, err = run.Publish(ctx, m, w.opts.PublishTimeout, alive)
	return int64(len(m.Data)), fresh, err
}

// hold gives the chunk to the store, and the bench another to fill. It waits for room as Publish
// does for that of a stream, and returns ErrUnavailable where there is none in that time.
func (w *Worker) hold(ctx context.Context, b *bench, alive func()) error {
	since := time.Now()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		next, err := w.opts.Held.Put(b.chunk)
		if err == nil {
			b.chunk = next
			return nil
		}
		if !errors.Is(err, errs.ErrTooLarge) {
			return err
		}
		if time.Since(since) > w.opts.PublishTimeout {
			return errs.New("publish chunk", w.opts.Name, "see that the run's trainer is at work", errs.BecauseErr(errs.ErrUnavailable, err))
		}
		alive()
		if err := link.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}
