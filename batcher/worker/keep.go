package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/internal/memory"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// rereadEvery is how often a run is read again that nobody was heard to open.
	rereadEvery = 10 * time.Minute
	// queueWait is how long a run may be without a queue: its trainer makes one just after
	// the options that workers hear of, and after a broker lost it.
	queueWait = 2 * time.Second
	// brokerWait is between two tries at a broker that does not answer.
	brokerWait = 500 * time.Millisecond
)

// keep is the goroutine of a bulkhead: it takes a run from phase to phase until the run is gone
// or ctx ends. It returns what refuses the only run of a worker.
func (w *Worker) keep(ctx context.Context, bh *bulkhead) error {
	defer w.closeData(bh)
	for ctx.Err() == nil {
		if err := bh.ended(); err != nil {
			return err
		}
		switch bh.phase() {
		case opening:
			w.begin(ctx, bh)
		case serving:
			w.tend(ctx, bh)
		case quarantined:
			w.retry(ctx, bh)
		case asleep:
			w.doze(ctx, bh)
		case closed:
			return nil
		}
	}
	return nil
}

// rest waits for news of the run, for so long at most.
func (bh *bulkhead) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-bh.news:
	case <-t.C:
	case <-ctx.Done():
	}
}

// look reads the run from the broker where that is due, and reports whether it is the run that
// it was.
func (w *Worker) look(ctx context.Context, bh *bulkhead) bool {
	bh.mu.Lock()
	heard := bh.noticed
	bh.noticed = false
	bh.mu.Unlock()
	if !heard && time.Since(bh.read) <= rereadEvery && bh.run != nil {
		return true
	}
	done := w.turnToRead(ctx)
	lctx, cancel := link.WhileConnected(ctx, w.js.Conn(), link.PassTimeout)
	run, err := runs.Lookup(lctx, w.js, bh.name)
	cancel()
	done()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false
	case errors.Is(err, errs.ErrUnavailable), // discover says so
		errors.Is(err, errs.ErrNotFound): // it is being opened, or made again, or deleted
		bh.lookAgain(ctx, heard)
		return bh.run != nil
	default:
		w.fail(bh, cause{why: err, reopen: true})
		return false
	}
	if bh.run != nil && bh.run.Info.Digest != run.Info.Digest {
		if bh.alone {
			w.fail(bh, cause{fatal: true, why: errs.New("serve run", bh.name, "start the worker again",
				errs.Because(errs.ErrMismatch, "it was deleted, and opened with another spec"))})
			return false
		}
		w.drop(bh)
		wake(w.sought) // begins with the other
		return false
	}
	if bh.run != nil && bh.run.Info.DataURI != run.Info.DataURI && bh.phase() != serving {
		w.closeData(bh) // the same data elsewhere may be better
	}
	bh.run, bh.read, bh.delay = run, time.Now(), 0
	if ws := bh.open(); ws != nil {
		w.turns.prioritize(&ws.account, run.Options().Priority)
	}
	return true
}

// lookAgain waits a while, longer each time, after a look that failed. What had been heard of the
// run still counts: a notice may be faster than what it is about.
func (bh *bulkhead) lookAgain(ctx context.Context, heard bool) {
	bh.delay = min(max(firstLook, 2*bh.delay), longestLook)
	bh.rest(ctx, bh.delay)
	if heard {
		bh.mu.Lock()
		bh.noticed = true
		bh.mu.Unlock()
	}
}

// firstLook is between a look that failed and the next; each wait is twice the one before.
const (
	firstLook   = 50 * time.Millisecond
	longestLook = 2 * time.Second
)

// reads is how many keepers read their runs from the broker at a time. A thousand workers that
// come at once, in a farm of a hundred runs, would else ask it for more than it can answer in
// time, and then again.
const reads = 2

// turnToRead waits until a keeper may read; what it returns says that it has.
func (w *Worker) turnToRead(ctx context.Context) (done func()) {
	select {
	case w.reading <- struct{}{}:
		return func() { <-w.reading }
	case <-ctx.Done():
		return func() {}
	}
}

