package worker

import (
	"slices"
	"testing"
	"time"
)

// farmTime plays runs on so many slots in virtual time, always with tasks waiting, and gives the
// time that each of them held a slot.
func farmTime(ts *turns, runs []*workshop, cost map[*workshop]time.Duration, slots int, total time.Duration) map[*workshop]time.Duration {
	type work struct {
		ws             *workshop
		charged, until time.Duration
	}
	held := map[*workshop]time.Duration{}
	var busy []work
	for now := time.Duration(0); now < total; {
		for len(busy) < slots {
			ws := ts.order(runs, t0)[0]
			busy = append(busy, work{ws, ts.begin(&ws.account), now + cost[ws]})
		}
		slices.SortStableFunc(busy, func(a, b work) int { return int(a.until - b.until) })
		first := busy[0]
		busy, now = busy[1:], first.until
		ts.end(&first.ws.account, first.charged, cost[first.ws])
		held[first.ws] += cost[first.ws]
	}
	return held
}

// Runs that have tasks get time by their priorities, whatever their tasks cost and on however
// many slots.
func TestShares(t *testing.T) {
	for _, tc := range []struct {
		name     string
		priority [3]int
		cost     [3]time.Duration
		slots    int
		want     [3]float64 // of the time
	}{
		{"equal", [3]int{10, 10, 10}, [3]time.Duration{1, 1, 1}, 1, [3]float64{1. / 3, 1. / 3, 1. / 3}},
		{"none given", [3]int{0, 0, 10}, [3]time.Duration{1, 1, 1}, 1, [3]float64{1. / 3, 1. / 3, 1. / 3}},
		{"costly ones get no more", [3]int{10, 10, 10}, [3]time.Duration{9, 3, 1}, 1, [3]float64{1. / 3, 1. / 3, 1. / 3}},
		{"1 to 3 to 1", [3]int{10, 30, 10}, [3]time.Duration{1, 1, 1}, 1, [3]float64{.2, .6, .2}},
		{"1 to 3, costly", [3]int{10, 30, 20}, [3]time.Duration{5, 1, 2}, 1, [3]float64{1. / 6, .5, 1. / 3}},
		{"many slots", [3]int{10, 30, 20}, [3]time.Duration{5, 1, 2}, 8, [3]float64{1. / 6, .5, 1. / 3}},
		{"least and most", [3]int{1, 100, 1}, [3]time.Duration{1, 1, 1}, 2, [3]float64{1. / 102, 100. / 102, 1. / 102}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ts turns
			var runs []*workshop
			cost := map[*workshop]time.Duration{}
			for i := range tc.cost {
				ws := &workshop{}
				ts.prioritize(&ws.account, tc.priority[i])
				runs, cost[ws] = append(runs, ws), tc.cost[i]*time.Second
			}
			const total = 4000 * time.Second
			held := farmTime(&ts, runs, cost, tc.slots, total)
			for i, ws := range runs {
				if got := held[ws].Seconds() / total.Seconds() / float64(tc.slots); got < .9*tc.want[i] || got > 1.1*tc.want[i] {
					t.Errorf("run %d got %.3f of the time, want %.3f", i, got, tc.want[i])
				}
			}
		})
	}
}

// Time is not saved up by a run that has no tasks, or comes late, and a run without tasks is
// asked less and less often.
func TestNothingIsSavedUp(t *testing.T) {
	var ts turns
	a, b, late := &workshop{}, &workshop{}, &workshop{}
	cost := map[*workshop]time.Duration{a: time.Second, b: time.Second, late: time.Second}
	farmTime(&ts, []*workshop{a, b}, cost, 1, 40*time.Second)
	if got := farmTime(&ts, []*workshop{a, b, late}, cost, 1, 30*time.Second); got[late] > 11*time.Second || got[late] < 9*time.Second {
		t.Errorf("a run that came late got %v of 30 s", got[late])
	}
	now := t0
	for _, want := range []time.Duration{20, 40, 80, 160, 160} {
		ts.empty(&b.account, now, 2)
		before, after := ts.order([]*workshop{a, b}, now.Add(want*time.Millisecond-1)), ts.order([]*workshop{a, b}, now.Add(want*time.Millisecond))
		if len(before) != 1 || before[0] != a || len(after) != 2 {
			t.Errorf("a run without tasks is not passed over for %v ms", int(want))
		}
		now = now.Add(time.Second)
	}
	ts.end(&b.account, ts.begin(&b.account), time.Second)
	ts.empty(&b.account, now, 2)
	if len(ts.order([]*workshop{a, b}, now.Add(emptyWait))) != 2 {
		t.Error("a run that had tasks again is passed over as if it had none for long")
	}
	for range 10 {
		ts.empty(&b.account, now, 100)
	}
	if b.account.idle != 2*time.Second {
		t.Errorf("one of 100 runs without tasks is asked every %v", b.account.idle)
	}
}

// A run may hold slots by its priority, and one at least.
func TestSlotShares(t *testing.T) {
	var ts turns
	all := []*workshop{{}, {}, {}}
	for i, p := range []int{10, 30, 1} {
		ts.prioritize(&all[i].account, p)
	}
	for i, want := range []int{3, 11, 1} {
		if got := ts.share(&all[i].account, all, 16); got != want {
			t.Errorf("run %d may hold %d of 16 slots, want %d", i, got, want)
		}
	}
}
