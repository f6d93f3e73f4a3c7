package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"
	"resslt/schemas"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// asked counts the requests to the broker under a subject.
func asked(t *testing.T, js jetstream.JetStream, subject string) *atomic.Int64 {
	t.Helper()
	n := new(atomic.Int64)
	if _, err := js.Conn().Subscribe(subject, func(*nats.Msg) { n.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	return n
}

// storeSpec stores a run's record, of which nobody is told.
func storeSpec(t *testing.T, js jetstream.JetStream, name string, spec schemas.RunSpec) {
	t.Helper()
	info, err := json.Marshal(&schemas.RunInfo{Spec: spec, Digest: spec.Digest()})
	if err == nil {
		_, err = js.Publish(t.Context(), schemas.SpecSubject(name), info)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A notice that comes before what it is about is not lost, though nobody looks for runs: a run
// that is made again under its name, and one that is new, are found a little later.
func TestNoticeTooEarly(t *testing.T) {
	t.Run("made again", func(t *testing.T) {
		t.Parallel()
		_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
		opened := make(chan string, 8)
		serve(t, js, worker.Options{Discover: time.Hour, Lull: time.Hour, Open: func(ctx context.Context, info *schemas.RunInfo) (produce.Source, error) {
			opened <- info.Digest
			return (&rig.HashSource{}).Opener(ctx, info)
		}})
		first, second := goodSpec(12, 1), goodSpec(12, 2)
		train(t, open(t, js, "r", first, runs.Options{}), stream.Options{})
		if got := <-opened; got != first.Digest() {
			t.Fatalf("it opens %s", got)
		}
		ctrl, err := js.Stream(t.Context(), schemas.CtrlStream("r"))
		if err == nil {
			err = ctrl.Purge(t.Context(), jetstream.WithPurgeSubject(schemas.SpecSubject("r")))
		}
		if err != nil {
			t.Fatal(err)
		}
		looks := asked(t, js, "$JS.API.DIRECT.GET.CTRL_r."+schemas.SpecSubject("r"))
		if _, err := js.Publish(t.Context(), schemas.OptionsSubject("r"), []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		until(t, "it looks, in vain", func() bool { return looks.Load() > 0 })
		storeSpec(t, js, "r", second)
		select {
		case got := <-opened:
			if got != second.Digest() {
				t.Errorf("it opens %s", got)
			}
		case <-time.After(20 * time.Second):
			t.Error("the notice was lost")
		}
	})
	t.Run("new", func(t *testing.T) {
		t.Parallel()
		nc, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
		lists := asked(t, js, "$JS.API.STREAM.NAMES")
		src := &rig.HashSource{}
		w, _ := serve(t, js, worker.Options{Discover: time.Hour, Lull: time.Hour, Open: src.Opener})
		until(t, "its first look", func() bool { return lists.Load() > 0 })
		before := lists.Load()
		until(t, "it looks, in vain", func() bool {
			if err := nc.Publish(schemas.OptionsSubject("r"), []byte(`{}`)); err != nil { // again, until it listens
				t.Fatal(err)
			}
			return lists.Load() > before
		})
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: schemas.CtrlStream("r"), Subjects: schemas.CtrlSubjects("r"), AllowDirect: true}); err != nil {
			t.Fatal(err)
		}
		storeSpec(t, js, "r", goodSpec(12, 1))
		until(t, "it is found", func() bool { return state(w, "r").Phase != "" })
	})
}

// Runs that sleep cost a worker nothing: no request when they are put to sleep, and no
// subscription.
func TestSleepingRunsCostNothing(t *testing.T) {
	t.Parallel()
	const n = 8
	b := rig.Launch(t, rig.Embedded(false))
	_, js := b.Connect(t)
	wc, wjs := b.Connect(t)
	w, _ := serve(t, wjs, worker.Options{Discover: time.Hour, Lull: 50 * time.Millisecond, Open: (&rig.HashSource{}).Opener})
	for i := range n {
		run := open(t, js, fmt.Sprint("r", i), goodSpec(12, i), runs.Options{SleepAfter: time.Nanosecond})
		if err := train(t, run, stream.Options{}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	// What comes behind all notices of those runs has come.
	open(t, js, "fence", goodSpec(12, 99), runs.Options{})
	until(t, "the fence", func() bool { return state(w, "fence").Phase == "serving" })
	until(t, "all sleep at the worker", func() bool {
		for i := range n {
			if state(w, fmt.Sprint("r", i)).Phase != "asleep" {
				return false
			}
		}
		return true
	})
	if got := wc.NumSubscriptions(); got >= n {
		t.Errorf("the worker has %d subscriptions, for %d runs that sleep", got, n)
	}
	before := wc.Stats().OutMsgs
	if slept, err := runs.Sweep(t.Context(), js, 0); err != nil || len(slept) != n {
		t.Fatalf("%q were put to sleep, %v", slept, err)
	}
	// What the worker hears after the notes it has asked for what they made it ask.
	open(t, js, "new", goodSpec(12, 100), runs.Options{})
	until(t, "the new run", func() bool { return state(w, "new").Phase == "serving" })
	got := wc.Stats().OutMsgs - before
	t.Logf("%d messages", got)
	if got > 3*n {
		t.Errorf("the worker sent %d messages when %d runs were put to sleep", got, n)
	}
}
