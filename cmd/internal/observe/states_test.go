package observe

import (
	"fmt"
	"slices"
	"testing"

	"resslt/batcher/worker"
)

// However many runs there are, a worker has a hundred series of them and one for each state of
// the rest, and what is in quarantine is named first.
func TestStatesAreBounded(t *testing.T) {
	for _, tc := range []struct {
		name                      string
		asleep, serving, bad, own int // own: a run that is called other
		series                    int
		other                     map[string]float64
	}{
		{"none", 0, 0, 0, 0, 0, nil},
		{"a few", 1, 2, 1, 0, 4, nil},
		{"a hundred", 50, 49, 1, 0, 100, nil},
		{"one too many", 51, 49, 1, 0, 101, map[string]float64{"asleep": 1}},
		{"thousands", 3000, 99, 1, 0, 101, map[string]float64{"asleep": 3000}},
		{"thousands of all", 3000, 2000, 150, 0, 103, map[string]float64{"asleep": 3000, "serving": 2000, "quarantined": 50}},
		{"one that is called other", 0, 1, 0, 1, 2, map[string]float64{"serving": 1}},
	} {
		var all []worker.State
		for phase, n := range map[string]int{"asleep": tc.asleep, "serving": tc.serving, "quarantined": tc.bad} {
			for i := range n {
				all = append(all, worker.State{Run: fmt.Sprint(phase, i), Phase: phase})
			}
		}
		for range tc.own {
			all = append(all, worker.State{Run: "other", Phase: "serving"})
		}
		got := labelled(all)
		other, seen, total := map[string]float64{}, map[string]bool{}, 0.0
		for _, l := range got {
			if seen[l.run+" "+l.phase] {
				t.Errorf("%s: two series of %s, %s", tc.name, l.run, l.phase)
			}
			seen[l.run+" "+l.phase] = true
			total += l.n
			if l.run == "other" {
				other[l.phase] = l.n
			}
		}
		if len(got) != tc.series || fmt.Sprint(other) != fmt.Sprint(tc.other) || int(total) != len(all) {
			t.Errorf("%s: %d series of %v runs, others %v; want %d, %v", tc.name, len(got), total, other, tc.series, tc.other)
		}
	}
}

// A name that is no text is counted with the others: it cannot be a label.
func TestStatesOfNoText(t *testing.T) {
	got := labelled([]worker.State{{Run: "a\xff", Phase: "serving"}, {Run: "b", Phase: "serving"}})
	if want := []labels{{"b", "serving", 1}, {otherRuns, "serving", 1}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
