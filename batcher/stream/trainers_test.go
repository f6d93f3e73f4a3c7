package stream

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// longSpec is testSpec with so many epochs of four steps.
func longSpec(epochs int64) schemas.RunSpec {
	spec := fixture.Spec()
	spec.Epochs = epochs
	return spec
}

// kill ends a stream's goroutines as a killed process would: without notice.
func kill(s *Stream) {
	s.closed.Do(func() {
		s.cancel()
		<-s.joined
	})
}

// isEmpty waits until the run's chunks and tasks are gone, with their streams.
func isEmpty(t *testing.T, run *runs.Run) {
	t.Helper()
	for _, name := range []string{schemas.BatchStream(run.Name), schemas.TasksStream(run.Name)} {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			_, err := run.JetStream().Stream(t.Context(), name)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s is still there, %v", name, err)
				break
			}
		}
	}
}

// Three trainers at three speeds get the same batches, each made once, and none is
// more than a window ahead of another.
func TestTrainersShareAStream(t *testing.T) {
	t.Parallel()
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, wjs := b.Connect(t)
		spec := longSpec(6)
		src := &rig.HashSource{}
		var streams []*Stream
		for i := range 3 {
			_, js := b.Connect(t)
			run := openRun(t, js, spec, runs.Options{Window: 4})
			streams = append(streams, openStream(t, run, Options{Trainer: fmt.Sprint("t", i)}))
		}
		w := farm.Start(t, wjs, src, worker.Options{Workers: 2}, "")
		all := rig.Want(t, spec, src, 0, spec.Steps())
		var wg sync.WaitGroup
		for i, s := range streams {
			wg.Go(func() {
				for step := range spec.Steps() {
					b, err := s.Next(t.Context())
					if err != nil {
						t.Errorf("trainer %d, step %d: %v", i, step, err)
						return
					}
					if got := rig.BatchDigest(b); got != all[step] {
						t.Errorf("trainer %d, step %d: batch %s, want %s", i, step, got, all[step])
					}
					b.Release()
					for j, other := range streams {
						if d := step - other.Stats().Next; d >= 4 {
							t.Errorf("trainer %d has step %d, %d is at %d", i, step, j, step-d)
						}
					}
					time.Sleep(time.Duration(i) * 8 * time.Millisecond)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// Word of another's asking may be late: then a chunk is asked for twice, and
		// found there, or discarded where its step is over.
		got, want := w.Stats().Chunks, spec.Steps()*int64(spec.Chunks())
		if again := got - want + w.Stats().Redelivered; got < want || again > want/10 {
			t.Errorf("%d chunks were published, want %d; %d were made again", got, want, again)
		}
		isEmpty(t, streams[0].run)
		states, err := streams[0].run.Trainers(t.Context())
		if err != nil || len(states) != 3 {
			t.Fatalf("trainers %+v, %v", states, err)
		}
		for _, s := range states {
			if !s.Left || s.Live || s.Cursor != spec.Steps() {
				t.Errorf("a trainer that closed: %+v", s)
			}
		}
	})
}

// A trainer that is killed holds the others for its term and no longer. It comes back
// at its checkpoint, long since purged, and gets its batches without holding the
// others up, which hold nothing back from it either.
func TestKilledTrainerComesBack(t *testing.T) {
	t.Parallel()
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		spec := longSpec(16)
		src := &rig.HashSource{}
		_, wjs := b.Connect(t)
		farm.Start(t, wjs, src, worker.Options{Workers: 2}, "")
		all := rig.Want(t, spec, src, 0, spec.Steps())
		open := func(name string, from int64) *Stream {
			_, js := b.Connect(t)
			return openStream(t, openRun(t, js, spec, runs.Options{Window: 4}), Options{From: from, Trainer: name, LeaseTerm: time.Second})
		}
		stays, dies := open("stays", 0), open("dies", 0)
		rig.Equal(t, take(t, dies, 2), all[:2])
		kill(dies)
		rig.Equal(t, take(t, stays, 5), all[:5]) // as far as the window lets it
		start := time.Now()
		rig.Equal(t, take(t, stays, 30), all[5:30])
		if d := time.Since(start); d > 4*time.Second {
			t.Errorf("a dead trainer held another up for %v", d)
		}
		back := open("dies", 2)
		var wg sync.WaitGroup
		wg.Go(func() {
			for step := int64(2); step < spec.Steps(); step++ {
				b, err := back.Next(t.Context())
				if err != nil {
					t.Errorf("the one that came back, step %d: %v", step, err)
					return
				}
				if got := rig.BatchDigest(b); got != all[step] {
					t.Errorf("the one that came back: batch %s, want %s", got, all[step])
				}
				b.Release()
			}
		})
		// It is further behind than a window, so nobody waits for it.
		start = time.Now()
		rig.Equal(t, take(t, stays, 34), all[30:34])
		if at := back.Stats().Next; at > 29 {
			t.Logf("the one that came back was already at %d", at)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("one that came back held another up for %v", d)
		}
		rig.Equal(t, take(t, stays, spec.Steps()), all[34:])
		wg.Wait()
		if err := stays.Close(); err != nil {
			t.Error(err)
		}
		if err := back.Close(); err != nil {
			t.Error(err)
		}
		isEmpty(t, stays.run)
	})
}

