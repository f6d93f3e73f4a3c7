package runreport

import (
	"fmt"
	"strconv"
	"strings"

	"resslt/cmd/internal/report"
	"resslt/schemas"
	"resslt/train"
)

// dataDetail says how many classes the images have, and how many files were passed over.
func dataDetail(sum *train.Summary) string {
	var parts []string
	if sum.Classes > 0 {
		parts = append(parts, counted(int64(sum.Classes), "class", "classes"))
	}
	if passed := sum.PassedOver.Count(); passed > 0 {
		parts = append(parts, counted(passed, "file passed over", "files passed over"))
	}
	return strings.Join(parts, ", ")
}

func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// listed are the rows that a table of samples shows; summary.json has more.
const listed = 20

// mixTable is what was drawn from each set of a mixture, without rows of other data.
func mixTable(sum *train.Summary) report.Table {
	t := report.Table{
		Title: "Mixture", Columns: []string{"set", "samples", "share of the draws", "drawn", "passes over the set"},
		Caption: "A set's samples are all visited once before any of them is again.",
	}
	for _, set := range sum.Mix {
		t.Rows = append(t.Rows, []string{
			set.Name, fmt.Sprint(set.Samples), percent(100 * float64(set.Draws) / float64(sum.Images)), fmt.Sprint(set.Drawn),
			strconv.FormatFloat(float64(set.Drawn)/float64(set.Samples), 'f', 2, 64),
		})
	}
	return t
}

// dataTables are a mixture's sets, the samples that cannot be decoded, and the files that were
// passed over.
func dataTables(sum *train.Summary) (out []report.Table) {
	if t := mixTable(sum); len(t.Rows) > 0 {
		out = append(out, t)
	}
	if n := min(len(sum.Replaced), listed); n > 0 {
		t := report.Table{
			Title: "Samples that cannot be decoded", Columns: []string{"sample", "file", "why", "times replaced"},
			Caption: fmt.Sprintf("%d of %d samples that were trained on stand for one of these: the next of the epoch's order takes its place.",
				sum.SamplesReplaced, sum.Steps*int64(sum.BatchSize)),
		}
		if more := sum.SamplesUndecodable - int64(n); more > 0 {
			t.Caption += fmt.Sprintf(" %d more are not shown.", more)
		}
		for _, r := range sum.Replaced[:n] {
			t.Rows = append(t.Rows, []string{fmt.Sprint(r.Sample), r.Key, r.Reason, fmt.Sprint(r.Count)})
		}
		out = append(out, t)
	}
	passed := report.Table{
		Title: "Passed over", Columns: []string{"split", "files", "first", "count"},
		Caption: "What the data set's reader did not take for a sample.",
	}
	skipped := report.Table{
		Title: "Not evaluated", Columns: []string{"split", "sample", "file", "why"}, Caption: "Images that the probes left out, since they cannot be decoded.",
	}
	add := func(split string, ps schemas.Survey) {
		for _, p := range ps {
			if p.Kept {
				p.Reason = "kept: " + p.Reason
			}
			passed.Rows = append(passed.Rows, []string{split, p.Reason, p.First, fmt.Sprint(p.Count)})
		}
	}
	add("trained on", sum.PassedOver)
	for _, e := range sum.Evaluated {
		add("evaluated: "+e.Split, e.PassedOver)
		shown := e.SkippedImages[:min(len(e.SkippedImages), listed)]
		for _, s := range shown {
			skipped.Rows = append(skipped.Rows, []string{e.Split, fmt.Sprint(s.Sample), s.Key, s.Reason})
		}
		if more := e.Skipped - int64(len(shown)); more > 0 {
			skipped.Caption += fmt.Sprintf(" %d more of split %s are not shown.", more, e.Split)
		}
	}
	for _, t := range []report.Table{skipped, passed} {
		if len(t.Rows) > 0 {
			out = append(out, t)
		}
	}
	return out
}
