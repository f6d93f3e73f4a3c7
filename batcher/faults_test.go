package batcher

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// A broker that is killed in the middle, with its chunks in files or in memory,
// costs time and nothing else. A broker that lost even its disk is set up again.
func TestBrokerRestart(t *testing.T) {
	for _, tc := range []struct {
		name    string
		broker  *testBroker
		storage Storage
		wipe    bool
	}{
		{"embedded file", embedded(true), StorageFile, false},
		{"embedded memory", embedded(true), StorageMemory, false},
		{"embedded wiped", embedded(true), StorageMemory, true},
		{"separate file", separate(), StorageFile, false},
		{"separate memory", separate(), StorageMemory, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			b := launch(t, tc.broker)
			_, js := b.connect(t)
			_, wjs := b.connect(t)
			spec := testSpec()
			src := &hashSource{}
			run := openRun(t, js, spec, RunOptions{Storage: tc.storage, Window: 4, AckWait: 500 * time.Millisecond})
			startWorker(t, wjs, src, WorkerOptions{Workers: 2}, "r")
			s := openStream(t, run, StreamOptions{Prefetch: 1})
			got := take(t, s, 3)
			b.stop()
			time.Sleep(100 * time.Millisecond)
			if tc.wipe {
				b.dir = t.TempDir()
			}
			b.start(t, b)
			equal(t, append(got, take(t, s, spec.Steps())...), want(t, spec, src, 0, spec.Steps()))
			atEnd(t, s)
		})
	}
}