// A trainer that begins when another is half through gets every batch from the first
// on, and neither purges what the other needs.
func TestTrainerJoinsLate(t *testing.T) {
	t.Parallel()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := longSpec(10)
	src := &rig.HashSource{}
	run := openRun(t, js, spec, runs.Options{Window: 4})
	farm.Start(t, js, src, worker.Options{Workers: 2}, "")
	all := rig.Want(t, spec, src, 0, spec.Steps())
	first := openStream(t, run, Options{Trainer: "first"})
	rig.Equal(t, take(t, first, 20), all[:20])
	late := openStream(t, run, Options{Trainer: "late"})
	before := first.Stats().Repaired
	for step := int64(0); step < 24; step++ {
		rig.Equal(t, take(t, late, step+1), all[step:step+1])
		if step%8 == 7 { // the first continues meanwhile
			n := first.Stats().Next
			rig.Equal(t, take(t, first, n+1), all[n:n+1])
		}
	}
	// Side by side from here on.
	for n := late.Stats().Next; n < spec.Steps(); n++ {
		rig.Equal(t, take(t, late, n+1), all[n:n+1])
		if f := first.Stats().Next; f < spec.Steps() {
			rig.Equal(t, take(t, first, f+1), all[f:f+1])
		}
	}
	if n := first.Stats().Repaired - before; n > 0 {
		t.Errorf("%d of the first's chunks were lost to the late one", n)
	}
}

// A trainer that was cut off for longer than its lease, and is still alive, continues
// where it was: what was purged meanwhile is made again.
func TestTrainerIsCutOff(t *testing.T) {
	b := rig.Launch(t, rig.Embedded(true))
	spec := longSpec(10)
	src := &rig.HashSource{}
	_, wjs := b.Connect(t)
	farm.Start(t, wjs, src, worker.Options{Workers: 2}, "")
	all := rig.Want(t, spec, src, 0, spec.Steps())
	_, js := b.Connect(t)
	stays := openStream(t, openRun(t, js, spec, runs.Options{Window: 4}), Options{Trainer: "stays"})
	line := rig.NewCable(t, b.Addr)
	far := *b
	far.Addr = line.Addr
	_, fjs := far.Connect(t)
	cut := openStream(t, openRun(t, fjs, spec, runs.Options{Window: 4}), Options{Trainer: "cut", LeaseTerm: 500 * time.Millisecond, Prefetch: 1})
	rig.Equal(t, take(t, cut, 1), all[:1])
	line.Cut()
	rig.Equal(t, take(t, stays, 20), all[:20])
	line.Plug()
	rig.Equal(t, take(t, cut, 20), all[1:20])
	for n := int64(20); n < spec.Steps(); n++ {
		rig.Equal(t, take(t, cut, n+1), all[n:n+1])
		rig.Equal(t, take(t, stays, n+1), all[n:n+1])
	}
}