// begin opens the run's data, unless this worker cannot serve it or nobody trains it.
func (w *Worker) begin(ctx context.Context, bh *bulkhead) {
	// Whether anybody trains it is asked first: most runs of an old farm nobody does.
	if bh.run == nil && w.slept(ctx, bh) || !w.look(ctx, bh) || w.slept(ctx, bh) {
		return
	}
	if e := bh.run.Info.Spec.Engine; len(w.opts.Engines) > 0 && !slices.Contains(w.opts.Engines, e) {
		w.fail(bh, cause{fatal: true, why: errs.New("serve run", bh.name, "run a worker that has engine "+e,
			errs.Because(errs.ErrMismatch, fmt.Sprintf("it needs engine %q, this worker has %q", e, w.opts.Engines)))})
		return
	}
	// A slot has a chunk's pixels and its message.
	need := int64(w.opts.Workers) * 2 * int64(bh.run.Spec().MaxChunkBytes())
	if err := memory.Check("serve run", bh.name, need, "give --workers a smaller number, or the run a smaller chunk_samples"); err != nil {
		w.fail(bh, cause{fatal: true, why: err})
		return
	}
	src, err := w.openData(ctx, bh)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errMoved) {
			w.fail(bh, cause{fatal: true, why: bh.named(err)})
		}
		return
	}
	ws := newWorkshop(w, bh, src)
	w.turns.prioritize(&ws.account, bh.run.Options().Priority)
	bh.mu.Lock()
	bh.life.opened()
	kept := bh.life.phase == serving
	if kept {
		bh.ws = ws
	}
	bh.mu.Unlock()
	if !kept {
		ws.close()
		return
	}
	w.urge(bh)
}

// tend looks after a run that is served: the slots make its chunks, but for the first.
func (w *Worker) tend(ctx context.Context, bh *bulkhead) {
	ws := bh.open()
	if ws == nil || !w.look(ctx, bh) || !w.findQueue(ctx, bh, ws) {
		return
	}
	if ws.idle() > w.opts.Lull && w.slept(ctx, bh) {
		return
	}
	bh.mu.Lock()
	proves := bh.life.proves(w.opts.Workers)
	bh.mu.Unlock()
	if proves {
		w.prove(ctx, bh, ws)
		return
	}
	bh.rest(ctx, w.opts.Lull)
}

// findQueue looks up the run's queue where it is not known, and reports whether it is.
func (w *Worker) findQueue(ctx context.Context, bh *bulkhead, ws *workshop) bool {
	if c, _ := ws.tasks(); c != nil {
		return true
	}
	lctx, cancel := link.WhileConnected(ctx, w.js.Conn(), link.APITimeout)
	c, err := w.js.Consumer(lctx, schemas.TasksStream(bh.name), schemas.WorkersConsumer)
	cancel()
	missing := errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound)
	switch {
	case err == nil:
		ws.found(c)
		bh.lacks = time.Time{}
		return true
	case !missing || bh.alone:
		bh.rest(ctx, brokerWait)
	case bh.lacks.IsZero():
		bh.lacks = time.Now()
		bh.rest(ctx, queueWait/20)
	case time.Since(bh.lacks) < queueWait:
		bh.rest(ctx, queueWait/20)
	default:
		bh.lacks = time.Time{}
		if !w.slept(ctx, bh) && ctx.Err() == nil {
			w.fail(bh, cause{why: errs.New("serve run", bh.name, "start its trainer again, or delete it",
				errs.Because(errs.ErrNotFound, "stream "+schemas.TasksStream(bh.name)+" is gone"))})
		}
	}
	return false
}

