package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"resslt/batcher/assemble"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// giveUp leaves a request for a tombstone in the queue, as a killed trainer may.
func giveUp(t *testing.T, run *runs.Run, step int64, chunk int) (seq uint64) {
	t.Helper()
	m, err := wire.EncodeTask(run.Name, run.Info.Digest, wire.NewTask(run.Spec(), fixture.StrideOrder{N: run.Spec().Dataset.Samples}, step, chunk))
	if err != nil {
		t.Fatal(err)
	}
	m.Header.Set(schemas.HeaderGiveUp, "the disk was gone")
	ack, err := run.JetStream().PublishMsg(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// killed opens a stream and ends it without notice. Its lease has a term left.
func killed(t *testing.T, run *runs.Run) Options {
	t.Helper()
	o := Options{Trainer: "t", LeaseTerm: time.Second}
	kill(openStream(t, run, o))
	return o
}

// A trainer that takes over a killed one's name gets no tombstone that the other had requested,
// and that a worker publishes while the lease runs out.
func TestTakeOverOfAKilledTrainer(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		spec, src := fixture.Spec(), &rig.HashSource{}
		run := openRun(t, js, spec, runs.Options{Window: 3})
		o := killed(t, run)
		queue, err := js.Stream(t.Context(), schemas.TasksStream("r"))
		if err == nil {
			err = queue.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		giveUp(t, run, 0, 0)
		looks := make(chan *nats.Msg, 64) // at the lease that runs out
		if _, err := js.Conn().ChanSubscribe("$JS.API.DIRECT.GET.CTRL_r."+schemas.TrainerSubject("r", "t"), looks); err != nil {
			t.Fatal(err)
		}
		work := make(chan struct{})
		go func() {
			defer close(work)
			for range 2 {
				<-looks
			}
		}()
		worked := make(chan error, 1)
		wctx, stop := context.WithCancel(t.Context())
		w, err := worker.New(js, worker.Options{Workers: 2, Open: src.Opener})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-work
			worked <- w.ServeRun(wctx, "r")
		}()
		rig.Equal(t, take(t, openStream(t, run, o), 4), rig.Want(t, spec, src, 0, 4))
		stop()
		if err := <-worked; err != nil {
			t.Error(err)
		}
	})
}

// What a killed trainer left in the queue is gone when the next one's lease appears, by which
// workers begin; and what another live trainer has there stays.
func TestLeftTasksGoBeforeTheLease(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		run := openRun(t, js, fixture.Spec(), runs.Options{Window: 3})
		killed(t, run)
		left := giveUp(t, run, 9, 0)
		first := func() uint64 {
			s, err := js.Stream(t.Context(), schemas.TasksStream("r"))
			if err != nil {
				t.Error(err)
				return 0
			}
			return s.CachedInfo().State.FirstSeq
		}
		if _, err := lend(t, run, "t", time.Second); err != nil {
			t.Fatal(err)
		}
		if got := first(); got <= left {
			t.Errorf("the queue begins with task %d; %d was left", got, left)
		}
		kept := giveUp(t, run, 9, 1)
		if _, err := lend(t, run, "other", time.Second); err != nil {
			t.Fatal(err)
		}
		if got := first(); got != kept {
			t.Errorf("beside a live trainer the queue begins with task %d, want %d", got, kept)
		}
	})
}

// Of the trainers of a farm that open at about the same time few sweep it, one for each that
// begins before it has heard of another; and of the processes of one training, the first.
func TestFewTrainersSweep(t *testing.T) {
	t.Parallel()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	var sweeps atomic.Int64
	if _, err := js.Conn().Subscribe("$JS.API.STREAM.NAMES", func(*nats.Msg) { sweeps.Add(1) }); err != nil {
		t.Fatal(err)
	}
	run := openRun(t, js, fixture.Spec(), runs.Options{Window: 3})
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	const n = 10
	term := time.Second
	var streams []*Stream
	for i := range n {
		streams = append(streams, openStream(t, run, Options{Trainer: "t" + string(rune('a'+i)), LeaseTerm: term}))
	}
	second := openStream(t, run, Options{Trainer: "second", LeaseTerm: term, Part: assemble.Part{Index: 1, Of: 2}})
	// Each again, to its end.
	var wg sync.WaitGroup
	for _, s := range append(streams, second) {
		wg.Go(func() { s.sweep(t.Context()) })
	}
	wg.Wait()
	got := sweeps.Load()
	t.Logf("%d sweeps", got)
	if got < 1 || got > n/3 {
		t.Errorf("%d trainers swept %d times", n, got)
	}
	second.sweep(t.Context())
	later := openStream(t, run, Options{Trainer: "later", LeaseTerm: term})
	later.sweep(t.Context())
	if again := sweeps.Load(); again != got {
		t.Errorf("%d sweeps more within a minute", again-got)
	}
}
