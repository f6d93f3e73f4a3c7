package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// hand is a task that the worker has in hand. It is settled once: acknowledged, ended or given
// back.
type hand struct {
	jetstream.Msg
	settled atomic.Bool
}

func newHand(m jetstream.Msg) *hand { return &hand{Msg: m} }

// claim reports whether the caller is the one to settle the task.
func (h *hand) claim() bool { return h != nil && h.settled.CompareAndSwap(false, true) }

// deliveries is how often the task was given out.
func (h *hand) deliveries() uint64 {
	if meta, err := h.Metadata(); err == nil {
		return meta.NumDelivered
	}
	return 1
}

// task is a chunk in work, or a test whether one could be made.
type task struct {
	ws         *workshop
	hand       *hand // nil for a test
	began      time.Time
	charged    time.Duration // to the run's account
	moved      atomic.Int64  // UnixNano of when its newest sample, or its publishing, began
	publishing atomic.Bool
	done       chan struct{} // closed when its goroutine ends

	place place // guarded by bulkhead.mu
}

// newTask counts a task as one of the run's; nil where the run must not have it. msg is nil for
// a test.
func (w *Worker) newTask(ws *workshop, msg jetstream.Msg, at place) *task {
	t := &task{ws: ws, began: time.Now(), done: make(chan struct{}), place: at}
	if msg != nil {
		t.hand = newHand(msg)
	}
	t.step()
	ws.touch()
	ws.bh.mu.Lock()
	defer ws.bh.mu.Unlock()
	if at == inSlot {
		if ws.bh.life.phase != serving || !ws.bh.life.proven {
			return nil
		}
		t.charged = w.turns.begin(&ws.account)
	}
	ws.bh.life.moves(nowhere, at)
	return t
}

// step says that the task goes on.
func (t *task) step() { t.moved.Store(time.Now().UnixNano()) }

// still is how long it has not gone on.
func (t *task) still() time.Duration { return time.Since(time.Unix(0, t.moved.Load())) }

// move puts a task elsewhere, unless it has ended; only one in a slot is set aside. What
// leaves a slot is charged for the time that it held it.
func (w *Worker) move(t *task, to place) {
	bh := t.ws.bh
	bh.mu.Lock()
	from := t.place
	if from == nowhere || to == setAside && from != inSlot {
		bh.mu.Unlock()
		return
	}
	bh.life.moves(from, to)
	t.place = to
	bh.mu.Unlock()
	if from == inSlot {
		w.turns.end(&t.ws.account, t.charged, time.Since(t.began))
	}
	wake(bh.news)
}

// attend has a task done in a goroutine of its own, and waits until it has ended, does not go
// on for as long as patience says, or ctx ends. What goes on without the caller gives its task
// back when it hangs.
func (w *Worker) attend(ctx context.Context, t *task, patience time.Duration, do func(context.Context, *task)) {
	gctx, cancel := graceful(ctx, w.opts.Grace)
	w.crew.run(func() {
		defer cancel()
		defer close(t.done)
		do(gctx, t)
		w.move(t, nowhere)
	})
	w.crew.run(func() { w.watch(gctx, t) })
	for {
		left := patience - t.still()
		if left <= 0 {
			w.move(t, setAside)
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-t.done:
		case <-ctx.Done():
		case <-timer.C:
			continue
		}
		timer.Stop()
		return
	}
}

// watch tells the broker again and again that the task is being worked on, until it has
// ended. One that does not end, for its store hangs and heeds no context, is given back.
func (w *Worker) watch(ctx context.Context, t *task) {
	_, ackWait := t.ws.tasks()
	limit := w.opts.MakeTimeout + hangWait
	tick := time.NewTicker(max(min(ackWait/3, limit/4), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-t.done:
			return
		case <-ctx.Done():
			select {
			case <-t.done:
				return
			case <-time.After(hangWait / 2):
			}
			w.sendBack(t.ws.bh, t.hand)
			return
		case <-tick.C:
		}
		if t.still() > limit && !t.publishing.Load() {
			w.sendBack(t.ws.bh, t.hand)
			w.move(t, givenUp)
			w.fail(t.ws.bh, cause{why: errs.New("make chunk of run", t.ws.run.Name, "see that its store answers",
				errs.Because(errs.ErrUnavailable, fmt.Sprintf("a sample is being made for more than %v, and cannot be stopped", w.opts.MakeTimeout)))})
			return
		}
		if t.hand != nil && !t.hand.settled.Load() {
			_ = t.hand.InProgress() // one that is lost is followed by another
		}
	}
}

