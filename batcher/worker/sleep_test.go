package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"

	"github.com/nats-io/nats.go"
)

// A run that nobody trains falls asleep, its data are closed, and it wakes with its trainer:
// by the notice that it is opened, or where there is none, by the renewal of a lease.
func TestSleep(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reopen bool
	}{{"it is opened again", true}, {"a lease is renewed", false}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			src := &rig.HashSource{}
			w, _ := serve(t, js, worker.Options{Discover: time.Hour, Lull: 100 * time.Millisecond, Open: src.Opener})
			spec := goodSpec(12, 1)
			run := open(t, js, "r", spec, runs.Options{})
			s := train(t, run, stream.Options{})
			got := rig.Take(t, s, 4)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			until(t, "it falls asleep", func() bool { return state(w, "r").Phase == "asleep" && src.Open.Load() == 0 })
			if tc.reopen {
				run = open(t, js, "r", spec, runs.Options{})
			}
			s = train(t, run, stream.Options{From: 4})
			rig.Equal(t, append(got, rig.Take(t, s, 8)...), rig.Want(t, spec, src, 0, 12))
		})
	}
}

// Runs that had been left before the worker came are not even opened, whatever is in their queues; one
// that was just opened, and has no trainer yet, is.
func TestLeftRunsStayClosed(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := open(t, js, "left", goodSpec(12, 1), runs.Options{})
	if err := train(t, run, stream.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	publishTasks(t, js, run, 4)
	open(t, js, "new", goodSpec(12, 2), runs.Options{})
	opened := make(chan string, 8)
	w, _ := serve(t, js, worker.Options{Lull: time.Hour, Open: func(ctx context.Context, info *schemas.RunInfo) (produce.Source, error) {
		opened <- info.Digest
		return (&rig.HashSource{}).Opener(ctx, info)
	}})
	until(t, "both are met", func() bool { return state(w, "left").Phase == "asleep" && state(w, "new").Phase == "serving" })
	if first := <-opened; first == run.Info.Digest || len(opened) > 0 {
		t.Error("the run that was left was opened")
	}
}

// A worker whose makers hang for good ends all the same, and gives its tasks back: another makes
// them at once. What hangs while it opens does not keep it, either.
func TestStopsThoughItHangs(t *testing.T) {
	for _, uri := range []string{"make hangs", "make waits", "open hangs"} {
		t.Run(uri, func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			spec := goodSpec(8, 1)
			run := open(t, js, "r", spec, runs.Options{DataURI: uri, AckWait: 10 * time.Minute})
			s := train(t, run, stream.Options{RepairAfter: 10 * time.Minute})
			w, stop := serve(t, js, worker.Options{Open: newHouse(t).open, MakeTimeout: time.Hour, OpenTimeout: time.Hour})
			until(t, "it hangs", func() bool { s := state(w, "r"); return s.Aside > 0 || uri == "open hangs" && s.Phase == "opening" })
			if err := stop(); err != nil {
				t.Error(err)
			}
			src := &rig.HashSource{}
			serve(t, js, worker.Options{Open: src.Opener})
			rig.Equal(t, rig.Take(t, s, 8), rig.Want(t, spec, src, 0, 8))
		})
	}
}

// No more chunks of a run are in work than its limit says, over all workers.
func TestLimitOfARun(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := goodSpec(24, 1)
	var now, most atomic.Int64
	src := &rig.HashSource{Before: func(ctx context.Context, row wire.TaskRow) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return link.Sleep(ctx, pace)
	}}
	for range 3 { // of two slots each
		serve(t, js, worker.Options{Open: src.Opener})
	}
	s := train(t, open(t, js, "r", spec, runs.Options{MaxAckPending: 2}), stream.Options{})
	rig.Equal(t, rig.Take(t, s, 24), rig.Want(t, spec, &rig.HashSource{}, 0, 24))
	if n := most.Load(); n > 2 {
		t.Errorf("%d chunks were in work, the limit is 2", n)
	}
}

