package worker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"

	"github.com/nats-io/nats.go"
)

// A worker that waits for tasks leaves one request with each queue, however many its slots are,
// and the tasks that come are done at once.
func TestIdleWorkerAsksLittle(t *testing.T) {
	t.Parallel()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	const n, slots = 4, 8
	var streams []*stream.Stream
	for i := range n {
		run := open(t, js, fmt.Sprintf("r%d", i), goodSpec(8, i), runs.Options{Window: 4})
		streams = append(streams, train(t, run, stream.Options{}))
	}
	var asked atomic.Int64
	if _, err := js.Conn().Subscribe("$JS.API.CONSUMER.MSG.NEXT.>", func(*nats.Msg) { asked.Add(1) }); err != nil {
		t.Fatal(err)
	}
	src := &rig.HashSource{}
	w, err := worker.New(js, worker.Options{Workers: slots, Open: src.Opener})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx) }()
	small := fixture.Spec()
	// The window is made, and then the worker has nothing to do.
	window := int64(n * 4 * small.Chunks())
	until(t, "the window's chunks", func() bool { return w.Stats().Chunks == window })
	time.Sleep(200 * time.Millisecond)
	before := asked.Load()
	time.Sleep(time.Second)
	if got := asked.Load() - before; got > 3*n {
		t.Errorf("an idle worker of %d slots made %d requests in a second of %d runs", slots, got, n)
	}
	for _, s := range streams {
		rig.Take(t, s, 8)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := w.Stats(); got.Redelivered != 0 {
		t.Errorf("%d tasks were out before", got.Redelivered)
	}
}

// More workers than a queue has places for requests make its chunks all the same: those that
// have none wait.
func TestMoreWorkersThanPlaces(t *testing.T) {
	t.Parallel()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := goodSpec(8, 1)
	run := open(t, js, "r", spec, runs.Options{Window: 2, AckWait: 500 * time.Millisecond})
	// Others stand in nearly every place, and give up after a while.
	inbox := js.Conn().NewInbox()
	if _, err := js.Conn().SubscribeSync(inbox); err != nil {
		t.Fatal(err)
	}
	for range 512 {
		if err := js.Conn().PublishRequest("$JS.API.CONSUMER.MSG.NEXT.TASKS_r.workers", inbox, []byte(`{"batch":1,"expires":1000000000}`)); err != nil {
			t.Fatal(err)
		}
	}
	src := &rig.HashSource{}
	_, stop := serve(t, js, worker.Options{Open: src.Opener})
	s := train(t, run, stream.Options{RepairAfter: 100 * time.Millisecond})
	rig.Equal(t, rig.Take(t, s, 8), rig.Want(t, spec, src, 0, 8))
	if err := stop(); err != nil {
		t.Error(err)
	}
}
