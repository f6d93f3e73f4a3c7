package observe

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"resslt/batcher/worker"
)

const (
	// maxRunLabels bounds the runs that metrics name, so that a broker of thousands of runs
	// makes no thousands of series of each worker.
	maxRunLabels = 100
	// otherRuns stands for the rest. A run may have that name, but is then counted with them.
	otherRuns = "other"
)

// states collects what the runs are to a worker. It reads them at each scrape.
type states struct {
	read    func() []worker.State
	byState *prometheus.Desc
	byRun   *prometheus.Desc
}

func newStates(read func() []worker.State) *states {
	desc := func(name string) *prometheus.Desc {
		m := line(name)
		return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
	}
	return &states{read, desc(RunsByState), desc(RunState)}
}

// Describe is a prometheus.Collector's.
func (s *states) Describe(c chan<- *prometheus.Desc) {
	c <- s.byState
	c <- s.byRun
}

// Collect is a prometheus.Collector's.
func (s *states) Collect(c chan<- prometheus.Metric) {
	all := s.read()
	number := map[string]int{}
	for _, r := range all {
		number[r.Phase]++
	}
	for _, phase := range worker.Phases() {
		c <- prometheus.MustNewConstMetric(s.byState, prometheus.GaugeValue, float64(number[phase]), phase)
	}
	for _, r := range labelled(all) {
		c <- prometheus.MustNewConstMetric(s.byRun, prometheus.GaugeValue, r.n, r.run, r.phase)
	}
}

// labels are a series of RunState.
type labels struct {
	run, phase string
	n          float64
}

// labelled gives the series of the runs: those in quarantine before those that are served, and
// those that sleep last, up to maxRunLabels; the others by their states.
func labelled(all []worker.State) []labels {
	all = slices.Clone(all)
	last := len(worker.Phases())
	rank := func(r worker.State) int {
		if i := slices.Index([]string{"quarantined", "serving", "opening"}, r.Phase); i >= 0 {
			return i
		}
		return last
	}
	slices.SortFunc(all, func(a, b worker.State) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Run, b.Run))
	})
	var out []labels
	rest := map[string]float64{}
	for i, r := range all {
		if i < maxRunLabels && r.Run != otherRuns && utf8.ValidString(r.Run) { // a label of other bytes is a panic
			out = append(out, labels{r.Run, r.Phase, 1})
		} else {
			rest[r.Phase]++
		}
	}
	for _, phase := range worker.Phases() {
		if rest[phase] > 0 {
			out = append(out, labels{otherRuns, phase, rest[phase]})
		}
	}
	return out
}
