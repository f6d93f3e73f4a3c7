package session

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"resslt/batcher/record"
	"resslt/batcher/stream"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas"
)

// checking compares the batches with the log that is replayed.
func checking(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	rec := l.source.replays()
	if rec == nil || !rec.Log {
		return nil, nil
	}
	return &subscriber{batches: rec.Folder.Check()}, nil
}

// recording keeps the recipe log in OUT/record, pixels where the plan asks for them, and the
// batch of a step that diverged.
func recording(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	order, err := pipeline.Order(&l.plan.Spec)
	if err != nil {
		return nil, err
	}
	opts := record.Options{
		Dir: filepath.Join(l.plan.Out, record.Subfolder), Order: order, Pixels: l.plan.Pixels, From: l.plan.From(),
		Run:  schemas.RunInfo{Spec: l.plan.Spec, Digest: l.plan.Spec.Digest(), DataURI: l.plan.Recipe.Data},
		Warn: func(line string) { l.print("warning: " + line + "; the weights do not depend on it") },
	}
	r := &recorder{}
	return &subscriber{
		batches: r,
		started: func(context.Context) (err error) {
			if r.Recorder, err = record.New(opts); err != nil {
				return err
			}
			lacking := r.Lacking()
			for _, w := range lacking.Log {
				l.print(fmt.Sprintf("warning: the recipe log in %s lacks %s, as `resslt record verify` will report", opts.Dir, w))
			}
			for _, w := range lacking.Pixels {
				l.print(fmt.Sprintf("warning: the pixels in %s lack %s; they can be made again from the recipe log", opts.Dir, w))
			}
			return nil
		},
		saving: func() error { return r.Sync() },
		diverged: func(b *schemas.Batch) (string, error) {
			path := KeptBatch(l.plan.Out, strconv.FormatInt(b.Step, 10))
			return path, r.Keep(path, b)
		},
		close: r.close,
	}, nil
}

// recorder is a record.Recorder that is made when the run's files are in place.
type recorder struct{ *record.Recorder } // nil before

func (r *recorder) close() error {
	if r.Recorder == nil {
		return nil
	}
	return r.Close()
}

var _ stream.Recorder = (*recorder)(nil)
