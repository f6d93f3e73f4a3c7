package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/link"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// A worker that can reach nothing rests, and costs the run time and nothing else: the
// chunks that it sent back are made by others, or by itself once it is well again,
// however few deliveries a task has.
func TestSickWorkerRests(t *testing.T) {
	t.Parallel()
	for _, others := range []int{0, 1} {
		t.Run(fmt.Sprint(others, " others"), func(t *testing.T) {
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			spec := fixture.Spec()
			var sick atomic.Bool
			sick.Store(true)
			tries := atomic.Int64{}
			src := &rig.HashSource{Before: func(context.Context, wire.TaskRow) error {
				if sick.Load() {
					tries.Add(1)
					return errors.New("the disk is gone")
				}
				return nil
			}}
			run := openRun(t, js, spec, runs.Options{MaxDeliver: 2, AckWait: time.Second})
			var reports said
			farm.Start(t, js, src, worker.Options{Name: "sick", Workers: 3, Report: reports.error}, "")
			s := openStream(t, run, Options{})
			plain := &rig.HashSource{}
			if others > 0 {
				farm.Start(t, js, plain, worker.Options{Name: "well", Workers: 1}, "")
			} else {
				time.AfterFunc(1500*time.Millisecond, func() { sick.Store(false) })
			}
			rig.Equal(t, take(t, s, spec.Steps()), rig.Want(t, spec, plain, 0, spec.Steps()))
			if st := s.Stats(); st.Tombstoned != 0 {
				t.Errorf("%d tombstones", st.Tombstoned)
			}
			// Three goroutines may each have met the trouble once or twice, and
			// tried three samples more each time.
			if n := tries.Load(); n == 0 || n > 60 {
				t.Errorf("the sick worker tried %d samples", n)
			}
			if lines := reports.wait(1); len(lines) == 0 || !strings.Contains(lines[0], "the disk is gone") {
				t.Errorf("reports %q", lines)
			}
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				beats, err := run.Workers(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				b := beats[0] // "sick" stands before "well"
				if len(b.SentBack) > 0 && strings.Contains(b.Trouble, "the disk is gone") == (others > 0) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("its beat: %+v", b)
				}
			}
		})
	}
}

// A worker twenty times as slow takes what it can and holds nobody up: work goes to
// whoever asks for it, and a step that waits for the slow one's chunk gets it from
// another after RepairAfter.
func TestSlowWorkerHoldsNobodyUp(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := longSpec(8)
	// A chunk is up to 4 samples: 8 ms with the fast, 4 s with the slow one.
	const fast, slow = 2 * time.Millisecond, time.Second
	paced := func(d time.Duration) *rig.HashSource {
		return &rig.HashSource{Before: func(ctx context.Context, _ wire.TaskRow) error { return link.Sleep(ctx, d) }}
	}
	run := openRun(t, js, spec, runs.Options{Window: 4})
	s := openStream(t, run, Options{RepairAfter: 200 * time.Millisecond})
	source := paced(slow)
	lame := farm.Start(t, js, source, worker.Options{Workers: 1, Grace: time.Millisecond}, "r")
	for s.Stats().Issued == 0 || source.Open.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // it has the first task by now
	farm.Start(t, js, paced(fast), worker.Options{Workers: 2}, "r")
	all := rig.Want(t, spec, &rig.HashSource{}, 0, spec.Steps())
	start, longest := time.Now(), time.Duration(0)
	for step := range spec.Steps() {
		began := time.Now()
		rig.Equal(t, take(t, s, step+1), all[step:step+1])
		longest = max(longest, time.Since(began))
	}
	if longest > 3*slow {
		t.Errorf("a step waited %v for a chunk that takes the slow worker %v", longest, 4*slow)
	}
	t.Logf("%d steps in %v, the longest wait %v; the slow worker alone would take %v for its first chunk",
		spec.Steps(), time.Since(start), longest, 4*slow)
	if lame.Stats().Chunks > 2 {
		t.Errorf("the slow worker made %d chunks", lame.Stats().Chunks)
	}
}

// A run with a huge backlog of costly chunks does not keep a small one waiting: each
// gets half of the worker's time.
func TestRunsGetEqualTime(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	huge, small := longSpec(50), longSpec(4)
	small.Seed = 2
	cost := map[string]time.Duration{huge.Digest(): 5 * time.Millisecond, small.Digest(): time.Millisecond}
	var mu sync.Mutex
	spent := map[string]time.Duration{}
	var during map[string]time.Duration // spent, when the small run was done
	farm.Start(t, js, nil, worker.Options{Workers: 1, Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
		src := &rig.HashSource{Before: func(ctx context.Context, _ wire.TaskRow) error {
			began := time.Now()
			err := link.Sleep(ctx, cost[rec.Digest])
			mu.Lock()
			defer mu.Unlock()
			spent[rec.Digest] += time.Since(began)
			return err
		}}
		return src.Opener(ctx, rec)
	}}, "")
	open := func(name string, spec schemas.RunSpec) *Stream {
		run, err := runs.Open(t.Context(), js, name, spec, runs.Options{Window: 64})
		if err != nil {
			t.Fatal(err)
		}
		return openStream(t, run, Options{})
	}
	open("huge", huge)
	time.Sleep(300 * time.Millisecond)
	mu.Lock()
	clear(spent)
	mu.Unlock()
	s := open("small", small)
	take(t, s, small.Steps())
	mu.Lock()
	during = map[string]time.Duration{"huge": spent[huge.Digest()], "small": spent[small.Digest()]}
	mu.Unlock()
	if r := float64(during["huge"]) / float64(during["small"]); r < 0.4 || r > 2.5 {
		t.Errorf("the runs got %v", during)
	}
}

// A worker hears of a run at once, long before it looks for new ones.
func TestNewRunIsHeardOf(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	src := &rig.HashSource{}
	w, err := worker.New(js, worker.Options{Workers: 1, Open: src.Opener, Discover: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	time.Sleep(200 * time.Millisecond) // it has looked, and found nothing
	spec := fixture.Spec()
	s := openStream(t, openRun(t, js, spec, runs.Options{}), Options{})
	rig.Equal(t, take(t, s, 2), rig.Want(t, spec, src, 0, 2))
}
