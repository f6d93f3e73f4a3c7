package session

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/runreport"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/torch"
)

func (l *leader) summaryFile() string { return filepath.Join(l.plan.Out, "summary.json") }

// finish writes the encoder, evaluates, and writes and prints the summary.
func (l *leader) finish(ctx context.Context, res *train.Result, subs subscribers) error {
	defer res.Learner.Free()
	info := train.InfoOf(l.plan.Recipe, l.plan.Spec.EncoderSize())
	if err := train.SaveEncoder(filepath.Join(l.plan.Out, "encoder.safetensors"), res.Learner.Student().Backbone, info); err != nil {
		return err
	}
	sum := &res.Summary
	sum.Hardware = hardware(l.plan.Recipe.Device)
	l.summarize(ctx, sum)
	write := func() error {
		sum.WallSeconds = time.Since(l.began).Seconds()
		sum.PeakRSSBytes = cli.PeakRSS()
		return sum.Write(l.summaryFile())
	}
	if err := write(); err != nil { // before evaluation: a failure there costs nothing of this
		return err
	}
	if err := evaluate(ctx, l.console, l.plan.Recipe, res, info); err != nil {
		if ctx.Err() != nil {
			return errs.New("evaluate", l.plan.Out, "continue with --resume", errs.Because(errs.ErrInterrupted, "training is done and saved"))
		}
		return err
	}
	if err := write(); err != nil {
		return err
	}
	subs.finished(ctx)
	l.sayReplaced(ctx, "summary.json")
	printSummary(l.stdout, l.plan.Out, sum)
	if l.opts.JSON {
		return json.NewEncoder(l.stdout).Encode(sum)
	}
	return nil
}

// hardware names what the run was trained on, for people.
func hardware(device string) string {
	name := cli.Processor()
	dev, err := torch.ParseDevice(device)
	if err != nil || dev.Type != torch.DeviceCUDA {
		return name
	}
	if info, err := torch.Info(); err == nil && dev.Index < len(info.CUDA) {
		name += "; " + info.CUDA[dev.Index].Name
	}
	return name
}

// printScores prints the probes' scores, of the trained encoder and of the one that training began
// with, where that one was scored.
func printScores(w io.Writer, s *train.Summary) {
	before := "untrained"
	if s.Init != "" {
		before = "initial"
	}
	fmt.Fprintf(w, "%-16s %9s %9s\n", "top-1, %", before, "trained")
	row := func(name string, before, after *float64) {
		switch {
		case after == nil:
		case before == nil:
			fmt.Fprintf(w, "%-16s %9s %9.2f\n", name, "–", *after)
		default:
			fmt.Fprintf(w, "%-16s %9.2f %9.2f\n", name, *before, *after)
		}
	}
	var was train.Scores
	if s.Untrained != nil {
		was = *s.Untrained
	}
	for _, k := range slices.Sorted(maps.Keys(s.Trained.KNN)) {
		var before *float64
		if b, ok := was.KNN[k]; ok {
			before = &b
		}
		a := s.Trained.KNN[k]
		row("kNN "+k, before, &a)
	}
	row("linear", was.LinearTop1, s.Trained.LinearTop1)
}

func printSummary(w io.Writer, out string, s *train.Summary) {
	fmt.Fprintf(w, "%s: %d steps of %d images, final loss %.4f, %.0f images/s, %.1f %% of it waiting, %.0f s\n",
		s.Recipe, s.Steps, s.BatchSize, s.FinalLoss, s.ImagesPerSecond, 100*s.DataWaitFraction, s.TrainSeconds)
	if s.Trained != nil {
		printScores(w, s)
	}
	fmt.Fprintf(w, "student %s\nsummary %s\nreport  %s\n", s.StudentSHA256, filepath.Join(out, "summary.json"), filepath.Join(out, runreport.File))
}
