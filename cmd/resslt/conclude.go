package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/torch"
)

// trained says whether an earlier session has made the last step: what it left to do is
// the evaluation, for which there need be neither broker nor run any more.
func (s *session) trained() bool { return s.resume != nil && s.resume.Step >= s.spec.Steps() }

// evaluateOnly goes on after the training of an earlier session.
func (s *session) evaluateOnly(ctx context.Context) error {
	order, err := pipeline.Order(&s.spec)
	if err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	rec := s.newRecord(order) // a session that was killed may have left it open
	if err := errors.Join(rec.begin(s.stderr, s.from()), rec.close()); err != nil {
		return err
	}
	s.monitor.at(trained)
	res, err := train.Run(ctx, train.Options{Recipe: s.recipe, Spec: &s.spec, Out: s.out, Resume: s.resume})
	if err != nil {
		return err
	}
	sum := &res.Summary
	sum.ChunksPublished = s.spec.Steps() * int64(s.spec.Chunks())
	was, err := train.ReadSummary(filepath.Join(s.out, "summary.json"))
	switch {
	case err == nil && was.StudentSHA256 == sum.StudentSHA256:
		sum.ImagesPerSecond, sum.DataWaitFraction = was.ImagesPerSecond, was.DataWaitFraction
		s.engineTier = was.EngineTier
		sum.ChunksRedelivered, sum.ChunksTombstoned = was.ChunksRedelivered, was.ChunksTombstoned
		sum.DigestMismatches, sum.SamplesReplaced = was.DigestMismatches, was.SamplesReplaced
	case err != nil && !errors.Is(err, errs.ErrNotFound): // it was killed before it wrote one
		res.Learner.Free()
		return err
	}
	return s.conclude(ctx, res)
}

// conclude writes the encoder, evaluates, and writes and prints the summary. The
// transport's counters are the caller's.
func (s *session) conclude(ctx context.Context, res *train.Result) error {
	defer res.Learner.Free()
	info := train.InfoOf(s.recipe, s.spec.EncoderSize())
	if err := train.SaveEncoder(filepath.Join(s.out, "encoder.safetensors"), res.Learner.Student().Backbone, info); err != nil {
		return err
	}
	sum := &res.Summary
	sum.Hardware, sum.EngineTier = hardware(s.recipe.Device), s.engineTier
	write := func() error {
		sum.WallSeconds = time.Since(s.began).Seconds()
		sum.PeakRSSBytes = peakRSS()
		return sum.Write(filepath.Join(s.out, "summary.json"))
	}
	if err := write(); err != nil { // before evaluation: a failure there costs nothing of this
		return err
	}
	if err := s.evaluate(ctx, res, info); err != nil {
		if ctx.Err() != nil {
			return errs.New("evaluate", s.out, "go on with --resume", errs.Because(errs.ErrInterrupted, "training is done and saved"))
		}
		return err
	}
	if err := write(); err != nil {
		return err
	}
	if err := writeReport(ctx, s.out); err != nil { // weights and summary are none the worse for it
		fmt.Fprintln(s.stderr, "warning: "+cli.Line(err))
	}
	printSummary(s.stdout, s.out, sum)
	if s.json {
		return json.NewEncoder(s.stdout).Encode(sum)
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

// peakRSS is the process's largest resident size in bytes.
func peakRSS() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return u.Maxrss // in bytes
	}
	return u.Maxrss << 10 // Linux and the BSDs count KiB
}