// What a run is opened with later counts for the workers that serve it: where its data is, after
// that was not found or while it hangs.
func TestOpenedAnew(t *testing.T) {
	for _, tc := range []struct {
		uri, phase string
		open       time.Duration // how long it may take
	}{
		{"open hangs", "quarantined", 0},
		{"open hangs", "opening", time.Hour},
		{"open waits", "opening", time.Hour},
		{"does not open", "quarantined", 0},
		{"fails", "quarantined", 0},
	} {
		t.Run(tc.uri+" "+tc.phase, func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			w, _ := serve(t, js, worker.Options{Discover: time.Hour, OpenTimeout: tc.open, Open: newHouse(t).open})
			spec := goodSpec(8, 1)
			run := open(t, js, "r", spec, runs.Options{DataURI: tc.uri})
			s := train(t, run, stream.Options{})
			until(t, "it is met", func() bool { return state(w, "r").Phase == tc.phase })
			open(t, js, "r", spec, runs.Options{DataURI: "good", Priority: 30})
			rig.Equal(t, rig.Take(t, s, 8), rig.Want(t, spec, &rig.HashSource{}, 0, 8))
		})
	}
}

// Heartbeats do not grow with the runs: ten in a period, but for those that say something new.
func TestBeatsOfManyRuns(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	const many = 20
	beats := make(chan string, 4096)
	sub, err := js.Conn().Subscribe("c.*.worker.*", func(m *nats.Msg) { beats <- m.Subject })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	src := &rig.HashSource{}
	w, _ := serve(t, js, worker.Options{Heartbeat: 500 * time.Millisecond, Open: src.Opener})
	for k := range many { // after it has begun: it is told of each
		open(t, js, "r"+string(rune('a'+k%26))+string(rune('a'+k/26)), goodSpec(8, k), runs.Options{})
	}
	until(t, "all are served", func() bool {
		return len(w.States()) == many && !slices.ContainsFunc(w.States(), func(s worker.State) bool { return s.Phase != "serving" })
	})
	for len(beats) > 0 {
		<-beats
	}
	var seen []string
	for len(seen) < many {
		seen = append(seen, <-beats)
	}
	// One after the other: each of them once before one comes again.
	slices.Sort(seen)
	if n := len(slices.Compact(seen)); n < many-3 {
		t.Errorf("%d heartbeats are of %d runs", many, n)
	}
}

// A worker that begins in a farm of many runs asks the broker about none of them, and serves those
// that are trained as soon as it hears their leases; a run that sleeps asks nothing, ever.
func TestManySleepingRunsCostNothing(t *testing.T) {
	broker := rig.Launch(t, rig.Embedded(false))
	_, js := broker.Connect(t)
	_, own := broker.Connect(t) // the worker's, which its requests' replies name
	inbox := own.Conn().NewRespInbox()
	inbox = inbox[:strings.LastIndexByte(inbox, '.')+1]
	const many = 20
	for k := range many {
		open(t, js, fmt.Sprintf("left%02d", k), goodSpec(8, k), runs.Options{})
	}
	spec := goodSpec(8, many)
	s := train(t, open(t, js, "live", spec, runs.Options{}), stream.Options{LeaseTerm: time.Second})
	var asked atomic.Int64
	sub, err := js.Conn().Subscribe("$JS.API.>", func(m *nats.Msg) {
		if strings.HasPrefix(m.Reply, inbox) && strings.Contains(m.Subject, "_left") {
			asked.Add(1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	src := &rig.HashSource{}
	w, _ := serve(t, own, worker.Options{Open: src.Opener})
	rig.Equal(t, rig.Take(t, s, 8), rig.Want(t, spec, src, 0, 8))
	if err := js.Conn().Flush(); err != nil { // the broker has given on what it was asked
		t.Fatal(err)
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests about runs that nobody trains", n)
	}
	for _, st := range w.States() {
		if st.Run != "live" && st.Phase != "asleep" {
			t.Errorf("%s is %s", st.Run, st.Phase)
		}
	}
}
