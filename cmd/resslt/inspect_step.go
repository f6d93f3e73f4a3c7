package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"resslt/augment"
	"resslt/batcher/produce"
	"resslt/batcher/record"
	"resslt/batcher/wire"
	"resslt/cmd/internal/broker"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// stepOptions are the flags of resslt inspect that look at a recorded step.
type stepOptions struct {
	record string
	step   int64
	slot   int
	broker broker.Flags
}

func (o *stepOptions) register(f *pflag.FlagSet) {
	f.Int64Var(&o.step, "step", 0, "step of a recorded run to draw")
	f.StringVar(&o.record, "record", "", "where it was recorded: `folder` of a run, record or kept batch, or stream:RUN")
	f.IntVar(&o.slot, "slot", 0, "with --step: first slot of the batch to draw")
	o.broker.Register(f, broker.DefaultURL)
}

// titleWidth is the width of the cell that says which sample a row is of, pixels.
const titleWidth = 180

// runStep draws slots of a recorded step.
func (o *inspectOptions) runStep(c *cobra.Command) (err error) {
	s := &o.step
	if s.record == "" {
		return errs.New("", c.CommandPath(), "give --record FOLDER or stream:RUN", errs.Because(errs.ErrUsage, "--step without --record"))
	}
	if o.count < 1 || o.count > maxInspected {
		return errs.New("inspect", "--count", fmt.Sprintf("give 1 to %d", maxInspected), errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.count)))
	}
	src, err := openStep(c, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	spec := &src.run.Spec
	if s.step < 0 || s.step >= spec.Steps() || s.slot < 0 || s.slot >= spec.BatchSize {
		return errs.New("inspect", s.record, fmt.Sprintf("give a --step of 0 to %d and a --slot of 0 to %d", spec.Steps()-1, spec.BatchSize-1),
			errs.Because(errs.ErrUsage, fmt.Sprintf("step %d, slot %d", s.step, s.slot)))
	}
	chunk, how, err := o.chunks(c, src)
	if err != nil {
		return err
	}
	var rows []*image.RGBA
	var have *wire.Chunk
	for slot := s.slot; slot < min(s.slot+o.count, spec.BatchSize); slot++ {
		if index := slot / spec.ChunkSamples; have == nil || have.Index != index {
			if have, err = chunk(c.Context(), s.step, index); err != nil {
				return err
			}
		}
		row, err := stepRow(spec, have, slot%spec.ChunkSamples)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if err := writePNG(o.out, stack(rows)); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s: step %d, slots %d to %d, %s\n", o.out, s.step, s.slot, s.slot+len(rows)-1, how)
	return nil
}

// openStep opens what has the step: a kept batch in a run's folder goes before its record.
func openStep(c *cobra.Command, s *stepOptions) (*recordSource, error) {
	if kept := keptBatch(s.record, strconv.FormatInt(s.step, 10)); isFile(kept) {
		r, err := openReplay("pixels", kept)
		if err != nil {
			return nil, err
		}
		return &recordSource{kept, r, r.close}, nil
	}
	return openRecordSource(c, &s.broker, s.record)
}

// chunkOf gives a chunk with its pixels.
type chunkOf func(ctx context.Context, step int64, index int) (*wire.Chunk, error)

// chunks says where the step's pixels come from: the record, or its log and the data.
func (o *inspectOptions) chunks(c *cobra.Command, src *recordSource) (chunkOf, string, error) {
	if src.replay.stored != nil {
		return src.replay.stored.Chunk, "as the broker keeps it", nil
	}
	if !src.log && src.folder.Stored()[o.step.step] == src.run.Spec.Chunks() {
		return src.folder.Chunk, "as it was recorded", nil
	}
	if _, err := src.folder.Logged(o.step.step, o.step.slot/src.run.Spec.ChunkSamples); err != nil {
		return nil, "", err
	}
	var overrides []string
	if o.data != "" {
		overrides = append(overrides, o.data)
	}
	run := src.run
	return func(ctx context.Context, step int64, index int) (_ *wire.Chunk, err error) {
		data, err := pipeline.OpenSource(ctx, &run, overrides, ingest.Options{Progress: cli.Progress(c.ErrOrStderr(), "indexing")})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, data.Close()) }()
		return remake(ctx, src.folder, data, src.plans, step, index)
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

// stepRow draws one slot: which sample it is, then its views.
func stepRow(spec *schemas.RunSpec, c *wire.Chunk, i int) (*image.RGBA, error) {
	if c.Tombstone != "" {
		return nil, errs.New("inspect", fmt.Sprintf("chunk %d of step %d", c.Index, c.Step), "fix the data or the workers", errs.Because(errs.ErrTombstone, c.Tombstone))
	}
	title := fmt.Sprintf("step %d slot %d sample %d label %d", c.Step, c.Slots[i], c.Samples[i], c.Labels[i])
	if c.Reasons[i] != "" {
		title += fmt.Sprintf(" in the place of %d: %s", c.Planned[i], c.Reasons[i])
	}
	plans, pixels := make([]augment.Plan, len(spec.Views)), make([][]byte, len(spec.Views))
	for v, view := range spec.Views {
		var err error
		if plans[v], err = augment.ParsePlan(c.Plans[v][i]); err != nil {
			return nil, err
		}
		pixels[v] = c.Pixels[v][i*view.Bytes() : (i+1)*view.Bytes()]
	}
	cell := labelled(nil, titleWidth, wrap(title, titleWidth), ink)
	return beside(append([]*image.RGBA{cell}, viewCells(spec.Views, plans, pixels)...)), nil
}
