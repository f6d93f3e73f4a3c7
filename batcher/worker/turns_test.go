package worker

import (
	"testing"
	"time"
)

// Time is shared, and not saved up.
func TestTurns(t *testing.T) {
	var ts turns
	a, b, late := &workshop{}, &workshop{}, &workshop{}
	at := time.Unix(0, 0)
	serve := func(runs []*workshop, cost map[*workshop]time.Duration, n int) map[*workshop]int {
		got := map[*workshop]int{}
		for range n {
			ws := ts.order(runs, at)[0]
			ts.end(&ws.account, ts.begin(&ws.account), cost[ws])
			got[ws]++
		}
		return got
	}
	got := serve([]*workshop{a, b}, map[*workshop]time.Duration{a: 3 * time.Second, b: time.Second}, 40)
	if got[a] != 10 || got[b] != 30 {
		t.Errorf("tasks that cost 3 and 1 were served %d and %d times, want 10 and 30", got[a], got[b])
	}
	got = serve([]*workshop{a, b, late}, map[*workshop]time.Duration{a: time.Second, b: time.Second, late: time.Second}, 30)
	if got[late] > 11 || got[late] < 9 {
		t.Errorf("a run that came late was served %d times of 30", got[late])
	}
	ts.empty(&b.account, at)
	if o := ts.order([]*workshop{a, b}, at); len(o) != 1 || o[0] != a {
		t.Error("a run that had no tasks just now is asked again")
	}
}
