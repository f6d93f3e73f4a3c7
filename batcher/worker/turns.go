package worker

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"resslt/batcher/runs"
)

// turns shares a worker's time among its runs: whoever was served least comes
// first, measured by the time that the makers took, so that a run of costly images
// gets no more than one of cheap ones. Time is divided by the run's priority, so a run of
// three times the priority gets three times the time. A run that had no tasks for a while does not
// save up the time that it did not use (start-time fair queueing).
type turns struct {
	mu  sync.Mutex
	now time.Duration // virtual time: of the run that was served last; guarded by mu
}

// account is a run's with a worker's turns; its fields are guarded by turns.mu.
type account struct {
	priority int           // 1 to 100; 0 counts as runs.DefaultPriority
	spent    time.Duration // in virtual time
	task     time.Duration // that a task takes, by the newest ones
	served   bool          // since it had no tasks last
	empty    time.Time     // when it had no tasks last
	idle     time.Duration // for how long it is then passed over
}

// A run that had no tasks is passed over for a while, for longer each time; and for longer where
// there are many runs, so that a worker without work asks the broker fifty times a second at most.
const (
	emptyWait  = 20 * time.Millisecond
	emptyLimit = 160 * time.Millisecond
)

// order gives the runs in the order in which they are pulled from, least
// served first, without those that had none just now.
func (t *turns) order(all []*workshop, now time.Time) []*workshop {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(all), func(ws *workshop) bool { return now.Sub(ws.account.empty) < ws.account.idle })
	slices.SortStableFunc(out, func(a, b *workshop) int { return cmp.Compare(a.account.spent, b.account.spent) })
	return out
}

// empty notes that a run, one of so many, has no tasks.
func (t *turns) empty(a *account, now time.Time, of int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.empty, a.served = now, false
	a.idle = min(max(emptyWait, 2*a.idle), max(emptyLimit, time.Duration(of)*emptyWait))
}

// begin charges a run for a task that is begun, by what its tasks took before: a run whose
// tasks are still in work has had its turn. It returns what it charged.
func (t *turns) begin(a *account) (charged time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !a.served {
		a.spent, a.served = max(a.spent, t.now), true
	}
	a.empty, a.idle = time.Time{}, 0
	t.now = max(t.now, a.spent)
	a.spent += a.virtual(a.task)
	return a.task
}

// end puts right what begin has charged for a task, now that it is known how long it held a
// slot.
func (t *turns) end(a *account, charged, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.spent += a.virtual(took - charged)
	if a.task == 0 {
		a.task = took
	}
	a.task += (took - a.task) / 4
}

// prioritize sets a run's priority for the tasks that it begins from now on.
func (t *turns) prioritize(a *account, priority int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.priority = priority
}

// share is how many of so many slots a run may hold, of those that have tasks: one at least.
func (t *turns) share(a *account, all []*workshop, slots int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := 0
	for _, ws := range all {
		sum += ws.account.weight()
	}
	return max(1, slots*a.weight()/max(1, sum))
}

func (a *account) weight() int { return cmp.Or(a.priority, runs.DefaultPriority) }

// virtual is time as it counts for the run: by its priority.
func (a *account) virtual(d time.Duration) time.Duration {
	return d * runs.DefaultPriority / time.Duration(a.weight())
}
