package stream

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/link"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
)

// A broker that is killed in the middle, with its chunks in files or in memory,
// costs time and nothing else. A broker that lost even its disk is set up again.
func TestBrokerRestart(t *testing.T) {
	for _, tc := range []struct {
		name    string
		broker  *rig.Broker
		storage runs.Storage
		wipe    bool
	}{
		{"embedded file", rig.Embedded(true), runs.StorageFile, false},
		{"embedded memory", rig.Embedded(true), runs.StorageMemory, false},
		{"embedded wiped", rig.Embedded(true), runs.StorageMemory, true},
		{"separate file", rig.Separate(), runs.StorageFile, false},
		{"separate memory", rig.Separate(), runs.StorageMemory, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			b := rig.Launch(t, tc.broker)
			_, js := b.Connect(t)
			_, wjs := b.Connect(t)
			spec := fixture.Spec()
			src := &rig.HashSource{}
			run := openRun(t, js, spec, runs.Options{Storage: tc.storage, Window: 4, AckWait: 500 * time.Millisecond})
			farm.Start(t, wjs, src, worker.Options{Workers: 2}, "r")
			s := openStream(t, run, Options{Prefetch: 1})
			got := take(t, s, 3)
			b.Stop()
			time.Sleep(100 * time.Millisecond)
			if tc.wipe {
				b.Dir = t.TempDir()
			}
			b.Start(t, b)
			rig.Equal(t, append(got, take(t, s, spec.Steps())...), rig.Want(t, spec, src, 0, spec.Steps()))
			atEnd(t, s)
		})
	}
}

// A broker that stays away ends the stream with an error in good time.
func TestBrokerGone(t *testing.T) {
	b := rig.Launch(t, rig.Embedded(true))
	_, js := b.Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	src := &rig.HashSource{}
	f := farm.Start(t, js, src, worker.Options{Workers: 1}, "r")
	s := openStream(t, run, Options{BrokerTimeout: 300 * time.Millisecond, RepairAfter: 100 * time.Millisecond, Prefetch: 1})
	take(t, s, 1)
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	var err error
	for err == nil {
		_, err = s.Next(t.Context())
	}
	errstest.Want(t, err, errs.ErrUnavailable, "gave up after", "broker nats://"+b.Addr+" does not answer", "start the broker again", "--resume")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A worker that is killed with tasks in hand gives none back; the broker does, after
// the ack wait, unless the trainer is starved before, and has them given to another.
// One that is stopped gives its task back at once.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{true, false} {
		name := map[bool]string{true: "killed", false: "stopped"}[killed]
		t.Run(name, func(t *testing.T) {
			b := rig.Launch(t, rig.Embedded(false))
			_, js := b.Connect(t)
			wnc, wjs := b.Connect(t)
			spec := fixture.Spec()
			ackWait := 30 * time.Second
			if killed {
				ackWait = 400 * time.Millisecond
			}
			run := openRun(t, js, spec, runs.Options{AckWait: ackWait})
			held := make(chan struct{}, 64)
			stuck := &rig.HashSource{Before: func(ctx context.Context, _ wire.TaskRow) error {
				held <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}}
			f := farm.Start(t, wjs, stuck, worker.Options{Workers: 2, Grace: 10 * time.Millisecond}, "r")
			s := openStream(t, run, Options{})
			<-held
			<-held
			if killed {
				wnc.Close()
			}
			f.Stop() // of a killed worker: its goroutines, which reach nobody
			src := &rig.HashSource{}
			f2 := farm.Start(t, js, src, worker.Options{Workers: 2}, "r")
			rig.Equal(t, take(t, s, spec.Steps()), rig.Want(t, spec, src, 0, spec.Steps()))
			if err := f2.Stop(); err != nil { // it counts a chunk after it has published it
				t.Error(err)
			}
			if n := f2.Stats().Redelivered + s.Stats().Repaired; n < 2 || !killed && n != 2 {
				t.Errorf("%d tasks were given out again, want the 2 that were held", n)
			}
		})
	}
}

