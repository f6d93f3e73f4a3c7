package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/process"
	"resslt/batcher/produce"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// progressKey finds the clock of an Open in its context.
type progressKey struct{}

// Progress says that an Open goes on: its time counts from now on. It is for what takes long
// and knows it, an index that is being built.
func Progress(ctx context.Context) {
	if at, ok := ctx.Value(progressKey{}).(*atomic.Int64); ok {
		at.Store(time.Now().UnixNano())
	}
}

// lateOpen is an Open that did not return in time. What it still returns is closed.
type lateOpen struct {
	digest, uri string
	done        chan struct{} // closed when it has returned
}

// openData opens the run's data by Open, which may hang. No second Open is begun for the same
// data while one hangs.
func (w *Worker) openData(ctx context.Context, bh *bulkhead) (produce.Source, error) {
	info := bh.run.Info
	if l := bh.late; l != nil && l.digest == info.Digest && l.uri == info.DataURI {
		select {
		case <-l.done:
			bh.late = nil
		default:
			return nil, w.openTimedOut(bh)
		}
	}
	type result struct {
		src produce.Source
		err error
	}
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	octx, cancel := context.WithCancel(context.WithValue(ctx, progressKey{}, &clock))
	results, left, done := make(chan result), make(chan struct{}), make(chan struct{})
	w.crew.run(func() {
		defer cancel()
		defer wake(bh.news)
		defer close(done)
		src, err := w.opts.Open(octx, &info)
		select {
		case results <- result{src, err}:
		case <-left:
			if err == nil {
				w.closeSource(src)
			}
		}
	})
	abandon := func(why error) (produce.Source, error) {
		cancel()
		close(left)
		bh.late = &lateOpen{info.Digest, info.DataURI, done}
		return nil, why
	}
	limit := w.opts.OpenTimeout
	if bh.alone {
		limit = longOpen
	}
	for {
		t := time.NewTimer(limit - time.Since(time.Unix(0, clock.Load())))
		select {
		case r := <-results:
			t.Stop()
			return r.src, r.err
		case <-ctx.Done():
			t.Stop()
			return abandon(ctx.Err())
		case <-bh.news:
			t.Stop()
			if !w.look(ctx, bh) || bh.phase() != opening || bh.run.Info.DataURI != info.DataURI {
				return abandon(errMoved)
			}
			continue
		case <-t.C:
		}
		if time.Since(time.Unix(0, clock.Load())) < limit {
			continue
		}
		cancel()
		select {
		case r := <-results: // it heeds its context
			if r.err == nil {
				w.closeSource(r.src)
			}
			return nil, w.openTimedOut(bh)
		case <-time.After(hangWait):
			return abandon(w.openTimedOut(bh))
		}
	}
}

// errMoved says that the data need not be opened any more: they are elsewhere, or the run is gone.
var errMoved = errors.New("the data are elsewhere by now")

// longOpen is the limit of a worker that has one run, and nothing else to do.
const longOpen = 24 * time.Hour

func (w *Worker) openTimedOut(bh *bulkhead) error {
	return errs.New("open", bh.run.Info.DataURI, "see that its store answers, give this worker a copy with --data URI, or more time with --open-timeout",
		errs.Because(errs.ErrUnavailable, fmt.Sprintf("it does not open in %v", w.opts.OpenTimeout)))
}

func (w *Worker) closeSource(src produce.Source) {
	if err := src.Close(); err != nil {
		w.opts.Report(err)
	}
}

// openedLately is how long a run counts as trained before its first trainer has a lease.
const openedLately = 10 * time.Minute

// leaseWatch tells whether a run is trained. Brokers before 2.10 do not say how old a lease is:
// there it is watched whether it is renewed.
type leaseWatch struct {
	seq   map[string]uint64    // of each trainer's note
	since map[string]time.Time // when it was seen first
}

// tended is until when the run counts as trained, by what is known now: two terms after a
// trainer's lease was renewed, or, before the first has one, for a while after it was opened.
func (lw *leaseWatch) tended(ctx context.Context, js jetstream.JetStream, run string) (until time.Time, err error) {
	notes, err := leases.ReadAll(ctx, js, run)
	if err != nil {
		return until, err
	}
	if len(notes) == 0 {
		s, err := js.Stream(ctx, schemas.CtrlStream(run))
		if err != nil {
			return until, err
		}
		age := time.Since(s.CachedInfo().Created)
		if now := s.CachedInfo().TimeStamp; !now.IsZero() {
			age = now.Sub(s.CachedInfo().Created)
		}
		return time.Now().Add(openedLately - age), nil
	}
	if lw.seq == nil {
		lw.seq, lw.since = map[string]uint64{}, map[string]time.Time{}
	}
	for name, h := range notes {
		if lw.seq[name] != h.Seq {
			lw.seq[name], lw.since[name] = h.Seq, time.Now()
		}
		age := max(h.Age, time.Since(lw.since[name]))
		if t := time.Now().Add(2*h.BoundedTerm() - age); !h.Left && t.After(until) && !process.HasEnded(h.Process, h.PID) {
			until = t
		}
	}
	return until, nil
}

// isTended reports whether the run is trained, asking the broker only where what was heard does
// not tell.
func (w *Worker) isTended(ctx context.Context, bh *bulkhead) (bool, error) {
	if time.Now().UnixNano() < bh.tended.Load() {
		return true, nil
	}
	defer w.turnToRead(ctx)()
	until, err := bh.seen.tended(ctx, w.js, bh.name)
	if err != nil {
		return false, err
	}
	if until.After(time.Now()) {
		bh.tended.Store(until.UnixNano())
		return true, nil
	}
	return false, nil
}

// hear listens to the trainers' leases until ctx ends, so that nobody has to ask which runs have
// one.
func (w *Worker) hear(ctx context.Context) {
	notes := make(chan *nats.Msg, 256) // one that does not fit is followed by another
	sub, err := w.js.Conn().ChanSubscribe(schemas.AnyTrainer, notes)
	if err != nil {
		return
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	for {
		select {
		case m := <-notes:
			note, ok := leases.ParseNote(m.Data)
			parts := strings.Split(m.Subject, ".")
			if len(parts) != 4 || !ok {
				continue
			}
			h := leases.Held{Note: note}
			if bh := w.find(parts[1]); bh != nil {
				until := int64(0) // asked for: it may have other trainers
				if !h.Left {
					until = max(bh.tended.Load(), time.Now().Add(2*h.BoundedTerm()).UnixNano())
				}
				if was := bh.tended.Swap(until); until > 0 && was < time.Now().UnixNano() {
					wake(bh.news)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}
