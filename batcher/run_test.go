package batcher

import (
	"fmt"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
)

func TestRunIsWrittenOnce(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		spec := testSpec()
		ctx := t.Context()
		_, err := LookupRun(ctx, js, "r")
		wantErr(t, err, errs.ErrNotFound, "r")
		openRun(t, js, spec, RunOptions{DataURI: "folder:here"})
		openRun(t, js, spec, RunOptions{DataURI: "folder:here", Window: 5}) // again, wider
		other := spec
		other.Seed, other.BatchSize = 9, 11
		_, err = OpenRun(ctx, js, "r", other, RunOptions{})
		wantErr(t, err, errs.ErrMismatch, other.Digest()[:12], spec.Digest()[:12], "batch_size, seed", "--run", "--fresh")
		if _, err := OpenRun(ctx, js, "r2", other, RunOptions{Storage: StorageFile}); err != nil {
			t.Fatal(err)
		}
		_, err = OpenRun(ctx, js, "r2", other, RunOptions{})
		wantErr(t, err, errs.ErrMismatch, "storage")
		found, err := ListRuns(ctx, js)
		if err != nil || len(found) != 2 || found[0].Name != "r" || found[0].Record.DataURI != "folder:here" || found[1].opts.Storage != StorageFile {
			t.Fatalf("%+v, %v", found, err)
		}
		// Data that moved is found where the run was last opened with it, also
		// after a trainer that still has the old place has looked after the run.
		old := openRun(t, js, spec, RunOptions{DataURI: "folder:here", Window: 5})
		openRun(t, js, spec, RunOptions{DataURI: "folder:there", Window: 5})
		if err := old.Ensure(ctx); err != nil {
			t.Fatal(err)
		}
		if found, err = ListRuns(ctx, js); err != nil || found[0].Record.DataURI != "folder:there" {
			t.Fatalf("data at %q, %v", found[0].Record.DataURI, err)
		}
		if found[0].opts.Window != 5 {
			t.Errorf("window %d, opened with 5", found[0].opts.Window)
		}
		for range 2 {
			err = DeleteRun(ctx, js, "r")
		}
		wantErr(t, err, errs.ErrNotFound, "r")
		if _, err := OpenRun(ctx, js, "r", other, RunOptions{}); err != nil {
			t.Fatal(err) // the name is free again
		}
	})
}

func TestOpenRunRefuses(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	bad := spec
	bad.BatchSize = 0
	for _, tc := range []struct {
		name string
		run  string
		spec schemas.RunSpec
		opts RunOptions
		text string
	}{
		{"name", "a.b", spec, RunOptions{}, "a.b"},
		{"spec", "r", bad, RunOptions{}, "batch_size"},
		{"storage", "r", spec, RunOptions{Storage: "tape"}, "tape"},
		{"window", "r", spec, RunOptions{Window: -1}, "negative"},
	} {
		_, err := OpenRun(t.Context(), js, tc.run, tc.spec, tc.opts)
		wantErr(t, err, errs.ErrUsage, tc.text)
	}
	run := openRun(t, js, spec, RunOptions{Window: 3})
	for text, o := range map[string]StreamOptions{"window": {Window: 4}, "from": {From: 13}, "trainer": {Trainer: "a b"}} {
		_, err := OpenStream(t.Context(), run, strideOrder{47}, o)
		wantErr(t, err, errs.ErrUsage, text)
	}
	large := spec
	large.Views[0].Size, large.ChunkSamples = 1024, 3
	_, err := OpenRun(t.Context(), js, "large", large, RunOptions{})
	wantErr(t, err, errs.ErrTooLarge, "max_payload")
}

// A run that is deleted and opened again at once, as --fresh does: the broker may
// still be clearing the old stream's folder away.
func TestDeleteAndOpenAgain(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		for range 10 {
			openRun(t, js, testSpec(), RunOptions{Storage: StorageFile})
			if err := DeleteRun(t.Context(), js, "r"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A trainer that joins with a smaller window does not take the room of the one whose run
// it is; one with a larger window makes room for it.
func TestLimitIsNotLowered(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		spec := testSpec()
		spec.Views[0].Size = 512 // so that windows differ by more than the slack
		limit := func(window, maxBytes int64) int64 {
			t.Helper()
			openRun(t, js, spec, RunOptions{Storage: StorageFile, Window: window, MaxBytes: maxBytes})
			s, err := js.Stream(t.Context(), schemas.BatchStream("r"))
			if err != nil {
				t.Fatal(err)
			}
			return s.CachedInfo().Config.MaxBytes
		}
		of := func(window int64) int64 {
			t.Helper()
			run, err := OpenRun(t.Context(), js, fmt.Sprint("of", window), spec, RunOptions{Storage: StorageFile, Window: window})
			if err != nil {
				t.Fatal(err)
			}
			return run.opts.MaxBytes
		}
		for _, tc := range []struct{ window, bytes, want int64 }{{8, 0, of(8)}, {2, 0, of(8)}, {20, 0, of(20)}, {20, 1 << 20, of(20)}} {
			if got := limit(tc.window, tc.bytes); got != tc.want {
				t.Errorf("opened with window %d, the limit is %d, want %d", tc.window, got, tc.want)
			}
		}
	})
}
