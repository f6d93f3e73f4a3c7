package worker

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// A worker that has no others beside it ends its run with what its store says, at once where
// no try can cure it. Data that changed refuse the run in any case.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	denied := fmt.Errorf("%w: %w", errs.ErrUnavailable, fs.ErrPermission)
	for _, tc := range []struct {
		name   string
		cause  error
		giveUp time.Duration
	}{
		{"missing", errs.ErrNotFound, time.Hour},
		{"denied", denied, time.Hour},
		{"changed", errs.ErrMismatch, time.Hour},
		{"changed, with others", errs.ErrMismatch, 0},
		{"cut off", errs.ErrCorrupt, time.Hour},
		{"away for long", errs.ErrUnavailable, time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			spec := fixture.Spec()
			src := &rig.HashSource{Spec: spec, Before: func(context.Context, wire.TaskRow) error {
				return errs.New("read sample", "s3://bucket/train-0.tar", "renew it", tc.cause)
			}}
			run, err := runs.Open(t.Context(), js, "r", spec, runs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := stream.Open(t.Context(), run, src.Order(), stream.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			w, err := New(js, Options{Workers: 2, Open: src.Opener, GiveUp: tc.giveUp})
			if err != nil {
				t.Fatal(err)
			}
			errstest.Want(t, w.ServeRun(t.Context(), "r"), tc.cause, "s3://bucket/train-0.tar", "renew it")
		})
	}
}

// With others beside it, it waits: and the trainer's end of patience has its words.
func TestStallSaysTroubles(t *testing.T) {
	t.Parallel()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	src := &rig.HashSource{Spec: spec, Before: func(context.Context, wire.TaskRow) error {
		return errs.New("read sample", "s3://bucket/train-0.tar", "renew it", errs.ErrUnavailable)
	}}
	run, err := runs.Open(t.Context(), js, "r", spec, runs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, js, src)
	for {
		beats, err := run.Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(beats) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s, err := stream.Open(t.Context(), run, src.Order(), stream.Options{StallTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Next(t.Context())
	errstest.Want(t, err, errs.ErrUnavailable, "did not come", "s3://bucket/train-0.tar", "renew it")
}
