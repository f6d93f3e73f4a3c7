package batcher

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// turns shares a worker's time among its runs: whoever was served least comes
// first, measured by the time that the makers took, so that a run of costly images
// gets no more than one of cheap ones. A run that had no tasks for a while does not
// save up the time that it did not use (start-time fair queueing).
type turns struct {
	mu    sync.Mutex
	spent map[*serving]time.Duration // in virtual time; guarded by mu
	idle  map[*serving]time.Time     // when it had no tasks last; guarded by mu
	now   time.Duration              // virtual time: of the run that was served last; guarded by mu
}

// emptyWait is how long a run that had no tasks is passed over while others have.
const emptyWait = 20 * time.Millisecond

// order gives the runs in the order in which they are asked for a task, least
// served first, without those that had none just now.
func (t *turns) order(runs []*serving) []*serving {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(runs), func(sv *serving) bool { return time.Since(t.idle[sv]) < emptyWait })
	slices.SortStableFunc(out, func(a, b *serving) int { return cmp.Compare(t.spent[a], t.spent[b]) })
	return out
}

// empty notes that a run has no tasks.
func (t *turns) empty(sv *serving) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle == nil {
		t.idle = map[*serving]time.Time{}
	}
	t.idle[sv] = time.Now()
}

// charge puts time that a run's task took to its account.
func (t *turns) charge(sv *serving, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spent == nil {
		t.spent = map[*serving]time.Duration{}
	}
	began, known := t.spent[sv]
	if _, was := t.idle[sv]; was || !known {
		began = max(began, t.now)
		delete(t.idle, sv)
	}
	t.now = max(t.now, began)
	t.spent[sv] = began + took
}

// forget drops the account of a run that is served no more.
func (t *turns) forget(sv *serving) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.spent, sv)
	delete(t.idle, sv)
}
