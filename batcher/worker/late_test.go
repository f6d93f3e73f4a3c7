package worker

import (
	"context"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/wire"

	"github.com/nats-io/nats.go/jetstream"
)

// A task that comes when the worker has ended, behind its last heartbeat, goes to another worker
// at once, not after its ack wait.
func TestTaskAfterTheLastBeat(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run, err := runs.Open(t.Context(), js, "r", spec, runs.Options{AckWait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	src := &rig.HashSource{Spec: spec}
	w, err := New(js, Options{Workers: 1, Open: src.Opener})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.ServeRun(ctx, "r") }()
	var ws *workshop
	for deadline := time.Now().Add(20 * time.Second); ws == nil; time.Sleep(5 * time.Millisecond) {
		if bh := w.find("r"); bh != nil {
			ws = bh.open()
		}
		if time.Now().After(deadline) {
			t.Fatal("the run is not served")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	m, err := wire.EncodeTask("r", run.Info.Digest, wire.NewTask(&spec, fixture.StrideOrder{N: spec.Dataset.Samples}, 0, 0))
	if err == nil {
		_, err = js.PublishMsg(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	queue, err := js.Consumer(t.Context(), "TASKS_r", "workers")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := queue.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	w.lobby.arrived(ws, msg)
	again, err := queue.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		t.Fatalf("nobody gets the task: %v", err)
	}
	if n := newHand(again).deliveries(); n != 2 {
		t.Errorf("it is delivery %d", n)
	}
}
