package worker

import (
	"testing"
	"time"
)

// Time is shared, and not saved up.
func TestTurns(t *testing.T) {
	var ts turns
	a, b, late := &serving{}, &serving{}, &serving{}
	serve := func(runs []*serving, cost map[*serving]time.Duration, n int) map[*serving]int {
		got := map[*serving]int{}
		for range n {
			sv := ts.order(runs)[0]
			ts.charge(sv, cost[sv])
			got[sv]++
		}
		return got
	}
	got := serve([]*serving{a, b}, map[*serving]time.Duration{a: 3 * time.Second, b: time.Second}, 40)
	if got[a] != 10 || got[b] != 30 {
		t.Errorf("tasks that cost 3 and 1 were served %d and %d times, want 10 and 30", got[a], got[b])
	}
	got = serve([]*serving{a, b, late}, map[*serving]time.Duration{a: time.Second, b: time.Second, late: time.Second}, 30)
	if got[late] > 11 || got[late] < 9 {
		t.Errorf("a run that came late was served %d times of 30", got[late])
	}
	ts.empty(b)
	if o := ts.order([]*serving{a, b}); len(o) != 1 || o[0] != a {
		t.Error("a run that had no tasks just now is asked again")
	}
}
