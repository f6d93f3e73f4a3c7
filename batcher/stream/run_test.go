package stream

import (
	"fmt"
	"testing"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"
)

func TestRunIsWrittenOnce(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		spec := fixture.Spec()
		ctx := t.Context()
		_, err := runs.Lookup(ctx, js, "r")
		errstest.Want(t, err, errs.ErrNotFound, "r")
		openRun(t, js, spec, runs.Options{DataURI: "folder:here"})
		openRun(t, js, spec, runs.Options{DataURI: "folder:here", Window: 5}) // again, wider
		other := spec
		other.Seed, other.BatchSize = 9, 11
		_, err = runs.Open(ctx, js, "r", other, runs.Options{})
		errstest.Want(t, err, errs.ErrMismatch, "batch_size is 11, the broker's has 10", "seed is 9", "--run", "--fresh")
		if _, err := runs.Open(ctx, js, "r2", other, runs.Options{Storage: runs.StorageFile}); err != nil {
			t.Fatal(err)
		}
		_, err = runs.Open(ctx, js, "r2", other, runs.Options{})
		errstest.Want(t, err, errs.ErrMismatch, "storage")
		found, err := runs.List(ctx, js)
		if err != nil || len(found) != 2 || found[0].Name != "r" || found[0].Info.DataURI != "folder:here" || found[1].Options().Storage != runs.StorageFile {
			t.Fatalf("%+v, %v", found, err)
		}
		// Data that moved is found where the run was last opened with it, also
		// after a trainer that still has the old place has looked after the run.
		old := openRun(t, js, spec, runs.Options{DataURI: "folder:here", Window: 5})
		openRun(t, js, spec, runs.Options{DataURI: "folder:there", Window: 5})
		if err := old.Ensure(ctx); err != nil {
			t.Fatal(err)
		}
		if found, err = runs.List(ctx, js); err != nil || found[0].Info.DataURI != "folder:there" {
			t.Fatalf("data at %q, %v", found[0].Info.DataURI, err)
		}
		if found[0].Options().Window != 5 {
			t.Errorf("window %d, opened with 5", found[0].Options().Window)
		}
		for range 2 {
			err = runs.Delete(ctx, js, "r")
		}
		errstest.Want(t, err, errs.ErrNotFound, "r")
		if _, err := runs.Open(ctx, js, "r", other, runs.Options{}); err != nil {
			t.Fatal(err) // the name is free again
		}
	})
}

func TestOpenRunRefuses(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	bad := spec
	bad.BatchSize = 0
	for _, tc := range []struct {
		name string
		run  string
		spec schemas.RunSpec
		opts runs.Options
		text string
	}{
		{"name", "a.b", spec, runs.Options{}, "a.b"},
		{"spec", "r", bad, runs.Options{}, "batch_size"},
		{"storage", "r", spec, runs.Options{Storage: "tape"}, "tape"},
		{"window", "r", spec, runs.Options{Window: -1}, "negative"},
	} {
		_, err := runs.Open(t.Context(), js, tc.run, tc.spec, tc.opts)
		errstest.Want(t, err, errs.ErrUsage, tc.text)
	}
	run := openRun(t, js, spec, runs.Options{Window: 3})
	for text, o := range map[string]Options{"window": {Window: 4}, "from": {From: 13}, "trainer": {Trainer: "a b"}} {
		_, err := Open(t.Context(), run, fixture.StrideOrder{N: 47}, o)
		errstest.Want(t, err, errs.ErrUsage, text)
	}
	large := spec
	large.Views[0].Size, large.ChunkSamples = 1024, 3
	_, err := runs.Open(t.Context(), js, "large", large, runs.Options{})
	errstest.Want(t, err, errs.ErrTooLarge, "max_payload")
}

// A run that is deleted and opened again at once, as --fresh does: the broker may
// still be clearing the old stream's folder away.
func TestDeleteAndOpenAgain(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		for range 10 {
			openRun(t, js, fixture.Spec(), runs.Options{Storage: runs.StorageFile})
			if err := runs.Delete(t.Context(), js, "r"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A trainer that joins with a smaller window does not take the room of the one whose run
// it is; one with a larger window makes room for it.
func TestLimitIsNotLowered(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		spec := fixture.Spec()
		spec.Views[0].Size = 512 // so that windows differ by more than the slack
		limit := func(window, maxBytes int64) int64 {
			t.Helper()
			openRun(t, js, spec, runs.Options{Storage: runs.StorageFile, Window: window, MaxBytes: maxBytes})
			s, err := js.Stream(t.Context(), schemas.BatchStream("r"))
			if err != nil {
				t.Fatal(err)
			}
			return s.CachedInfo().Config.MaxBytes
		}
		of := func(window int64) int64 {
			t.Helper()
			run, err := runs.Open(t.Context(), js, fmt.Sprint("of", window), spec, runs.Options{Storage: runs.StorageFile, Window: window})
			if err != nil {
				t.Fatal(err)
			}
			return run.Options().MaxBytes
		}
		for _, tc := range []struct{ window, bytes, want int64 }{{8, 0, of(8)}, {2, 0, of(8)}, {20, 0, of(20)}, {20, 1 << 20, of(20)}} {
			if got := limit(tc.window, tc.bytes); got != tc.want {
				t.Errorf("opened with window %d, the limit is %d, want %d", tc.window, got, tc.want)
			}
		}
	})
}
