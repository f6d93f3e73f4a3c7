package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/link"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// pace is how long a sample of a good run takes: waiting, so that runs do not disturb one
// another by the CPU time that they take.
const pace = 2 * time.Millisecond

// house opens the data of runs: what is the matter with them stands in their URIs.
type house struct {
	over chan struct{} // closed at the end: what hangs goes on
}

func newHouse(t *testing.T) *house {
	h := &house{over: make(chan struct{})}
	t.Cleanup(func() { close(h.over) })
	return h
}

func (h *house) open(ctx context.Context, info *schemas.RunInfo) (produce.Source, error) {
	src := &rig.HashSource{Spec: info.Spec}
	hang := func() error { <-h.over; return errors.New("the end") }
	made := atomic.Int64{}
	switch ill := info.DataURI; ill {
	case "open hangs":
		return nil, hang()
	case "open waits":
		<-ctx.Done()
		return nil, ctx.Err()
	case "does not open":
		return nil, errs.New("open", "/data", "mount it", errs.ErrNotFound)
	case "another order":
		src.Spec.Dataset.Samples = 2 // so that no chunk has its rows; with one less some have, and end the row of failures
	case "no maker":
		return noMaker{src}, nil
	default:
		src.Before = func(ctx context.Context, _ wire.TaskRow) error {
			switch {
			case ill == "make hangs", ill == "comes to hang" && made.Add(1) > 20:
				return hang()
			case ill == "make waits":
				<-ctx.Done()
				return ctx.Err()
			case ill == "trickles":
				return link.Sleep(ctx, 200*time.Millisecond)
			case ill == "fails", ill == "comes to fail" && made.Add(1) > 20:
				return errors.New("the disk is gone")
			}
			return link.Sleep(ctx, pace)
		}
	}
	return src, nil
}

// noMaker is a source that has no makers.
type noMaker struct{ *rig.HashSource }

func (noMaker) NewMaker() (produce.Maker, error) { return nil, errors.New("no such kernels") }

// serve has a worker of short patience serve all runs until the end of the test.
func serve(t *testing.T, js jetstream.JetStream, o worker.Options) (*worker.Worker, func() error) {
	t.Helper()
	o.Workers = 2
	for d, v := range map[*time.Duration]time.Duration{
		&o.Grace: 200 * time.Millisecond, &o.Discover: 100 * time.Millisecond, &o.Heartbeat: 200 * time.Millisecond,
		&o.OpenTimeout: 300 * time.Millisecond, &o.MakeTimeout: 500 * time.Millisecond, &o.PublishTimeout: 300 * time.Millisecond,
		&o.SlowAfter: 50 * time.Millisecond, &o.Lull: 500 * time.Millisecond,
	} {
		if *d == 0 {
			*d = v
		}
	}
	w, err := worker.New(js, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Serve(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() }) // a test that minds has called it
	return w, stop
}

