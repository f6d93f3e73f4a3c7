package observe

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"resslt/batcher/worker"
)

// However many runs a broker has, and whatever they are called, a worker's series are few, and
// the runs in trouble among them.
func TestRunStates(t *testing.T) {
	why := errors.New("its store is away")
	var many []worker.State
	for i := range 1000 {
		many = append(many, worker.State{Run: fmt.Sprintf("run-%03d", i), Phase: "asleep"})
	}
	many[700] = worker.State{Run: "serving-700", Phase: "serving"}
	many[999] = worker.State{Run: "troubled-999", Phase: "quarantined", Why: why}
	for _, tc := range []struct {
		name   string
		states []worker.State
		want   map[string]float64
		series int
	}{
		{"none", nil, map[string]float64{"runs serving": 0, "runs quarantined": 0}, 4},
		{"a few", []worker.State{{Run: "a", Phase: "serving"}, {Run: "b", Phase: "quarantined", Why: why}}, map[string]float64{
			"runs serving": 1, "runs quarantined": 1, "runs asleep": 0, "a serving": 1, "b quarantined": 1,
		}, 4 + 2},
		{"a thousand", many, map[string]float64{
			"runs asleep": 998, "troubled-999 quarantined": 1, "serving-700 serving": 1, "run-000 asleep": 1, "other asleep": 900,
		}, 4 + maxRuns + 1},
		{
			"names that are no text, or the same",
			[]worker.State{{Run: "\xff", Phase: "serving"}, {Run: "\xfe", Phase: "serving"}, {Run: "other", Phase: "serving"}},
			map[string]float64{"runs serving": 3, "? serving": 2, "other serving": 1},
			4 + 2,
		},
		{"a phase of no name", []worker.State{{Run: "a", Phase: "closed"}}, map[string]float64{"runs serving": 0}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(newRunStates(func() []worker.State { return tc.states }))
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]float64{}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					var labels []string
					if f.GetName() == WorkerRuns {
						labels = []string{"runs"}
					}
					for _, l := range m.GetLabel() {
						labels = append(labels, l.GetValue())
					}
					got[strings.Join(labels, " ")] = m.GetGauge().GetValue()
				}
			}
			for s, want := range tc.want {
				if v, ok := got[s]; !ok || v != want {
					t.Errorf("%s is %v, want %v", s, v, want)
				}
			}
			if len(got) != tc.series {
				t.Errorf("%d series, want %d", len(got), tc.series)
			}
		})
	}
}
