package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"resslt/batcher/produce"
	"resslt/batcher/record"
	"resslt/batcher/wire"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/session"
	"resslt/cmd/internal/sheet"
	"resslt/ingest"
	"resslt/schemas/errs"
)

// stepOptions are the flags of resslt inspect that look at a recorded step.
type stepOptions struct {
	record string
	step   int64
	slot   int
	broker access.Flags
}

func (o *stepOptions) register(f *pflag.FlagSet) {
	f.Int64Var(&o.step, "step", 0, "step of a recorded run to draw")
	f.StringVar(&o.record, "record", "", "where it was recorded: `folder` of a run, a recording or a kept batch, or stream:RUN")
	f.IntVar(&o.slot, "slot", 0, "with --step: first slot of the batch to draw")
	o.broker.Register(f, access.DefaultURL)
}

// runStep draws slots of a recorded step.
func (o *inspectOptions) runStep(c *cobra.Command) (err error) {
	s := &o.step
	if s.record == "" {
		return errs.New("", c.CommandPath(), "give --record FOLDER or stream:RUN", errs.Because(errs.ErrUsage, "--step without --record"))
	}
	if o.Count < 1 || o.Count > maxInspected {
		return errs.New("inspect", "--count", fmt.Sprintf("give 1 to %d", maxInspected), errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.Count)))
	}
	src, err := openStep(c, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	spec := &src.Run.Spec
	if s.step < 0 || s.step >= spec.Steps() || s.slot < 0 || s.slot >= spec.BatchSize {
		return errs.New("inspect", s.record, fmt.Sprintf("give a --step of 0 to %d and a --slot of 0 to %d", spec.Steps()-1, spec.BatchSize-1),
			errs.Because(errs.ErrUsage, fmt.Sprintf("step %d, slot %d", s.step, s.slot)))
	}
	var overrides []string
	if o.Data != "" {
		overrides = append(overrides, o.Data)
	}
	chunk, how, err := stepChunks(src.Recording, s.step, s.slot/spec.ChunkSamples, overrides, cli.Progress(c.ErrOrStderr(), "indexing"))
	if err != nil {
		return err
	}
	var rows []*image.RGBA
	var have *wire.Chunk
	for slot := s.slot; slot < min(s.slot+o.Count, spec.BatchSize); slot++ {
		if index := slot / spec.ChunkSamples; have == nil || have.Index != index {
			if have, err = chunk(c.Context(), s.step, index); err != nil {
				return err
			}
		}
		drawn, err := sheet.Slots(spec, have, slot%spec.ChunkSamples, 1)
		if err != nil {
			return err
		}
		for i := range drawn {
			rows = append(rows, drawn[i].Row(spec.Views))
		}
	}
	if err := writePNG(o.out, sheet.Stack(rows)); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s: step %d, slots %d to %d, %s\n", o.out, s.step, s.slot, s.slot+len(rows)-1, how)
	return nil
}

// openStep opens the step's recording: a kept batch in a run's folder comes before its log.
func openStep(c *cobra.Command, s *stepOptions) (*recordSource, error) {
	if kept := session.KeptBatch(s.record, strconv.FormatInt(s.step, 10)); cli.IsFile(kept) {
		r, err := session.OpenRecording("pixels", kept)
		if err != nil {
			return nil, err
		}
		return &recordSource{kept, r}, nil
	}
	return openRecordSource(c, &s.broker, s.record)
}

// chunkOf gives a chunk with its pixels.
type chunkOf func(ctx context.Context, step int64, index int) (*wire.Chunk, error)

// stepChunks chooses where a step's pixels come from: the recording, or its log and the data. The
// step has a chunk of that index in one of them.
func stepChunks(src *session.Recording, step int64, index int, overrides []string, indexing func(done, total int64)) (chunkOf, string, error) {
	if src.Stored != nil {
		return src.Stored.Chunk, "as the broker keeps it", nil
	}
	if !src.Log && src.Folder.Stored()[step] == src.Run.Spec.Chunks() {
		return src.Folder.Chunk, "as it was recorded", nil
	}
	if _, err := src.Folder.Logged(step, index); err != nil {
		return nil, "", err
	}
	run := src.Run
	return func(ctx context.Context, step int64, index int) (_ *wire.Chunk, err error) {
		data, err := pipeline.OpenSource(ctx, &run, overrides, ingest.Options{Warn: cli.Warn, Progress: indexing})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, data.Close()) }()
		return remake(ctx, src.Folder, data, src.Plans, step, index)
	}, "made again from the log, digests compared", nil
}

// remake makes a chunk of a log again, by the log's plans, and compares its digest.
func remake(ctx context.Context, log *record.Folder, data produce.Source, plans pipeline.Plans, step int64, index int) (*wire.Chunk, error) {
	data, err := pipeline.WithPlans(data, plans)
	if err != nil {
		return nil, err
	}
	maker, err := data.NewMaker()
	if err != nil {
		return nil, err
	}
	defer maker.Close()
	chunk := wire.NewChunk(log.Spec())
	if err := produce.Chunk(ctx, log.Spec(), data.Order(), maker, wire.NewEncoder(log.Spec()), step, index, chunk); err != nil {
		return nil, err
	}
	return chunk, log.Check().Chunk(ctx, chunk)
}
