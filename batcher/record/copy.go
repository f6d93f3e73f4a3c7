package record

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

func sortedSteps(chunks map[int64]int) []int64 { return slices.Sorted(maps.Keys(chunks)) }

// isDamage: a chunk is not there, or not what was recorded; others may be.
func isDamage(err error) bool {
	return errors.Is(err, errs.ErrNotFound) || errors.Is(err, errs.ErrCorrupt) || errors.Is(err, errs.ErrMismatch) || errors.Is(err, errs.ErrTooLarge)
}

// Export writes the source's steps of a window into o.Dir, with pixels and log, sealed.
// Steps that the folder has are compared and left. progress, if not nil, is called for each
// step. It returns the source's ErrNotFound where it lacks one.
func Export(ctx context.Context, source Source, o Options, progress func(step int64)) (err error) {
	steps := o.Pixels
	o.From = steps.From
	undo, err := durable.Folder(o.Dir)
	if err != nil {
		return diskError(o.Dir, err)
	}
	r, err := New(o)
	if err != nil {
		undo()
		return err
	}
	defer func() {
		if err = errors.Join(err, r.Close()); err != nil {
			undo() // nothing is in it where the first chunk was not to be had
		}
	}()
	for step := steps.From; step < steps.To; step++ {
		for index := range source.Spec().Chunks() {
			c, err := source.Chunk(ctx, step, index)
			if err != nil {
				return err
			}
			if c.Tombstone != "" {
				why, _ := errs.CutHint(c.Tombstone)
				return errs.New("export", fmt.Sprintf("chunk %d of step %d", index, step), "choose the steps before it with --steps",
					errs.Because(errs.ErrTombstone, why))
			}
			if err := r.Chunk(ctx, c); err != nil {
				return err
			}
		}
		if err := r.Step(step); err != nil {
			return err
		}
		if progress != nil {
			progress(step)
		}
	}
	return nil
}

// Import publishes all chunks of a record into a run of the same spec, which is to be
// opened for file storage, and seals it. A chunk that is there already must be the same.
func Import(ctx context.Context, r *Folder, run *runs.Run, progress func(step int64)) error {
	if run.Info.Digest != r.Run.Digest {
		return errs.New("import", r.Dir, "choose another --run name", errs.Because(errs.ErrMismatch,
			fmt.Sprintf("the record is of run %.12s, the broker's of %.12s", r.Run.Digest, run.Info.Digest)))
	}
	enc := wire.NewEncoder(r.Spec())
	for _, step := range sortedSteps(r.Stored()) {
		for index := range r.Spec().Chunks() {
			c, err := r.Chunk(ctx, step, index)
			if err != nil {
				return err
			}
			if err := run.Store(ctx, enc, c, "import"); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(step)
		}
	}
	return run.Seal(ctx)
}

// RemakeOptions say what Remake makes.
type RemakeOptions struct {
	Every    int64            // every so-many-th step; at least 1
	Workers  int              // chunks made at once; at least 1
	Progress func(step int64) // called for each step, if not nil
}

// Remake makes chunks of the log again from the data, by Draw, and compares their digests.
// What differs is a problem of the report.
func (l *Ledger) Remake(ctx context.Context, r *Folder, data produce.Source, o RemakeOptions) error {
	type job struct {
		step  int64
		index int
	}
	jobs := make(chan job)
	var mu sync.Mutex // of the ledger
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(jobs)
		for step := l.report.From; step < l.report.To; step += o.Every {
			if o.Progress != nil {
				o.Progress(step)
			}
			for index := range l.spec.Chunks() {
				select {
				case jobs <- job{step, index}:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
		}
		return nil
	})
	for range o.Workers {
		g.Go(func() (err error) {
			maker, err := data.NewMaker()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, maker.Close()) }()
			enc, c := wire.NewEncoder(l.spec), wire.NewChunk(l.spec)
			for j := range jobs {
				was, err := r.Logged(j.step, j.index)
				if errors.Is(err, errs.ErrNotFound) {
					continue // missing, which the ledger says
				}
				if err != nil {
					return err
				}
				if err := produce.Chunk(gctx, l.spec, data.Order(), maker, enc, j.step, j.index, c); err != nil {
					return err
				}
				mu.Lock()
				l.report.Remade++
				if c.Digest != was.Digest {
					l.Problem("chunk %d of step %d was recorded with digest %.12s, made again it has %.12s", j.index, j.step, was.Digest, c.Digest)
				}
				mu.Unlock()
			}
			return nil
		})
	}
	return g.Wait()
}
