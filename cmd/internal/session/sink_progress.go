package session

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

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
	bar  *cli.Bar // nil where there is no terminal
	last time.Time
}

func (p *progress) start(plan *Plan) {
	p.bar = cli.NewBar(p.stderr, plan.Spec.Steps(), plan.From())
}

func (p *progress) observe(s train.Progress) {
	loss, alpha, lr := fmt.Sprintf("loss %.4f", s.Stats.Loss), fmt.Sprintf("α %.2f", s.Alpha), fmt.Sprintf("lr %.4f", s.LR)
	rate, wait := fmt.Sprintf("%.0f img/s", s.ImagesPerSecond), fmt.Sprintf("wait %.0f%%", 100*s.WaitFraction)
	left := "left " + s.Remaining.Round(time.Second).String()
	if p.bar != nil {
		if s.Logged {
			p.bar.Tell(left, loss, rate, wait, alpha, lr)
		}
		p.bar.Set(s.Step)
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
	p.print(strings.Join([]string{fmt.Sprintf("step %d/%d epoch %.2f", s.Step, s.Steps, s.Epoch), loss, alpha, lr, rate, wait, statistics(s.Stats), left}, " "))
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
func (p *progress) finish() { p.bar.Close() }
