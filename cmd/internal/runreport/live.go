package runreport

import (
	"resslt/cmd/internal/report"
	"resslt/cmd/internal/runbook"
	"resslt/train"
)

// Charts are the curves of a run as it is now.
func Charts(r *runbook.Run) []report.Chart { return charts(r.Lines, r.Scores, r.Resolved) }

// Facts say what the run is, as far as it is known by now.
func Facts(r *runbook.Run) []report.Fact {
	if r.Summary == nil {
		return facts(r.Resolved, &train.Summary{}, r.Lines, false)
	}
	return facts(r.Resolved, r.Summary, r.Lines, true)
}
