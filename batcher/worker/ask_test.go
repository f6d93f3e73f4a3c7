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
	"resslt/batcher/wire"
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

// A task that comes while no slot is free goes to another worker, and does not wait for its ack
// wait: idle slots have asked every run, and each may answer.
func TestTaskWithoutSlotGoesOn(t *testing.T) {
	t.Parallel()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	const n, window = 3, 2
	var streams []*stream.Stream
	for i := range n {
		run := open(t, js, fmt.Sprintf("r%d", i), goodSpec(8, i), runs.Options{Window: window, AckWait: time.Hour})
		streams = append(streams, train(t, run, stream.Options{}))
	}
	var hang atomic.Bool
	release := make(chan struct{})
	slow := &rig.HashSource{Before: func(ctx context.Context, _ wire.TaskRow) error {
		if hang.Load() {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}}
	begin := func(o worker.Options) *worker.Worker {
		o.SlowAfter, o.Grace = time.Hour, time.Second
		w, err := worker.New(js, o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan error, 1)
		go func() { done <- w.Serve(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return w
	}
	busy := begin(worker.Options{Workers: 1, Open: slow.Opener})
	spec := fixture.Spec()
	chunks := func(steps int) int64 { return int64(n * steps * spec.Chunks()) }
	until(t, "the window's chunks", func() bool { return busy.Stats().Chunks == chunks(window) })
	time.Sleep(200 * time.Millisecond) // its requests stand
	hang.Store(true)
	for _, s := range streams {
		rig.Take(t, s, 1)
	}
	free := begin(worker.Options{Workers: 2, Open: (&rig.HashSource{}).Opener})
	until(t, "all chunks but the one that hangs", func() bool { return free.Stats().Chunks == chunks(1)-1 })
	close(release)
	until(t, "the last chunk", func() bool { return busy.Stats().Chunks == chunks(window)+1 })
}