// A broker that stays away ends the stream with an error in good time.
func TestBrokerGone(t *testing.T) {
	b := launch(t, embedded(true))
	_, js := b.connect(t)
	run := openRun(t, js, testSpec(), RunOptions{})
	src := &hashSource{}
	f := startWorker(t, js, src, WorkerOptions{Workers: 1}, "r")
	s := openStream(t, run, StreamOptions{BrokerTimeout: 300 * time.Millisecond, RepairAfter: 100 * time.Millisecond, Prefetch: 1})
	take(t, s, 1)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	b.stop()
	var err error
	for err == nil {
		_, err = s.Next(t.Context())
	}
	wantErr(t, err, errs.ErrUnavailable, "gave up after", "broker nats://"+b.addr+" does not answer", "start the broker again", "--resume")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A worker that is killed with tasks in hand gives none back; the broker does, after
// the ack wait, unless the trainer goes hungry before, and has them given to another.
// One that is told to stop gives its task back at once.
func TestWorkerDies(t *testing.T) {
	for _, killed := range []bool{true, false} {
		name := map[bool]string{true: "killed", false: "stopped"}[killed]
		t.Run(name, func(t *testing.T) {
			b := launch(t, embedded(false))
			_, js := b.connect(t)
			wnc, wjs := b.connect(t)
			spec := testSpec()
			ackWait := 30 * time.Second
			if killed {
				ackWait = 400 * time.Millisecond
			}
			run := openRun(t, js, spec, RunOptions{AckWait: ackWait})
			held := make(chan struct{}, 64)
			stuck := &hashSource{before: func(ctx context.Context, _ TaskRow) error {
				held <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}}
			f := startWorker(t, wjs, stuck, WorkerOptions{Workers: 2, Grace: 10 * time.Millisecond}, "r")
			s := openStream(t, run, StreamOptions{})
			<-held
			<-held
			if killed {
				wnc.Close()
			}
			f.stop() // of a killed worker: its goroutines, which reach nobody
			src := &hashSource{}
			f2 := startWorker(t, js, src, WorkerOptions{Workers: 2}, "r")
			equal(t, take(t, s, spec.Steps()), want(t, spec, src, 0, spec.Steps()))
			if n := f2.Stats().Redelivered + s.Stats().Repaired; n < 2 || !killed && n != 2 {
				t.Errorf("%d tasks were given out again, want the 2 that were held", n)
			}
		})
	}
}

// Two workers that make one task: equal bytes are one chunk; unequal bytes stop
// the run, for the trainer and for whoever opens it later.
func TestPublishTwice(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	run := openRun(t, js, spec, RunOptions{})
	msg := func(salt byte, worker string) *nats.Msg {
		src := &hashSource{spec: spec, salt: salt}
		c := NewChunk(&spec)
		if err := fillChunk(t.Context(), &spec, src.Order(), &hashMaker{&spec, src}, NewTask(&spec, src.Order(), 0, 1), c); err != nil {
			t.Fatal(err)
		}
		body, err := NewEncoder(&spec).Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		return chunkMessage(run.Name, run.Record.Digest, 0, 1, body, "", worker)
	}
	for i, want := range []published{publishedNew, publishedTwin} {
		how, err := publishOnce(t.Context(), run, msg(0, "a"), func() {})
		if err != nil || how != want {
			t.Fatalf("publish %d: %v, %v", i, how, err)
		}
	}
	_, err := publishOnce(t.Context(), run, msg(1, "b"), func() {})
	wantErr(t, err, errs.ErrDeterminism, "b.r.0.1", "worker a", "worker b", "same build")

	// The same through workers: one lies in wait with other pixels. The stream
	// clears the queue as it begins, so the task that provokes it comes after.
	s := openStream(t, run, StreamOptions{})
	for s.Stats().Issued == 0 {
		time.Sleep(time.Millisecond)
	}
	m, err := EncodeTask(run.Name, run.Record.Digest, NewTask(&spec, strideOrder{spec.Dataset.Samples}, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w, err := NewWorker(js, WorkerOptions{Workers: 1, Open: (&hashSource{salt: 1}).opener})
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, w.ServeRun(t.Context(), "r"), errs.ErrDeterminism, "b.r.0.1")
	if w.Stats().DigestMismatches != 1 {
		t.Errorf("%d mismatches counted", w.Stats().DigestMismatches)
	}
	for err = nil; err == nil; { // what was complete before the notice came is handed out
		_, err = s.Next(t.Context())
	}
	wantErr(t, err, errs.ErrDeterminism, "stopped by a worker", "b.r.0.1")
	s.Close()
	_, err = OpenStream(t.Context(), run, strideOrder{spec.Dataset.Samples}, StreamOptions{})
	wantErr(t, err, errs.ErrDeterminism, "--fresh")
}

// Chunks that are of no use are deleted and made again: of another spec, with
// flipped bits, too late. One that never comes right ends the stream.
func TestBadChunks(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	run := openRun(t, js, spec, RunOptions{})
	good := chunkMessage(run.Name, run.Record.Digest, 0, 0, []byte("not Arrow"), "", "x")
	foreign := chunkMessage(run.Name, run.Record.Digest, 0, 1, []byte("other"), "", "x")
	foreign.Header.Set(schemas.HeaderSpec, "0123456789abcdef")
	flipped := chunkMessage(run.Name, run.Record.Digest, 1, 2, []byte("flipped"), "", "x")
	flipped.Header.Set(schemas.HeaderDigest, digest([]byte("flippea")))
	for _, m := range []*nats.Msg{good, foreign, flipped} {
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	src := &hashSource{}
	startWorker(t, js, src, WorkerOptions{Workers: 1}, "r")
	s := openStream(t, run, StreamOptions{})
	equal(t, take(t, s, 6), want(t, spec, src, 0, 6))
	if st := s.Stats(); st.DigestMismatches != 1 || st.Rejected != 2 {
		t.Errorf("%d mismatches and %d rejected chunks counted, want the flipped one and the 2 others", st.DigestMismatches, st.Rejected)
	}
	// A worker that was cut off publishes a chunk of a step that is over.
	if _, err := js.PublishMsg(t.Context(), chunkMessage(run.Name, run.Record.Digest, 2, 0, []byte("late"), "", "x")); err != nil {
		t.Fatal(err)
	}
	equal(t, take(t, s, spec.Steps()), want(t, spec, src, 6, spec.Steps()))
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
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	run := openRun(t, js, spec, RunOptions{})
	s := openStream(t, run, StreamOptions{})
	// A worker of another build answers every task for chunk 0 with rubbish.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_, _ = js.PublishMsg(ctx, chunkMessage(run.Name, run.Record.Digest, 0, 0, []byte("rubbish"), "", "x"))
			_ = sleep(ctx, 5*time.Millisecond)
		}
	})
	_, err := s.Next(t.Context())
	cancel()
	wg.Wait()
	wantErr(t, err, errs.ErrMismatch, "b.r.0.0", "schema")
}

