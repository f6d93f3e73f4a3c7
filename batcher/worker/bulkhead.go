package worker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// bulkhead is what a worker has of one run. Whatever happens in it, the other runs get their
// shares: its data is opened, its queue looked up and its first chunk made by a goroutine of its
// own (Worker.keep), and a chunk of it that hangs holds no slot of the worker's.
type bulkhead struct {
	name   string
	alone  bool          // the worker has no other: what refuses the run ends the worker
	began  time.Time     // to serve it
	news   chan struct{} // capacity 1: the keeper is to look at the run again
	tended atomic.Int64  // UnixNano until which a trainer has it, as far as is known
	counters

	run   *runs.Run     // as it was read last, nil before; the keeper's
	read  time.Time     // when that was; the keeper's
	delay time.Duration // of the last look that failed, 0 where it did not; the keeper's
	late  *lateOpen     // an Open that did not return in time, nil for none; the keeper's
	seen  leaseWatch    // the keeper's
	lacks time.Time     // since when it has no queue, zero where it has one; the keeper's

	mu       sync.Mutex
	life     life              // guarded by mu
	noticed  bool              // it was opened again since it was read; guarded by mu
	ws       *workshop         // its open data, nil for none; guarded by mu
	cannot   *wire.TaskRow     // the row for which it is in quarantine; nil for another reason; guarded by mu
	fatal    error             // what ends a worker that has no other run; guarded by mu
	sentBack []uint64          // tasks that were given back, by sequence, newest last; guarded by mu
	failed   []runs.FailedTask // tasks that could not be done, newest last; guarded by mu
	returns  []returned        // tasks that go back after the next heartbeat; guarded by mu
	over     bool              // no heartbeat comes any more; guarded by mu
	urgent   bool              // a heartbeat is due; guarded by mu
	beaten   time.Time         // when the last heartbeat was sent; guarded by mu
	said     saying            // what it said; guarded by mu
	quiet    bool              // it said what the one before it had; guarded by mu
}

// returned is a task on its way back to the queue.
type returned struct {
	msg   jetstream.Msg
	delay time.Duration
}

const (
	// maxSentBack bounds what a heartbeat lists.
	maxSentBack = 256
	// maxFailed does, too: each has a line.
	maxFailed = 32
)

func newBulkhead(name string) *bulkhead {
	return &bulkhead{name: name, began: time.Now().UTC(), news: make(chan struct{}, 1), life: life{phase: opening}}
}

func (bh *bulkhead) phase() phase {
	bh.mu.Lock()
	defer bh.mu.Unlock()
	return bh.life.phase
}

// open gives the run's data, nil while it is not open.
func (bh *bulkhead) open() *workshop {
	bh.mu.Lock()
	defer bh.mu.Unlock()
	return bh.ws
}

// notice: the run was opened, by whomever.
func (bh *bulkhead) notice() {
	bh.mu.Lock()
	bh.noticed = true
	bh.life.noticed(time.Now())
	bh.mu.Unlock()
	wake(bh.news)
}

// ended gives the error that ends a worker that has no other run.
func (bh *bulkhead) ended() error {
	bh.mu.Lock()
	defer bh.mu.Unlock()
	return bh.fatal
}

// cause is what a chunk failed for, as far as it decides what is tried next.
type cause struct {
	why    error
	row    *wire.TaskRow // that could not be made; nil for another reason
	reopen bool          // the data are to be opened again
	fatal  bool          // a worker that has no other run ends
}

// fail puts a run in quarantine.
func (w *Worker) fail(bh *bulkhead, c cause) {
	bh.mu.Lock()
	if c.fatal && bh.alone {
		if bh.fatal == nil {
			bh.fatal = c.why
		}
		bh.life.closes() // no slot takes another task
		bh.mu.Unlock()
		wake(bh.news)
		return
	}
	did, first := bh.life.failed(time.Now(), c.why)
	if did {
		bh.cannot = c.row
	}
	bh.mu.Unlock()
	if c.reopen {
		w.closeData(bh)
	}
	if first {
		w.notify(bh.name, c.why)
	}
	w.urge(bh)
	wake(bh.news)
}

// named is an error of a run's data, with the run where a worker has several.
func (bh *bulkhead) named(err error) error {
	if bh.alone {
		return err
	}
	return errs.New("serve run", bh.name, "", err)
}

// closeData closes a run's data, as soon as no chunk needs them.
func (w *Worker) closeData(bh *bulkhead) {
	bh.mu.Lock()
	ws := bh.ws
	bh.ws = nil
	bh.mu.Unlock()
	if ws != nil {
		ws.close()
	}
}

// State is what a run is to a worker.
type State struct {
	Run   string
	Phase string // opening, serving, quarantined, asleep
	Why   error  // of a quarantine
	Slots int    // of the worker that make its chunks
	Aside int    // chunks in work without a slot: the first one of a run, and those whose store is slow
}

// Phases are the values of State.Phase.
func Phases() []string {
	return []string{string(opening), string(serving), string(quarantined), string(asleep)}
}

// States gives every run of the broker, by name.
func (w *Worker) States() []State {
	var out []State
	for _, bh := range w.known() {
		bh.mu.Lock()
		l := bh.life
		bh.mu.Unlock()
		out = append(out, State{Run: bh.name, Phase: string(l.phase), Why: l.why, Slots: l.slots, Aside: l.aside + l.stuck})
	}
	return slices.DeleteFunc(out, func(s State) bool { return s.Phase == string(closed) })
}