// paced is a maker whose samples have a time limit, and say of each that the task goes on.
type paced struct {
	produce.Maker
	t     *task
	limit time.Duration
}

func (p *paced) Make(ctx context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	p.t.step()
	mctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	made, err := p.Maker.Make(mctx, row, dst, plans)
	if err != nil && mctx.Err() != nil && ctx.Err() == nil {
		err = errs.New("make sample", fmt.Sprint(row.Sample), "see that its store answers",
			errs.Because(errs.ErrUnavailable, fmt.Sprintf("it takes longer than %v", p.limit)))
	}
	return made, err
}

// serveTask makes and publishes one chunk. The task is acknowledged after the
// chunk is stored, never before. What another worker may do better is reported, and the task
// given back.
func (w *Worker) serveTask(ctx context.Context, t *task) {
	ws, bh := t.ws, t.ws.bh
	b, err := ws.take()
	if b == nil {
		w.sendBack(bh, t.hand)
		if err != nil {
			w.fail(bh, cause{why: bh.named(err), fatal: true})
		}
		return
	}
	defer ws.put(b)
	spec := ws.run.Spec()
	work, err := wire.DecodeTask(spec, ws.run.Info.Digest, t.hand.Subject(), t.hand.Headers(), t.hand.Data())
	if errors.Is(err, errs.ErrMismatch) {
		// The run was deleted and opened with another spec, and the notice did not come here.
		w.countFailure(bh, t.hand, err, firstRest)
		bh.notice()
		return
	}
	if err != nil {
		// No worker can do it. The planner asks again for what is still missing.
		if t.hand.claim() {
			_ = t.hand.Term()
		}
		w.opts.Report(err)
		return
	}
	if work.Tombstone != "" {
		b.chunk.Reset(spec, work.Step, work.Chunk)
		b.chunk.Tombstone = work.Tombstone
		w.publishChunk(ctx, t, b, work)
		return
	}
	order := ws.source.Order()
	for _, r := range work.Rows {
		if at := order.At(r.Epoch, r.Index); at != r.Sample {
			w.sendBack(bh, t.hand)
			w.fail(bh, cause{fatal: true, reopen: true, why: errs.New("serve run", bh.name, "use the same build and the same data set on every machine",
				errs.Because(errs.ErrMismatch, fmt.Sprintf("the planner's order has sample %d at index %d of epoch %d, this worker's %d",
					r.Sample, r.Index, r.Epoch, at)))})
			return
		}
	}
	maker := &paced{b.maker, t, w.opts.MakeTimeout}
	err = produce.Fill(ctx, spec, order, maker, work, b.chunk)
	switch {
	case err == nil:
		w.publishChunk(ctx, t, b, work)
	case ctx.Err() != nil || t.hand.settled.Load():
		w.sendBack(bh, t.hand) // stopped: another worker may begin at once
	default:
		w.blame(ctx, t, b, maker, work, err)
	}
}

// blame finds out whether it is the chunk that cannot be made, or the run, at this worker.
func (w *Worker) blame(ctx context.Context, t *task, b *bench, maker produce.Maker, work *wire.Task, why error) {
	bh := t.ws.bh
	err := errs.New("make chunk", fmt.Sprintf("%d of step %d, run %s, try %d", work.Chunk, work.Step, bh.name, t.hand.deliveries()), "", why)
	ill := w.ill(ctx, t.ws, b, maker, work.Rows[0])
	switch {
	case ill == nil:
		// It is this chunk that cannot be made, here at least. Each such try counts
		// towards its being given up.
		w.opts.Report(err)
		_, ackWait := t.ws.tasks()
		w.countFailure(bh, t.hand, why, min(time.Second<<min(t.hand.deliveries()-1, 5), ackWait))
	case ctx.Err() != nil:
		w.sendBack(bh, t.hand)
	default:
		w.sendBack(bh, t.hand)
		hopeless := w.hopeless(bh, ill)
		w.fail(bh, cause{why: err, row: &work.Rows[0], fatal: hopeless, reopen: hopeless}) // and says so
	}
}

