package web

import (
	"context"
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/online"
	"resslt/cmd/internal/report"
	"resslt/cmd/internal/runbook"
	"resslt/cmd/internal/runreport"
)

// runView is one run. What its files say comes in parts that change with them; what Live says, in
// others.
type runView struct {
	id     string
	folder string
	err    error // why there is none
	live   Live  // nil where another process trains it

	recorded bool // views may be made again from the record

	follower *runbook.Follower // nil before the run has begun
	run      *runbook.Run      // as it was looked at last
	curves   []part            // made of it: charts and neighbours
	facts    []part            // likewise: what is run
	views    part
	viewed   *Views // that the part is made of
	asked    time.Time
}

// viewsEvery is how often other samples are asked for.
const viewsEvery = 10 * time.Second

func newRunView(s *shelf, id string, recorded bool) view {
	v := &runView{id: id, live: s.live(id), recorded: recorded}
	v.folder, v.err = s.folder(id)
	return v
}

func (v *runView) look(context.Context) ([]part, bool) {
	if v.err != nil {
		return failed(v.err), true
	}
	if v.live == nil {
		if !v.lookAtFiles() {
			return nil, false
		}
		var views []part
		if v.recorded && v.run != nil {
			views = []part{{id: "recorded", html: fragment("recorded", nil)}}
		}
		return slices.Concat([]part{v.head(nil), v.status(nil)}, v.curves, views, v.facts), true
	}
	now := v.live.Now()
	if !now.Begun {
		return []part{{id: "head", html: fragment("heading", heading{Title: filepath.Base(v.folder), State: now.Phase, Detail: strings.Join(now.Notices, ". ")})}}, true
	}
	v.lookAtFiles()
	v.lookAtViews()
	beside := []part{{id: "queue", html: queueTables(&now)}}
	if v.views.id != "" {
		beside = append(beside, v.views)
	}
	return slices.Concat([]part{v.head(&now), v.status(&now)}, v.curves, beside, v.facts), true
}

// lookAtFiles renders what the run's files say, and reports whether they have changed.
func (v *runView) lookAtFiles() bool {
	if v.follower == nil {
		v.follower = runbook.Follow(v.folder)
	}
	r, changed, err := v.follower.Look()
	if err != nil {
		v.run, v.curves, v.facts = nil, nil, []part{{id: "trouble", html: fragment("note", cli.Line(err))}}
		return true
	}
	if !changed && v.run != nil {
		v.run = r // its age
		return r.State == runbook.Running
	}
	v.run = r
	v.curves = chartParts(runreport.Charts(r))
	if steps, err := online.NeighbourSteps(v.folder); err == nil && len(steps) > 0 {
		v.curves = append(v.curves, part{id: "neighbours", html: v.neighbours(steps)})
	}
	v.facts = []part{{id: "facts", html: fragment("facts", struct {
		Facts  template.HTML
		Recipe string
	}{must(report.Facts(runreport.Facts(r))), string(r.Resolved.YAML())})}}
	return true
}

// head is the run's name and state, and the figures that a reader looks for first.
func (v *runView) head(now *Now) part {
	r := v.run
	if r == nil {
		return part{id: "head", html: fragment("heading", heading{Title: filepath.Base(v.folder), Back: v.live == nil})}
	}
	h := struct {
		heading
		Figures template.HTML
		Epoch   float64
		Epochs  int
	}{heading{Title: filepath.Base(v.folder), Detail: r.Resolved.Claim, State: r.State, Back: v.live == nil}, must(report.Headline(headline(r, now))), r.Epoch, r.Epochs}
	if now != nil {
		h.State = now.Phase
	}
	return part{id: "head", html: fragment("run", h)}
}