// serveRun has a worker serve one run until the end of the test.
func serveRun(t *testing.T, js jetstream.JetStream, name string) {
	t.Helper()
	w, err := worker.New(js, worker.Options{Workers: 2, Open: newHouse(t).open})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.ServeRun(ctx, name) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// goodSpec is of n steps, a multiple of 4; each seed's is another run.
func goodSpec(n, seed int) schemas.RunSpec {
	s := fixture.Spec()
	s.Epochs, s.Seed = int64(n)/s.StepsPerEpoch, uint64(seed)
	return s
}

func open(t *testing.T, js jetstream.JetStream, name string, spec schemas.RunSpec, o runs.Options) *runs.Run {
	t.Helper()
	run, err := runs.Open(t.Context(), js, name, spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func train(t *testing.T, run *runs.Run, o stream.Options) *stream.Stream {
	t.Helper()
	o.StallTimeout = time.Minute
	s, err := stream.Open(t.Context(), run, fixture.StrideOrder{N: run.Spec().Dataset.Samples}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// until waits for something to become true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

func state(w *worker.Worker, run string) worker.State {
	for _, s := range w.States() {
		if s.Run == run {
			return s
		}
	}
	return worker.State{}
}

// badRuns are what may be the matter with a run: how it is opened, and what becomes of it.
var badRuns = []struct {
	uri   string
	phase string // that it comes to
	why   string // in the reason
	spec  func(*schemas.RunSpec)
	opts  runs.Options
	tasks bool // it has no trainer: its tasks are there
	gone  bool // its chunks' stream is gone
}{
	{uri: "open hangs", phase: "quarantined", why: "it does not open in"},
	{uri: "open waits", phase: "quarantined", why: "it does not open in"},
	{uri: "does not open", phase: "quarantined", why: "/data"},
	{uri: "another order", phase: "quarantined", why: "the planner's order"},
	{uri: "no maker", phase: "quarantined", why: "no such kernels"},
	{uri: "make hangs", phase: "quarantined", why: "cannot be stopped"},
	{uri: "make waits", phase: "quarantined", why: "takes longer than"},
	{uri: "fails", phase: "quarantined", why: "the disk is gone"},
	{uri: "another engine", phase: "quarantined", why: "needs engine", spec: func(s *schemas.RunSpec) { s.Engine = "gift/9" }},
	{uri: "full", phase: "quarantined", why: "refused for", opts: runs.Options{MaxBytes: 6000}, tasks: true},
	{uri: "stale", phase: "quarantined", why: "is gone", tasks: true, gone: true},
}

// publishTasks has a run's tasks in its queue, and nobody who takes the chunks.
func publishTasks(t *testing.T, js jetstream.JetStream, run *runs.Run, steps int64) {
	t.Helper()
	for step := range steps {
		for c := range run.Spec().Chunks() {
			m, err := wire.EncodeTask(run.Name, run.Info.Digest, wire.NewTask(run.Spec(), fixture.StrideOrder{N: run.Spec().Dataset.Samples}, step, c))
			if err == nil {
				_, err = js.PublishMsg(t.Context(), m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// openBad opens the i-th of the bad runs under a name.
func openBad(t *testing.T, js jetstream.JetStream, i int, name string) {
	t.Helper()
	bad := badRuns[i]
	spec := goodSpec(20, 1000+i)
	if bad.spec != nil {
		bad.spec(&spec)
	}
	o := bad.opts
	o.DataURI = bad.uri
	run := open(t, js, name, spec, o)
	if bad.gone {
		if err := js.DeleteStream(t.Context(), schemas.BatchStream(name)); err != nil {
			t.Fatal(err)
		}
	}
	if bad.tasks {
		publishTasks(t, js, run, 4)
		return
	}
	train(t, run, stream.Options{Trainer: "t", RepairAfter: time.Minute})
}

// besideBad trains a good run on a worker, and the same on another worker that has nothing
// else to do. It must get half of the chunks that the other gets, and the batches that it should.
func besideBad(t *testing.T, js jetstream.JetStream, w *worker.Worker) {
	t.Helper()
	const steps = 60
	spec := goodSpec(steps, 1)
	calmSpec := spec
	calmSpec.Engine = "calm/1" // which the others do not have
	calm := open(t, js, "alone", calmSpec, runs.Options{})
	serveRun(t, js, "alone")
	alone := train(t, calm, stream.Options{})
	beside := train(t, open(t, js, "good", spec, runs.Options{}), stream.Options{})
	// Both are served before they are compared.
	got := [2][]string{rig.Take(t, alone, 1), rig.Take(t, beside, 1)}
	var wg sync.WaitGroup
	var behind atomic.Int64
	behind.Store(1)
	wg.Go(func() {
		for range steps - 1 {
			b, err := beside.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			got[1] = append(got[1], rig.BatchDigest(b))
			b.Release()
			behind.Add(1)
		}
	})
	got[0] = append(got[0], rig.Take(t, alone, steps-1)...)
	if n := behind.Load(); n < steps/2 {
		t.Errorf("it was at step %d when the one that is alone was at %d: %+v; %+v", n, steps, w.States(), beside.Stats())
	}
	wg.Wait()
	want := rig.Want(t, spec, &rig.HashSource{}, 0, steps)
	rig.Equal(t, got[0], want)
	rig.Equal(t, got[1], want)
}

// A run that hangs, fails or is dead does not hold up another, and says what is the matter.
func TestBadRunHurtsNobody(t *testing.T) {
	for i, bad := range badRuns {
		t.Run(bad.uri, func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			var mu sync.Mutex
			said := map[string]int{}
			w, stop := serve(t, js, worker.Options{Open: newHouse(t).open, Engines: []string{"hash/1"}, Report: func(err error) {
				mu.Lock()
				defer mu.Unlock()
				said[err.Error()]++
			}})
			openBad(t, js, i, "bad")
			until(t, "it is met", func() bool { s := state(w, "bad"); return s.Aside > 0 || s.Phase == bad.phase || s.Phase == "opening" })
			besideBad(t, js, w)
			until(t, "the bad run's end", func() bool {
				s := state(w, "bad")
				return s.Phase == bad.phase && strings.Contains(s.Why.Error(), bad.why)
			})
			run, err := runs.Lookup(t.Context(), js, "bad")
			if err != nil {
				t.Fatal(err)
			}
			until(t, "its heartbeat says so", func() bool {
				beats, err := run.Workers(t.Context())
				return err == nil && len(beats) == 1 && beats[0].State == "quarantined" && strings.Contains(beats[0].Trouble, bad.why)
			})
			if err := stop(); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			reasons := 0
			for line, n := range said {
				if strings.Contains(line, bad.why) && !strings.Contains(line, "calm/1") {
					reasons += n
				}
			}
			if reasons != 1 {
				t.Errorf("it was reported %d times: %v", reasons, said)
			}
		})
	}
}

// A run that was well and comes to hang, to trickle or to fail holds the slots that it has for a
// moment, and then its share at most.
func TestRunTurnsBad(t *testing.T) {
	for _, uri := range []string{"comes to hang", "comes to fail", "trickles"} {
		t.Run(uri, func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			w, _ := serve(t, js, worker.Options{Open: newHouse(t).open, Engines: []string{"hash/1"}, MakeTimeout: 5 * time.Second})
			train(t, open(t, js, "bad", goodSpec(200, 2), runs.Options{DataURI: uri}), stream.Options{RepairAfter: time.Minute})
			until(t, "it turns bad", func() bool { s := state(w, "bad"); return s.Aside > 0 || s.Phase == "quarantined" })
			besideBad(t, js, w)
		})
	}
}

// Fifty bad runs of all kinds are no worse than one.
func TestFiftyBadRuns(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	w, _ := serve(t, js, worker.Options{Open: newHouse(t).open, Engines: []string{"hash/1"}})
	for k := range 50 {
		openBad(t, js, k%len(badRuns), fmt.Sprint("bad-", k))
	}
	besideBad(t, js, w)
	until(t, "all are in quarantine", func() bool {
		n := 0
		for _, s := range w.States() {
			if s.Phase == "quarantined" {
				n++
			}
		}
		return n >= 40 // others are being tried again at the moment
	})
}
