package worker_test

import (
	"encoding/json"
	"testing"
	"time"

	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// A run that is deleted and opened with another spec is served by that, though nobody looks
// for new runs: by the notice, or by its tasks.
func TestRunMadeAgain(t *testing.T) {
	other := goodSpec(8, 2)
	replace := func(t *testing.T, js jetstream.JetStream) *runs.Run {
		t.Helper()
		ctrl, err := js.Stream(t.Context(), schemas.CtrlStream("r"))
		if err != nil {
			t.Fatal(err)
		}
		if err := ctrl.Purge(t.Context(), jetstream.WithPurgeSubject(schemas.SpecSubject("r"))); err != nil {
			t.Fatal(err)
		}
		info, err := json.Marshal(&schemas.RunInfo{Spec: other, Digest: other.Digest()})
		if err == nil {
			_, err = js.Publish(t.Context(), schemas.SpecSubject("r"), info)
		}
		if err != nil {
			t.Fatal(err)
		}
		run, err := runs.Lookup(t.Context(), js, "r")
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	for name, again := range map[string]func(*testing.T, jetstream.JetStream) *runs.Run{
		"a notice": func(t *testing.T, js jetstream.JetStream) *runs.Run {
			if err := runs.Delete(t.Context(), js, "r"); err != nil {
				t.Fatal(err)
			}
			return open(t, js, "r", other, runs.Options{AckWait: time.Second})
		},
		"no notice": replace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			src := &rig.HashSource{}
			serve(t, js, worker.Options{Discover: time.Hour, Lull: time.Hour, Open: src.Opener})
			s := train(t, open(t, js, "r", goodSpec(12, 1), runs.Options{AckWait: time.Second}), stream.Options{})
			rig.Take(t, s, 4)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			run := again(t, js)
			// No stream is opened: that would be another notice.
			lease := `{"id":"x","trainer":"t","term":600000000000,"window":8}`
			if _, err := js.Publish(t.Context(), schemas.TrainerSubject("r", "t"), []byte(lease)); err != nil {
				t.Fatal(err)
			}
			publishTasks(t, js, run, 8)
			until(t, "its chunks are made", func() bool {
				n, err := run.Buffered(t.Context(), 0, 8)
				return err == nil && n == 8
			})
		})
	}
}