// Refusals name what does not fit, before any task is taken.
func TestWorkerRefuses(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	run := openRun(t, js, spec, RunOptions{})
	s := openStream(t, run, StreamOptions{})
	src := &hashSource{}
	w, err := NewWorker(js, WorkerOptions{Open: src.opener, Engines: []string{"turbo/1"}, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, w.ServeRun(t.Context(), "r"), errs.ErrMismatch, `"hash/1"`, "turbo/1", "r")
	if src.open.Load() != 0 {
		t.Error("the refused run's data was opened")
	}
	wantErr(t, w.ServeRun(t.Context(), "nobody"), errs.ErrNotFound, "nobody")

	other := &WorkerOptions{Workers: 1, Open: func(_ context.Context, rec *schemas.RunInfo) (Source, error) {
		o := &hashSource{spec: rec.Spec}
		o.spec.Dataset.Samples = 46 // another data set, so another order
		return o, nil
	}}
	if w, err = NewWorker(js, *other); err != nil {
		t.Fatal(err)
	}
	wantErr(t, w.ServeRun(t.Context(), "r"), errs.ErrMismatch, "order", "same data set")

	// Serve goes on with other runs, and says once what it refuses.
	var reports atomic.Int64
	f := startWorker(t, js, src, WorkerOptions{Workers: 1, Engines: []string{"turbo/1"}, Report: func(error) { reports.Add(1) }}, "")
	time.Sleep(200 * time.Millisecond)
	if err := f.stop(); err != nil || reports.Load() != 1 {
		t.Errorf("%v, %d reports", err, reports.Load())
	}
	startWorker(t, js, src, WorkerOptions{Workers: 1}, "")
	equal(t, take(t, s, 2), want(t, spec, src, 0, 2))
}

// One worker serves several runs turn by turn, finds new ones and drops deleted.
func TestSeveralRuns(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	src := map[string]*hashSource{}
	var mu sync.Mutex
	f := startWorker(t, js, nil, WorkerOptions{Workers: 2, Open: func(ctx context.Context, rec *schemas.RunInfo) (Source, error) {
		mu.Lock()
		defer mu.Unlock()
		s := &hashSource{}
		src[rec.Digest] = s
		return s.opener(ctx, rec)
	}}, "")
	streams := map[string]*Stream{}
	for i, name := range []string{"one", "two", "three"} {
		sp := spec
		sp.Seed = uint64(i)
		run, err := OpenRun(t.Context(), js, name, sp, RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		streams[name] = openStream(t, run, StreamOptions{})
	}
	for name, s := range streams {
		equal(t, take(t, s, 5), want(t, spec, &hashSource{}, 0, 5))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := DeleteRun(t.Context(), js, name); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for len(f.runs()) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(src) != 3 {
		t.Errorf("%d runs were served", len(src))
	}
	for _, s := range src {
		if s.open.Load() != 0 {
			t.Errorf("%d makers or sources are open", s.open.Load())
		}
	}
}

// A stream that is full holds workers back, and nothing is lost. The limit here is
// far under the window, which only a mistaken configuration does.
func TestFullStream(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec := testSpec()
	src := &hashSource{}
	run := openRun(t, js, spec, RunOptions{Window: 6, MaxBytes: 40 << 10})
	startWorker(t, js, src, WorkerOptions{Workers: 1}, "r")
	s := openStream(t, run, StreamOptions{Prefetch: 1})
	equal(t, take(t, s, spec.Steps()), want(t, spec, src, 0, spec.Steps()))
}

// What is consumed is purged while later chunks lie in the stream, not yet handed
// over. Those must come all the same, and without help: Debian's nats-server skips
// them if it is asked in the wrong way.
func TestPurgeKeepsTheRest(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		spec := testSpec()
		spec.Epochs = 20
		src := &hashSource{}
		run := openRun(t, js, spec, RunOptions{Window: 16})
		startWorker(t, js, src, WorkerOptions{Workers: 2}, "r")
		s := openStream(t, run, StreamOptions{Prefetch: 1, RepairAfter: time.Minute})
		equal(t, take(t, s, spec.Steps()), want(t, spec, src, 0, spec.Steps()))
		if n := s.Stats().Repaired; n != 0 {
			t.Errorf("%d chunks had to be asked for again", n)
		}
	})
}
