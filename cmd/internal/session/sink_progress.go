package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"resslt/cmd/internal/cli"
	"resslt/schemas"
	"resslt/train"
)

// patience is how long a trainer waits for its first batch before it prints that it waits.
const patience = 10 * time.Second

// progressing shows the training to a person: a bar on a terminal, a line every few seconds
// elsewhere.
func progressing(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	p := &progress{console: l.console}
	var waiting *time.Timer
	return &subscriber{
		started: func(context.Context) error {
			p.start(l.plan)
			waiting = time.AfterFunc(patience, func() { l.interject("waiting for the first batch of " + l.plan.Source) })
			return nil
		},
		step: func(s train.Progress) {
			waiting.Stop()
			p.observe(s)
		},
		notice: func(text string) { l.interject("notice: " + text) },
		ended: func() {
			if waiting != nil {
				waiting.Stop()
			}
			p.finish()
		},
	}, nil
}

type progress struct {
	*console
	bar  *progressbar.ProgressBar // nil where there is no terminal
	last time.Time
}

func (p *progress) start(plan *Plan) {
	if cli.Terminal(p.stderr) {
		p.bar = newBar(p.stderr, plan.Spec.Steps(), plan.From())
	}
}

// newBar is a bar of the run's steps that begins at one of them. It predicts no time: it would
// take the steps of earlier sessions for this one's.
func newBar(w io.Writer, steps, from int64) *progressbar.ProgressBar {
	bar := progressbar.NewOptions64(steps,
		progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(20),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(w) }))
	_ = bar.Set64(from) // a bar that cannot draw is no reason to stop training
	return bar
}

func (p *progress) observe(s train.Progress) {
	line := fmt.Sprintf("loss %.4f α %.2f lr %.4f %.0f img/s wait %.0f%%",
		s.Stats.Loss, s.Alpha, s.LR, s.ImagesPerSecond, 100*s.WaitFraction)
	left := s.Remaining.Round(time.Second).String()
	if p.bar != nil {
		if s.Logged {
			p.bar.Describe(line + " left " + left)
		}
		_ = p.bar.Set64(s.Step) // as above
		return
	}
	if !s.Logged || time.Since(p.last) < cli.LineEvery && s.Step != s.Steps {
		return
	}
	p.last = time.Now()
	if !p.plain {
		logStep(p.log, s)
		return
	}
	p.print(fmt.Sprintf("step %d/%d epoch %.2f %s %s left %s", s.Step, s.Steps, s.Epoch, line, statistics(s.Stats), left))
}

// logStep is the line for a collector.
func logStep(log *slog.Logger, s train.Progress) {
	log.Info("step", "step", s.Step, "steps", s.Steps, "epoch", s.Epoch, "loss", s.Stats.Loss, "alpha", s.Alpha, "lr", s.LR,
		"images_per_second", s.ImagesPerSecond, "wait_fraction", s.WaitFraction, "embedding_std", s.Stats.EmbeddingStd, "left", s.Remaining.Round(time.Second))
}

// statistics are those of a step that a line has room for, and that the objective has.
func statistics(s train.Stats) string {
	var parts []string
	for _, f := range s.Shown() {
		if part := f.Line(f.Value); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// finish leaves the terminal on a line of its own, also where the training was stopped.
func (p *progress) finish() {
	if p.bar != nil && !p.bar.IsFinished() {
		_ = p.bar.Exit() // as above
		fmt.Fprintln(p.stderr)
	}
}