// Two workers that make one task: equal bytes are one chunk; unequal bytes stop
// the run, for the trainer and for whoever opens it later.
func TestPublishTwice(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{})
	msg := func(salt byte, worker string) *nats.Msg {
		src := &rig.HashSource{Spec: spec, Salt: salt}
		c := wire.NewChunk(&spec)
		if err := produce.Fill(t.Context(), &spec, src.Order(), &rig.HashMaker{Spec: &spec, Src: src}, wire.NewTask(&spec, src.Order(), 0, 1), c); err != nil {
			t.Fatal(err)
		}
		body, err := wire.NewEncoder(&spec).Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		return wire.ChunkMessage(run.Name, run.Info.Digest, 0, 1, body, "", worker)
	}
	for i, want := range []bool{true, false} {
		fresh, err := run.Publish(t.Context(), msg(0, "a"), 0, func() {})
		if err != nil || fresh != want {
			t.Fatalf("publish %d: %v, %v", i, fresh, err)
		}
	}
	_, err := run.Publish(t.Context(), msg(1, "b"), 0, func() {})
	errstest.Want(t, err, errs.ErrDeterminism, "b.r.0.1", "worker a", "worker b", "same build")

	// The same through workers: one lies in wait with other pixels. The stream
	// clears the queue as it begins, so the task that provokes it comes after.
	s := openStream(t, run, Options{})
	for s.Stats().Issued == 0 {
		time.Sleep(time.Millisecond)
	}
	m, err := wire.EncodeTask(run.Name, run.Info.Digest, wire.NewTask(&spec, fixture.StrideOrder{N: spec.Dataset.Samples}, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(js, worker.Options{Workers: 1, Open: (&rig.HashSource{Salt: 1}).Opener})
	if err != nil {
		t.Fatal(err)
	}
	errstest.Want(t, w.ServeRun(t.Context(), "r"), errs.ErrDeterminism, "b.r.0.1")
	if w.Stats().DigestMismatches != 1 {
		t.Errorf("%d mismatches counted", w.Stats().DigestMismatches)
	}
	for err = nil; err == nil; { // what was complete before the notice came is handed out
		_, err = s.Next(t.Context())
	}
	errstest.Want(t, err, errs.ErrDeterminism, "stopped by a worker", "b.r.0.1")
	s.Close()
	_, err = Open(t.Context(), run, fixture.StrideOrder{N: spec.Dataset.Samples}, Options{})
	errstest.Want(t, err, errs.ErrDeterminism, "--fresh")
}

// Chunks that are unusable are deleted and made again: of another spec, with
// flipped bits, too late. One that never comes right ends the stream.
func TestBadChunks(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{})
	good := wire.ChunkMessage(run.Name, run.Info.Digest, 0, 0, []byte("not Arrow"), "", "x")
	foreign := wire.ChunkMessage(run.Name, run.Info.Digest, 0, 1, []byte("other"), "", "x")
	foreign.Header.Set(schemas.HeaderSpec, "0123456789abcdef")
	flipped := wire.ChunkMessage(run.Name, run.Info.Digest, 1, 2, []byte("flipped"), "", "x")
	flipped.Header.Set(schemas.HeaderDigest, wire.Digest([]byte("flippea")))
	for _, m := range []*nats.Msg{good, foreign, flipped} {
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	src := &rig.HashSource{}
	farm.Start(t, js, src, worker.Options{Workers: 1}, "r")
	s := openStream(t, run, Options{})
	rig.Equal(t, take(t, s, 6), rig.Want(t, spec, src, 0, 6))
	if st := s.Stats(); st.DigestMismatches != 1 || st.Rejected != 2 {
		t.Errorf("%d mismatches and %d rejected chunks counted, want the flipped one and the 2 others", st.DigestMismatches, st.Rejected)
	}
	// A worker that was cut off publishes a chunk of a step that is over.
	if _, err := js.PublishMsg(t.Context(), wire.ChunkMessage(run.Name, run.Info.Digest, 2, 0, []byte("late"), "", "x")); err != nil {
		t.Fatal(err)
	}
	rig.Equal(t, take(t, s, spec.Steps()), rig.Want(t, spec, src, 6, spec.Steps()))
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		st, err := js.Stream(t.Context(), schemas.BatchStream("r"))
		if err == nil && st.CachedInfo().State.Msgs == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the late chunk stays: %+v, %v", st.CachedInfo().State, err)
		}
	}
}

func TestChunkThatNeverComesRight(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{})
	s := openStream(t, run, Options{})
	// A worker of another build answers every task for chunk 0 with rubbish.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_, _ = js.PublishMsg(ctx, wire.ChunkMessage(run.Name, run.Info.Digest, 0, 0, []byte("rubbish"), "", "x"))
			_ = link.Sleep(ctx, 5*time.Millisecond)
		}
	})
	_, err := s.Next(t.Context())
	cancel()
	wg.Wait()
	errstest.Want(t, err, errs.ErrMismatch, "b.r.0.0", "schema")
}

