package worker

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// serving is a run that the worker serves.
type serving struct {
	run    *runs.Run
	source produce.Source
	began  time.Time
	refs   int // users of source: the list of served runs, and goroutines; guarded by registry.mu
	counters
	account account // of Worker.turns

	mu       sync.Mutex
	consumer jetstream.Consumer // of the run's tasks, nil before it was looked up; guarded by mu
	ackWait  time.Duration      // of consumer; guarded by mu
	trouble  trouble            // guarded by mu
	sentBack []uint64           // tasks that were given back, by sequence, newest last; guarded by mu
	failed   []runs.FailedTask  // tasks that could not be done, newest last; guarded by mu
}

// trouble is a worker's own with a run: it can make nothing of it, whatever the task.
type trouble struct {
	why     error         // nil: there is none
	since   time.Time     // when the first task failed
	row     wire.TaskRow  // that could not be made
	until   time.Time     // no task is taken before, and none after unless a test goes well
	wait    time.Duration // the rest that ends then
	testing bool          // a goroutine is finding out whether it is over
}

const (
	firstRest = time.Second
	longRest  = 30 * time.Second
	// testSamples is how many other samples are tried to distinguish a worker's trouble from
	// a sample's.
	testSamples = 3
	// maxSentBack bounds what a heartbeat lists.
	maxSentBack = 256
	// maxFailed does, too: each has a line.
	maxFailed = 32
)

// tasks gives the consumer of the run's queue, and its ack wait. It is looked up
// again after a failure, for the trainer may have created the queue again.
func (sv *serving) tasks(ctx context.Context) (jetstream.Consumer, time.Duration, error) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if sv.consumer == nil {
		lctx, cancel := context.WithTimeout(ctx, link.APITimeout)
		defer cancel()
		c, err := sv.run.JetStream().Consumer(lctx, schemas.TasksStream(sv.run.Name), schemas.WorkersConsumer)
		if err != nil {
			return nil, 0, err
		}
		sv.consumer, sv.ackWait = c, c.CachedInfo().Config.AckWait
	}
	return sv.consumer, sv.ackWait, nil
}

func (sv *serving) forgetConsumer() {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	sv.consumer = nil
}

// rest takes no tasks of the run for a while, longer each time in a row.
func (sv *serving) rest(row wire.TaskRow, why error) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	t := &sv.trouble
	if t.why != nil && time.Now().Before(t.until) {
		return // another goroutine has just found the same
	}
	if t.why == nil {
		t.since = time.Now()
	}
	t.why, t.row = why, row
	t.wait = min(max(firstRest, 2*t.wait), longRest)
	t.until = time.Now().Add(t.wait)
}

func (sv *serving) resting() bool {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	return sv.trouble.why != nil
}

// troubles is what a heartbeat says of them.
func (sv *serving) troubles() (why string, sentBack []uint64, failed []runs.FailedTask) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if sv.trouble.why != nil {
		why = wire.ReasonLine(sv.trouble.why.Error())
	}
	return why, slices.Clone(sv.sentBack), slices.Clone(sv.failed)
}

// fail notes a task that could not be done, which the heartbeat says to the planner: it is
// the run's last word should no try succeed.
func (w *Worker) fail(sv *serving, msg jetstream.Msg, why error) {
	meta, err := msg.Metadata()
	if err != nil {
		return
	}
	sv.mu.Lock()
	sv.failed = append(sv.failed, runs.FailedTask{Seq: meta.Sequence.Stream, Why: wire.ReasonLine(why.Error())})
	sv.failed = sv.failed[max(0, len(sv.failed)-maxFailed):]
	sv.mu.Unlock()
	w.heartbeat(sv) // before the broker counts the delivery
}

// hopeless reports whether the run is to be refused rather than waited for. Data that are
// not the run's any more are opened again, if ever. Where no other worker can take the
// task, what no try can cure ends the run, and so does an outage of GiveUp.
func (w *Worker) hopeless(sv *serving, why error) bool {
	if errors.Is(why, errs.ErrMismatch) {
		return true
	}
	if w.opts.GiveUp == 0 {
		return false
	}
	if !errors.Is(why, errs.ErrUnavailable) || errors.Is(why, fs.ErrPermission) {
		return true
	}
	sv.mu.Lock()
	defer sv.mu.Unlock()
	return sv.trouble.why != nil && time.Since(sv.trouble.since) > w.opts.GiveUp
}

// fit reports whether the worker can make something of the run, as far as it knows.
// After a rest, one goroutine tries, with its bench. The error refuses the run.
func (w *Worker) fit(ctx context.Context, sv *serving, b *bench) (bool, error) {
	sv.mu.Lock()
	t := &sv.trouble
	if t.why == nil {
		sv.mu.Unlock()
		return true, nil
	}
	if b == nil || t.testing || time.Now().Before(t.until) {
		sv.mu.Unlock()
		return false, nil
	}
	t.testing = true
	row, why := t.row, t.why
	sv.mu.Unlock()

	now := w.ill(ctx, sv, b, row)
	sv.mu.Lock()
	t.testing = false
	if now == nil {
		*t = trouble{}
	}
	sv.mu.Unlock()
	switch {
	case now == nil:
		w.heartbeat(sv)
		return true, nil
	case ctx.Err() != nil:
		return false, nil //nolint:nilerr // the worker ends: nothing is said of the sample
	case w.hopeless(sv, now):
		return false, why
	}
	sv.rest(row, why)
	return false, nil
}

// ill is nil if the worker can make other samples than the one of row: where it can make
// none of some, far apart, the trouble is its own, and is returned.
func (w *Worker) ill(ctx context.Context, sv *serving, b *bench, row wire.TaskRow) (why error) {
	spec := sv.run.Spec()
	b.chunk.Reset(spec, 0, 0)
	dst, plans := make([][]byte, len(spec.Views)), make([][]byte, len(spec.Views))
	for v, view := range spec.Views {
		dst[v] = b.chunk.Pixels[v][:view.Bytes():view.Bytes()]
	}
	for k := range int64(testSamples) {
		other := row
		other.Index = (row.Index + (k+1)*spec.Dataset.Samples/(testSamples+1)) % spec.Dataset.Samples
		other.Sample = sv.source.Order().At(row.Epoch, other.Index)
		if _, why = b.maker.Make(ctx, other, dst, plans); why == nil || schemas.AsBadSample(why) != nil {
			return nil //nolint:nilerr // it can make other samples
		}
	}
	return why
}

// sendBack gives a task back to the queue at once. It was no fault of the task's,
// which the heartbeat says to the planner: such deliveries do not count.
func (w *Worker) sendBack(sv *serving, msg jetstream.Msg) {
	if meta, err := msg.Metadata(); err == nil {
		sv.mu.Lock()
		sv.sentBack = append(sv.sentBack, meta.Sequence.Stream)
		sv.sentBack = sv.sentBack[max(0, len(sv.sentBack)-maxSentBack):]
		sv.mu.Unlock()
		w.heartbeat(sv) // before the broker counts the delivery
	}
	_ = msg.Nak() // one that is lost: the ack wait passes
}
