package web

import (
	"fmt"
	"math"
	"path/filepath"

	"resslt/cmd/internal/runbook"
)

// sign is something to watch, with what it says at present.
type sign struct {
	Level level
	Name  string
	Text  string
}

// level says how a sign is to be taken.
type level string

const (
	told  level = "note" // a figure that is neither
	good  level = "good"
	watch level = "watch"
	bad   level = "bad"
)

// Limits of the spread of embeddings, as a part of what they have when they lie evenly on the
// sphere: below the lower they have collapsed.
const (
	collapsed = 0.1
	narrow    = 0.3
)

// flat is the part of ln K above which a target says nothing.
const flat = 0.98

// signsOf are the signs that the run's statistics give.
func signsOf(r *runbook.Run) (out []sign) {
	if n := len(r.Lines); n > 0 {
		l := &r.Lines[n-1]
		if v, d := l.EmbeddingStd, r.Resolved.EmbeddingDim; v != nil && d > 0 {
			out = append(out, spreadSign(r, *v*math.Sqrt(float64(d))))
		}
		if v, k := l.TargetEntropy, r.Resolved.K; v != nil && k > 1 {
			s := sign{good, "target", fmt.Sprintf("entropy %.2f of at most %.2f nats (ln K)", *v, math.Log(float64(k)))}
			if *v > flat*math.Log(float64(k)) {
				s.Level, s.Text = watch, s.Text+": it is nearly flat, and says little yet"
			}
			out = append(out, s)
		}
		if v := l.Agreement; v != nil {
			out = append(out, sign{told, "agreement", fmt.Sprintf("student and teacher choose the same at %.0f %% of the samples", 100**v)})
		}
	}
	if found, err := filepath.Glob(filepath.Join(r.Folder, "diverged-step-*.arrow")); err == nil && len(found) > 0 {
		out = append(out, sign{bad, "diverged", "the loss was not finite at a step: " + filepath.Base(found[len(found)-1]) + " has its batch"})
	}
	if still := standstill(r); still > 0 {
		out = append(out, sign{watch, "standstill", "no step was logged for " + runbook.Age(still)})
	}
	return out
}

// spreadSign says how far the embeddings are spread, and which way that goes.
func spreadSign(r *runbook.Run, part float64) sign {
	s := sign{good, "spread", fmt.Sprintf("embeddings have %.0f %% of the spread of points all over the sphere", 100*part)}
	n := len(r.Lines)
	trend := func(from, to int) (mean float64) {
		for _, l := range r.Lines[from:to] {
			if l.EmbeddingStd != nil {
				mean += *l.EmbeddingStd / float64(to-from)
			}
		}
		return mean
	}
	if k := min(20, n/2); k > 0 {
		switch now, before := trend(n-k, n), trend(n-2*k, n-k); {
		case now > 1.05*before:
			s.Text += ", rising"
		case now < 0.95*before:
			s.Text += ", falling"
		}
	}
	switch {
	case part < collapsed:
		s.Level, s.Text = bad, "collapsed: "+s.Text
	case part < narrow:
		s.Level, s.Text = watch, "narrow: "+s.Text
	}
	return s
}

// standstill is for how many seconds a run that is running has logged nothing, where that is far
// longer than it takes it between two lines; else 0.
func standstill(r *runbook.Run) float64 {
	const least, ratio = 60, 20
	n := len(r.Lines)
	if r.State != runbook.Running || n < 2 || r.Summary != nil {
		return 0
	}
	a, b := &r.Lines[n-2], &r.Lines[n-1]
	usual := 0.0
	if b.ImagesPerSecond > 0 {
		usual = float64(b.Step-a.Step) * float64(r.Resolved.BatchSize) / b.ImagesPerSecond
	}
	if r.Seconds < max(least, ratio*usual) || r.Epoch >= float64(r.Epochs) {
		return 0
	}
	return r.Seconds
}
