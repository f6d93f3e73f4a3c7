package produce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// A fault is returned, whatever it wraps; only a BadSample has its sample replaced.
func TestFaultsAreNoBadSamples(t *testing.T) {
	corrupt := errs.Because(errs.ErrCorrupt, "not an image")
	for _, tc := range []struct {
		name string
		err  error
		bad  bool
	}{
		{"a bad sample", schemas.NewBadSample("decode", "x.jpg", "remove it", corrupt), true},
		{"a bad sample, wrapped", fmt.Errorf("render: %w", schemas.NewBadSample("decode", "x.jpg", "", corrupt)), true},
		{"corrupt", errs.New("read sample", "s3://b/x.tar", "fetch it again", corrupt), false},
		{"too large", errs.New("read sample", "s3://b/x.tar", "", errs.Because(errs.ErrTooLarge, "a page")), false},
		{"unsupported", errs.New("read sample", "https://h/x.tar", "", errs.Because(errs.ErrUnsupported, "no ranges")), false},
		{"mismatch", errs.Because(errs.ErrMismatch, "another ETag"), false},
		{"missing", fs.ErrNotExist, false},
		{"denied", fs.ErrPermission, false},
		{"cut short", io.ErrUnexpectedEOF, false},
		{"a forged one", &schemas.BadSample{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := fixture.Spec()
			calls := 0
			src := &rig.HashSource{Spec: spec, Before: func(context.Context, wire.TaskRow) error {
				if calls++; calls == 1 {
					return tc.err
				}
				return nil
			}}
			maker, err := src.NewMaker()
			if err != nil {
				t.Fatal(err)
			}
			c := wire.NewChunk(&spec)
			err = produce.Fill(t.Context(), &spec, src.Order(), maker, wire.NewTask(&spec, src.Order(), 0, 0), c)
			if !tc.bad {
				if !errors.Is(err, tc.err) {
					t.Errorf("got %v, want the fault itself", err)
				}
				return
			}
			if err != nil || c.Reasons[0] != "corrupt: not an image" || c.Samples[0] == c.Planned[0] {
				t.Errorf("%v; reason %q, sample %d for %d", err, c.Reasons[0], c.Samples[0], c.Planned[0])
			}
		})
	}
}
