package observe

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"resslt/batcher/worker"
)

// Metrics of what a worker's runs are to it.
const (
	WorkerRuns = "resslt_worker_runs"
	RunState   = "resslt_worker_run_state"
)

// maxRuns bounds the runs that RunState names; the others are one run called otherRuns. Names
// come from the broker, in any number.
const (
	maxRuns   = 100
	otherRuns = "other"
)

// runStates collects the states of a worker's runs.
type runStates struct {
	states      func() []worker.State
	runs, state *prometheus.Desc
}

func newRunStates(states func() []worker.State) *runStates {
	desc := func(name string) *prometheus.Desc {
		m := line(name)
		return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
	}
	return &runStates{states, desc(WorkerRuns), desc(RunState)}
}

// Describe implements prometheus.Collector.
func (c *runStates) Describe(to chan<- *prometheus.Desc) { to <- c.runs; to <- c.state }

// Collect implements prometheus.Collector.
func (c *runStates) Collect(to chan<- prometheus.Metric) {
	all := slices.Clone(c.states())
	phases := worker.Phases()
	// Those in trouble are named first, so that they are not among the others.
	slices.SortStableFunc(all, func(a, b worker.State) int {
		return cmp.Or(-cmp.Compare(rank(a), rank(b)), strings.Compare(a.Run, b.Run))
	})
	type series struct{ run, phase string }
	count, total := map[series]float64{}, map[string]float64{}
	for i, s := range all {
		if !slices.Contains(phases, s.Phase) {
			continue
		}
		name := strings.ToValidUTF8(s.Run, "?")
		if i >= maxRuns {
			name = otherRuns
		}
		count[series{name, s.Phase}]++
		total[s.Phase]++
	}
	for _, p := range phases {
		to <- prometheus.MustNewConstMetric(c.runs, prometheus.GaugeValue, total[p], p)
	}
	for s, n := range count {
		to <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, n, s.run, s.phase)
	}
}

// rank is 2 for a run in quarantine, 1 for one that is opened or served.
func rank(s worker.State) int {
	switch {
	case s.Why != nil:
		return 2
	case s.Phase == "asleep":
		return 0
	}
	return 1
}
