package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"resslt/train"
)

// progress shows a training loop to a person: a bar on a terminal, a line every
// few seconds elsewhere.
type progress struct {
	w    io.Writer
	bar  *progressbar.ProgressBar
	log  *slog.Logger // in place of lines; nil: lines
	last time.Time
}

// lineEvery is the least time between two lines where there is no terminal.
const lineEvery = 5 * time.Second

func newProgress(w io.Writer, steps, from int64) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(steps,
			progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(20),
			progressbar.OptionOnCompletion(func() { fmt.Fprintln(w) }))
		_ = p.bar.Set64(from) // a bar that cannot draw is no reason to stop training
	}
	return p
}

func (p *progress) observe(s train.Progress) {
	line := fmt.Sprintf("loss %.4f α %.2f lr %.4f %.0f img/s wait %.0f%%",
		s.Stats.Loss, s.Alpha, s.LR, s.ImagesPerSecond, 100*s.WaitFraction)
	if p.bar != nil {
		if s.Logged {
			p.bar.Describe(line)
		}
		_ = p.bar.Set64(s.Step) // as above
		return
	}
	if s.Logged && (time.Since(p.last) >= lineEvery || s.Step == s.Steps) {
		p.last = time.Now()
		if p.log != nil {
			p.log.Info("step", "step", s.Step, "steps", s.Steps, "epoch", s.Epoch, "loss", s.Stats.Loss, "alpha", s.Alpha, "lr", s.LR,
				"images_per_second", s.ImagesPerSecond, "wait_fraction", s.WaitFraction, "embedding_std", s.Stats.EmbeddingStd, "left", s.Remaining.Round(time.Second))
			return
		}
		fmt.Fprintf(p.w, "step %d/%d epoch %.2f %s %s left %s\n",
			s.Step, s.Steps, s.Epoch, line, watch(s.Stats), s.Remaining.Round(time.Second))
	}
}

// watch is the part of a line that shows a collapse: the embeddings' standard
// deviation, the target's entropy in nats, and how often student and teacher agree,
// of those that the objective has.
func watch(s train.Stats) string {
	line := fmt.Sprintf("std %.4f", s.EmbeddingStd)
	if !math.IsNaN(s.TargetEntropy) {
		line += fmt.Sprintf(" H(p²) %.2f", s.TargetEntropy)
	}
	if !math.IsNaN(s.Agreement) {
		line += fmt.Sprintf(" agree %.0f%%", 100*s.Agreement)
	}
	return line
}

// finish leaves the terminal on a line of its own, also when stopped half-way.
func (p *progress) finish() {
	if p.bar != nil && !p.bar.IsFinished() {
		_ = p.bar.Exit() // as above
		fmt.Fprintln(p.w)
	}
}

// progressEvery is how often a bar is drawn: where there is no terminal, it leaves
// a line each time.
func progressEvery(w io.Writer) time.Duration {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return 100 * time.Millisecond
	}
	return lineEvery
}