func headline(r *runbook.Run, now *Now) []report.Fact {
	step := report.Fact{Name: "step", Value: strconv.FormatInt(r.Step, 10)}
	if now != nil {
		step.Value, step.Detail = strconv.FormatInt(max(r.Step, now.Step), 10), fmt.Sprintf("of %d", now.Steps)
	}
	out := []report.Fact{{Name: "epoch", Value: fmt.Sprintf("%.2f", r.Epoch), Detail: fmt.Sprintf("of %d", r.Epochs)}, step}
	if n := len(r.Lines); n > 0 {
		l := &r.Lines[n-1]
		out = append(out,
			report.Fact{Name: "loss", Value: strconv.FormatFloat(l.Loss, 'f', 4, 64), Detail: fmt.Sprintf("first %.4f", r.Lines[0].Loss)},
			report.Fact{Name: "learning rate", Value: strconv.FormatFloat(l.LR, 'g', 3, 64)},
			report.Fact{Name: "images/s", Value: fmt.Sprintf("%.0f", l.ImagesPerSecond), Detail: fmt.Sprintf("%.0f %% of the time waiting for data", 100*l.DataWait)})
	}
	if r.KNN != nil {
		out = append(out, report.Fact{Name: "kNN top-1", Value: fmt.Sprintf("%.2f %%", *r.KNN)})
	}
	if r.Linear != nil {
		out = append(out, report.Fact{Name: "linear top-1", Value: fmt.Sprintf("%.2f %%", *r.Linear)})
	}
	if now != nil && now.Remaining > 0 && now.Step < now.Steps {
		out = append(out, report.Fact{Name: "left", Value: now.Remaining.Round(time.Second).String()})
	} else if r.State == runbook.Running {
		out = append(out, report.Fact{Name: "last line", Value: runbook.Age(r.Seconds), Detail: "ago"})
	}
	return out
}

// status is what there is to watch for: collapse, a standstill, notices.
func (v *runView) status(now *Now) part {
	var signs []sign
	if v.run != nil {
		signs = signsOf(v.run)
	}
	if now != nil {
		for _, text := range now.Notices {
			signs = append(signs, sign{told, "notice", text})
		}
	}
	return part{id: "watch", html: fragment("watch", signs)}
}

// queueTables are what lies between workers and step, and the workers.
func queueTables(now *Now) template.HTML {
	q := now.Queue
	if q == nil {
		return fragment("queue", nil)
	}
	facts := []report.Fact{
		{Name: "ready in the trainer", Value: fmt.Sprint(q.BufferedSteps), Detail: "steps"},
		{Name: "ready in the broker", Value: fmt.Sprint(q.Buffered), Detail: fmt.Sprintf("of %d steps that workers may be ahead", q.Window)},
		{Name: "chunks taken", Value: fmt.Sprint(q.Chunks), Detail: fmt.Sprintf("%.1f MB", float64(q.Bytes)/1e6)},
		{Name: "tasks issued", Value: fmt.Sprint(q.Issued), Detail: fmt.Sprintf("%d again", q.Repaired)},
		{Name: "waited for batches", Value: q.Waited.Round(100 * time.Millisecond).String()},
	}
	if bad := q.Tombstoned + q.Rejected + q.DigestMismatches; bad > 0 {
		facts = append(facts, report.Fact{Name: "bad chunks", Value: fmt.Sprint(bad), Detail: fmt.Sprintf("%d tombstones, %d rejected, %d of other bytes", q.Tombstoned, q.Rejected, q.DigestMismatches)})
	}
	workers := report.Table{Title: "Workers", Columns: []string{"worker", "at once", "samples/s", "chunks", "given out again", "heard of", "state"}}
	at := time.Now()
	for i := range now.Workers {
		w := &now.Workers[i]
		state := w.State
		switch {
		case w.Left:
			state = "has left"
		case !w.Live(at):
			state = "silent"
		case w.Trouble != "":
			state += ": " + w.Trouble
		}
		workers.Rows = append(workers.Rows, []string{
			w.Worker, fmt.Sprint(w.Workers), fmt.Sprintf("%.0f", w.Rate), fmt.Sprint(w.Chunks), fmt.Sprint(w.Redelivered),
			runbook.Age(max(0, at.Sub(w.Time).Seconds())) + " ago", state,
		})
	}
	if len(workers.Rows) == 0 {
		workers.Caption = "None has reported yet."
	}
	return fragment("queue", struct{ Figures, Workers template.HTML }{must(report.Headline(facts)), must(workers.HTML())})
}
