package chaos

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Table writes the report as text: recovery by kind of fault, then the scenarios.
func (r *Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "fault\tn\toutage, median s\tnext step after it, median s\tmax s\tlongest stall, median s\tmax s\n")
	for _, k := range append(Kinds(), mixedName) {
		var outage, recovery, stall []float64
		for _, s := range r.Storms {
			for _, m := range s.Struck {
				if m.Fault == k {
					outage, recovery, stall = append(outage, m.Outage), append(recovery, m.Recovery), append(stall, m.Stall)
				}
			}
		}
		if len(outage) > 0 {
			fmt.Fprintf(t, "%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\n", k, len(outage),
				median(outage), median(recovery), slices.Max(recovery), median(stall), slices.Max(stall))
		}
	}
	fmt.Fprintln(t)
	for _, s := range r.Storms {
		fmt.Fprintf(t, "%s\t%d faults\t%d runs of %d steps\t%s\t%.0f s\t%s\n", s.Name, s.Faults, s.Runs, s.Steps, verdict(s.Wrong), s.Seconds, short(s.Summary.StudentSHA256))
	}
	fmt.Fprintln(t)
	for _, s := range r.Scenarios {
		fmt.Fprintf(t, "%s\t%s\t%.0f s\t%s\n", s.Name, verdict(s.Wrong), s.Seconds, s.Outcome)
	}
	fmt.Fprintln(t)
	for _, c := range r.Calm {
		fmt.Fprintf(t, "undisturbed\t%d steps\t%.0f images/s\tstudent %s\n", c.Steps, c.ImagesPerSecond, short(c.StudentSHA256))
	}
	fmt.Fprintf(t, "seed %d, %d wrong, %v\n", r.Seed, len(r.Wrong()), time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	return t.Flush()
}

func verdict(wrong []string) string {
	if len(wrong) == 0 {
		return "passed"
	}
	return "WRONG"
}

func short(digest string) string { return digest[:min(12, len(digest))] }

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
