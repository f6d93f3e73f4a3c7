package batcher

import (
	"testing"

	"resslt/schemas"
)

// A recording is read, and takes nothing more: neither chunks nor trainers.
func TestSealedRun(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		spec, src := testSpec(), &hashSource{}
		o := RunOptions{Storage: StorageFile, MaxBytes: RecordingBytes(&spec)}
		run := openRun(t, js, spec, o)
		startWorker(t, js, src, WorkerOptions{Workers: 2}, "r")
		s := openStream(t, run, StreamOptions{Keep: -1})
		take(t, s, spec.Steps())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := run.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		run, err := LookupRun(t.Context(), js, "r")
		if err != nil {
			t.Fatal(err)
		}
		stored, err := run.Stored(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps, size, err := stored.Steps(t.Context())
		if err != nil || int64(len(steps)) != spec.Steps() || steps[3] != spec.Chunks() || size == 0 || !stored.Sealed() {
			t.Fatalf("%v, %d bytes, sealed %v, %v", steps, size, stored.Sealed(), err)
		}
		c, err := stored.Chunk(t.Context(), 3, 1)
		if err != nil || c.Step != 3 || c.Index != 1 || c.Rows() != 4 {
			t.Fatalf("%+v, %v", c, err)
		}
		_, err = stored.Chunk(t.Context(), 3, 7)
		wantErr(t, err, schemas.ErrNotFound, "resslt record ls")
		// What is there is there: the same chunk is a success, another is not taken.
		if err := run.Store(t.Context(), NewEncoder(&spec), c, "test"); err != nil {
			t.Fatal(err)
		}
		c.Digest, c.Pixels[0][0] = "", c.Pixels[0][0]+1
		wantErr(t, run.Store(t.Context(), NewEncoder(&spec), c, "test"), schemas.ErrDeterminism)
		_, err = OpenRun(t.Context(), js, "r", spec, o)
		wantErr(t, err, schemas.ErrMismatch, "--replay")
	})
}