// Refusals name what does not fit, before any task is taken.
func TestWorkerRefuses(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{})
	s := openStream(t, run, Options{})
	src := &rig.HashSource{}
	w, err := worker.New(js, worker.Options{Open: src.Opener, Engines: []string{"turbo/1"}, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	errstest.Want(t, w.ServeRun(t.Context(), "r"), errs.ErrMismatch, `"hash/1"`, "turbo/1", "r")
	if src.Open.Load() != 0 {
		t.Error("the refused run's data was opened")
	}
	errstest.Want(t, w.ServeRun(t.Context(), "nobody"), errs.ErrNotFound, "nobody")

	other := &worker.Options{Workers: 1, Open: func(_ context.Context, rec *schemas.RunInfo) (produce.Source, error) {
		o := &rig.HashSource{Spec: rec.Spec}
		o.Spec.Dataset.Samples = 46 // another data set, so another order
		return o, nil
	}}
	if w, err = worker.New(js, *other); err != nil {
		t.Fatal(err)
	}
	errstest.Want(t, w.ServeRun(t.Context(), "r"), errs.ErrMismatch, "order", "same data set")

	// Serve continues with other runs, and says once what it refuses.
	var reports atomic.Int64
	f := farm.Start(t, js, src, worker.Options{Workers: 1, Engines: []string{"turbo/1"}, Report: func(error) { reports.Add(1) }}, "")
	time.Sleep(200 * time.Millisecond)
	if err := f.Stop(); err != nil || reports.Load() != 1 {
		t.Errorf("%v, %d reports", err, reports.Load())
	}
	farm.Start(t, js, src, worker.Options{Workers: 1}, "")
	rig.Equal(t, take(t, s, 2), rig.Want(t, spec, src, 0, 2))
}

// One worker serves several runs turn by turn, finds new ones and drops deleted.
func TestSeveralRuns(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	src := map[string]*rig.HashSource{}
	var mu sync.Mutex
	f := farm.Start(t, js, nil, worker.Options{Workers: 2, Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
		mu.Lock()
		defer mu.Unlock()
		s := &rig.HashSource{}
		src[rec.Digest] = s
		return s.Opener(ctx, rec)
	}}, "")
	streams := map[string]*Stream{}
	for i, name := range []string{"one", "two", "three"} {
		sp := spec
		sp.Seed = uint64(i)
		run, err := runs.Open(t.Context(), js, name, sp, runs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		streams[name] = openStream(t, run, Options{})
	}
	for name, s := range streams {
		rig.Equal(t, take(t, s, 5), rig.Want(t, spec, &rig.HashSource{}, 0, 5))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := runs.Delete(t.Context(), js, name); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	open := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(slices.Collect(maps.Values(src)), func(s *rig.HashSource) bool { return s.Open.Load() != 0 })
	}
	for open() && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(src) != 3 {
		t.Errorf("%d runs were served", len(src))
	}
	for _, s := range src {
		if s.Open.Load() != 0 {
			t.Errorf("%d makers or sources are open", s.Open.Load())
		}
	}
}

// A stream that is full holds workers back, and nothing is lost. The limit here is
// far under the window, which only a mistaken configuration does.
func TestFullStream(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	src := &rig.HashSource{}
	run := openRun(t, js, spec, runs.Options{Window: 6, MaxBytes: 40 << 10})
	farm.Start(t, js, src, worker.Options{Workers: 1}, "r")
	s := openStream(t, run, Options{Prefetch: 1})
	rig.Equal(t, take(t, s, spec.Steps()), rig.Want(t, spec, src, 0, spec.Steps()))
}

// What is consumed is purged while later chunks lie in the stream, not yet handed
// over. Those must come all the same, and without help: Debian's nats-server skips
// them if it is asked in the wrong way.
func TestPurgeKeepsTheRest(t *testing.T) {
	t.Parallel()
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		spec := fixture.Spec()
		spec.Epochs = 20
		src := &rig.HashSource{}
		run := openRun(t, js, spec, runs.Options{Window: 16})
		farm.Start(t, js, src, worker.Options{Workers: 2}, "r")
		s := openStream(t, run, Options{Prefetch: 1, RepairAfter: time.Minute})
		rig.Equal(t, take(t, s, spec.Steps()), rig.Want(t, spec, src, 0, spec.Steps()))
		if n := s.Stats().Repaired; n != 0 {
			t.Errorf("%d chunks had to be asked for again", n)
		}
	})
}