// prove has the run's first chunk made, which needs no slot. So that many new runs do not take
// all of the machine, only some of them prove themselves at a time.
func (w *Worker) prove(ctx context.Context, bh *bulkhead, ws *workshop) {
	msg, err := ws.fetch(ctx, bh.news)
	switch {
	case isSilent(err):
		bh.rest(ctx, brokerWait)
		return
	case err != nil && ctx.Err() == nil:
		ws.lost()
		bh.rest(ctx, brokerWait)
		return
	case msg == nil:
		return
	}
	t := w.newTask(ws, msg, setAside)
	_, ackWait := ws.tasks()
	alive := time.NewTicker(max(ackWait/3, time.Millisecond))
	defer alive.Stop()
	for waiting := true; waiting; {
		select {
		case w.proofs <- struct{}{}:
			waiting = false
		case <-alive.C:
			_ = msg.InProgress() // one that is lost is followed by another
		case <-ctx.Done():
			w.sendBack(bh, t.hand)
			w.move(t, nowhere)
			return
		}
	}
	defer func() { <-w.proofs }()
	t.step()
	w.attend(ctx, t, min(proofPatience, w.opts.SlowAfter), w.serveTask)
}

// proofPatience is how long a run that is proving itself keeps others from doing so, at a time.
const proofPatience = time.Second

// retry waits for the end of a quarantine, and tries what it was for.
func (w *Worker) retry(ctx context.Context, bh *bulkhead) {
	bh.mu.Lock()
	due, until, busy, cannot := bh.life.due(time.Now()), bh.life.until, bh.life.slots+bh.life.aside > 0, bh.cannot
	full := bh.life.stuck >= w.opts.Workers
	bh.mu.Unlock()
	switch {
	case !due:
		bh.rest(ctx, time.Until(until))
		return
	case busy, full: // news come when a chunk ends
		bh.rest(ctx, w.opts.Lull)
		return
	}
	if !w.look(ctx, bh) || w.slept(ctx, bh) {
		return
	}
	ws := bh.open()
	if ws != nil && cannot != nil {
		w.attend(ctx, w.newTask(ws, nil, setAside), w.opts.SlowAfter, w.try)
		return
	}
	bh.mu.Lock()
	bh.life.retried(ws != nil)
	bh.mu.Unlock()
}

// slept puts a run to sleep that nobody trains, and reports whether it is closed or asleep.
func (w *Worker) slept(ctx context.Context, bh *bulkhead) bool {
	if bh.alone {
		return false
	}
	if tended, err := w.isTended(ctx, bh); err != nil || tended {
		return ctx.Err() != nil
	}
	bh.mu.Lock()
	if bh.noticed { // just now
		bh.mu.Unlock()
		return false
	}
	served := bh.ws != nil
	bh.life.slept()
	bh.mu.Unlock()
	w.closeData(bh)
	if served {
		w.beat(bh) // the counts that it ends with
	}
	w.notify(bh.name, nil)
	return true
}

// doze waits until a run has a trainer again: the first renewal of a lease wakes it (hear), or a
// notice that it was opened. Nothing is asked meanwhile: of a run that sleeps for a year the
// broker hears nothing, however many workers there are.
func (w *Worker) doze(ctx context.Context, bh *bulkhead) {
	for ctx.Err() == nil && bh.phase() == asleep {
		if bh.isNews() {
			tended, err := w.isTended(ctx, bh)
			switch {
			case err != nil: // the broker is away
				bh.rest(ctx, brokerWait)
				continue
			case tended:
				bh.mu.Lock()
				bh.life.woken()
				bh.noticed = true
				bh.mu.Unlock()
				return
			}
			bh.mu.Lock()
			bh.noticed = false
			bh.mu.Unlock()
		}
		select {
		case <-bh.news:
		case <-ctx.Done():
		}
	}
}

// isNews reports whether anything was heard of the run that was not looked into yet: it was
// opened, or has a lease.
func (bh *bulkhead) isNews() bool {
	bh.mu.Lock()
	defer bh.mu.Unlock()
	return bh.noticed || time.Now().UnixNano() < bh.tended.Load()
}
