package worker

import (
	"context"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/stream"

	"github.com/nats-io/nats.go/jetstream"
)

// start has a worker serve run "r" until the end of the test.
func start(t *testing.T, js jetstream.JetStream, src *rig.HashSource) *Worker {
	t.Helper()
	w, err := New(js, Options{Workers: 1, Open: src.Opener, Grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.ServeRun(ctx, "r") }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// A task that comes when its run was just dropped goes back at once, for others.
func TestTaskOfADroppedRun(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec, src := fixture.Spec(), &rig.HashSource{}
	run, err := runs.Open(t.Context(), js, "r", spec, runs.Options{AckWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, js, src)
	for len(f.known()) == 0 || f.known()[0].open() == nil {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond) // its pull waits at the broker
	f.drop(f.known()[0])
	src.Spec = spec
	s, err := stream.Open(t.Context(), run, src.Order(), stream.Options{RepairAfter: time.Minute, StallTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for s.Stats().Issued < spec.Steps()*int64(spec.Chunks()) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // it has one
	start(t, js, src)
	start := time.Now()
	rig.Equal(t, rig.Take(t, s, spec.Steps()), rig.Want(t, spec, src, 0, spec.Steps()))
	if d := time.Since(start); d > 5*time.Second || s.Stats().Repaired > 0 {
		t.Errorf("a task was kept for %v", d)
	}
}