// try finds out whether what a run is in quarantine for is over.
func (w *Worker) try(ctx context.Context, t *task) {
	bh := t.ws.bh
	bh.mu.Lock()
	row, why := bh.cannot, bh.life.why
	bh.mu.Unlock()
	b, err := t.ws.take()
	if b == nil || row == nil {
		if err != nil {
			w.fail(bh, cause{why: bh.named(err), fatal: true})
		}
		return
	}
	defer t.ws.put(b)
	ill := w.ill(ctx, t.ws, b, &paced{b.maker, t, w.opts.MakeTimeout}, *row)
	switch {
	case ill == nil:
		bh.mu.Lock()
		bh.life.retried(true)
		bh.mu.Unlock()
		w.urge(bh)
	case ctx.Err() == nil:
		hopeless := w.hopeless(bh, ill)
		w.fail(bh, cause{why: why, row: row, fatal: hopeless, reopen: hopeless})
	}
}

// testSamples is how many other samples are tried to distinguish a worker's trouble from
// a sample's.
const testSamples = 3

// ill is nil if the worker can make other samples than the one of row: where it can make
// none of some, far apart, the trouble is its own, and is returned.
func (w *Worker) ill(ctx context.Context, ws *workshop, b *bench, maker produce.Maker, row wire.TaskRow) (why error) {
	spec := ws.run.Spec()
	b.chunk.Reset(spec, 0, 0)
	dst, plans := make([][]byte, len(spec.Views)), make([][]byte, len(spec.Views))
	for v, view := range spec.Views {
		dst[v] = b.chunk.Pixels[v][:view.Bytes():view.Bytes()]
	}
	for k := range int64(testSamples) {
		other := row
		other.Index = (row.Index + (k+1)*spec.Dataset.Samples/(testSamples+1)) % spec.Dataset.Samples
		other.Sample = ws.source.Order().At(row.Epoch, other.Index)
		if _, why = maker.Make(ctx, other, dst, plans); why == nil || schemas.AsBadSample(why) != nil {
			return nil //nolint:nilerr // it can make other samples
		}
	}
	return why
}

// hopeless reports whether the run is to be refused rather than waited for. Data that are
// not the run's any more are opened again, if ever. Where no other worker can take the
// task, what no try can cure ends the run, and so does an outage of GiveUp.
func (w *Worker) hopeless(bh *bulkhead, why error) bool {
	if errors.Is(why, errs.ErrMismatch) {
		return true
	}
	if w.opts.GiveUp == 0 {
		return false
	}
	if !errors.Is(why, errs.ErrUnavailable) || errors.Is(why, fs.ErrPermission) {
		return true
	}
	bh.mu.Lock()
	defer bh.mu.Unlock()
	return !bh.life.since.IsZero() && time.Since(bh.life.since) > w.opts.GiveUp
}

// publishChunk publishes the chunk of the bench, and acknowledges its task after.
func (w *Worker) publishChunk(ctx context.Context, t *task, b *bench, work *wire.Task) {
	ws, bh := t.ws, t.ws.bh
	t.publishing.Store(true)
	t.step()
	made := outcomeOf(b.chunk)
	size, fresh, err := w.publish(ctx, t, b, work)
	if errors.Is(err, errs.ErrDeterminism) {
		bh.mismatches.Add(1)
		w.total.mismatches.Add(1)
		if t.hand.claim() {
			_ = t.hand.Nak()
		}
		if perr := ws.run.Stop(ctx, err); perr != nil {
			w.opts.Report(perr) // the run is refused all the same
		}
		w.fail(bh, cause{why: err, fatal: true})
		return
	}
	if err != nil {
		w.sendBack(bh, t.hand)
		if ctx.Err() == nil {
			passes := errors.Is(err, errs.ErrNotFound) || errors.Is(err, errs.ErrUnavailable) && ws.w.js.Conn().IsConnected()
			w.fail(bh, cause{why: err, fatal: !passes})
		}
		return
	}
	bh.mu.Lock()
	bh.life.succeeded()
	bh.mu.Unlock()
	w.notify(bh.name, nil)
	for _, c := range []*counters{&bh.counters, &w.total} {
		c.add(made, size, fresh, t.hand.deliveries() > 1)
	}
	// The chunk is stored. An acknowledgement that is lost costs one more
	// delivery, which finds the chunk there.
	if t.hand.claim() {
		_ = t.hand.DoubleAck(ctx)
	}
}

// graceful gives a context that ends some time after ctx.
func graceful(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var t *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		t = time.AfterFunc(grace, cancel)
	})
	return out, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if t != nil {
			t.Stop()
		}
		cancel()
	}
}
