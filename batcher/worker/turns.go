package worker

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
	mu  sync.Mutex
	now time.Duration // virtual time: of the run that was served last; guarded by mu
}

// account is a run's with a worker's turns; its fields are guarded by turns.mu.
type account struct {
	spent  time.Duration // in virtual time
	served bool          // since it had no tasks last
	empty  time.Time     // when it had no tasks last
}

// emptyWait is how long a run that had no tasks is passed over while others have.
const emptyWait = 20 * time.Millisecond

// order gives the runs in the order in which they are pulled from, least
// served first, without those that had none just now.
func (t *turns) order(runs []*serving) []*serving {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(runs), func(sv *serving) bool { return time.Since(sv.account.empty) < emptyWait })
	slices.SortStableFunc(out, func(a, b *serving) int { return cmp.Compare(a.account.spent, b.account.spent) })
	return out
}

// empty notes that a run has no tasks.
func (t *turns) empty(sv *serving) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sv.account.empty, sv.account.served = time.Now(), false
}

// charge puts time that a run's task took to its account.
func (t *turns) charge(sv *serving, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &sv.account
	if !a.served {
		a.spent, a.served, a.empty = max(a.spent, t.now), true, time.Time{}
	}
	t.now = max(t.now, a.spent)
	a.spent += took
}
