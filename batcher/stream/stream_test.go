package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/assemble"
	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// The whole way, on every broker: batches are what the spec says, none is missed,
// and chunks that were consumed are gone from the broker.
func TestStreamOnEveryBroker(t *testing.T) {
	t.Parallel()
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprint(workers), func(t *testing.T) {
				_, js := b.Connect(t)
				spec := fixture.Spec()
				run := openRun(t, js, spec, runs.Options{Window: 3})
				src := &rig.HashSource{}
				f := farm.Start(t, js, src, worker.Options{Workers: workers}, "r")
				s := openStream(t, run, Options{})
				rig.Equal(t, take(t, s, spec.Steps()), rig.Want(t, spec, src, 0, spec.Steps()))
				atEnd(t, s)
				for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					beats, err := run.Workers(t.Context())
					if err == nil && len(beats) == 1 && beats[0].Chunks == f.Stats().Chunks {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("heartbeats %+v, %v", beats, err)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if err := f.Stop(); err != nil {
					t.Fatal(err)
				}
				if n := src.Open.Load(); n != 0 {
					t.Errorf("%d makers or sources are still open", n)
				}
				if got, want := f.Stats().Chunks, spec.Steps()*int64(spec.Chunks()); got != want {
					t.Errorf("%d chunks published, want %d", got, want)
				}
				if c, err := run.Cursor(t.Context(), "trainer"); err != nil || c != spec.Steps() {
					t.Errorf("cursor %d, %v", c, err)
				}
				isEmpty(t, run)
				if err := runs.Delete(t.Context(), js, "r"); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

// A trainer that comes back at any step finds the same batches.
func TestStreamResumesAnywhere(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	src := &rig.HashSource{}
	run := openRun(t, js, spec, runs.Options{Window: 4})
	farm.Start(t, js, src, worker.Options{Workers: 2}, "")
	all := rig.Want(t, spec, src, 0, spec.Steps())
	for _, leg := range [][2]int64{{0, 5}, {3, 7}, {9, 12}, {1, 2}} {
		run2, err := runs.Lookup(t.Context(), js, "r")
		if err != nil {
			t.Fatal(err)
		}
		if run2.Options() != run.Options() {
			t.Fatalf("options %+v, opened with %+v", run2.Options(), run.Options())
		}
		s := openStream(t, run2, Options{From: leg[0]})
		rig.Equal(t, take(t, s, leg[1]), all[leg[0]:leg[1]])
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// No more than the window is ever asked for or stored.
func TestWindowIsKept(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	var highest, cursor atomic.Int64
	src := &rig.HashSource{Before: func(_ context.Context, r wire.TaskRow) error {
		step := r.Epoch*spec.StepsPerEpoch + r.Index/int64(spec.BatchSize)
		for h := highest.Load(); step > h && !highest.CompareAndSwap(h, step); h = highest.Load() {
		}
		if step >= cursor.Load()+3 {
			return fmt.Errorf("step %d was asked for at cursor %d", step, cursor.Load())
		}
		return nil
	}}
	run := openRun(t, js, spec, runs.Options{Window: 3})
	var reports atomic.Int64
	farm.Start(t, js, src, worker.Options{Workers: 2, Report: func(err error) { reports.Add(1); t.Log(err) }}, "")
	s := openStream(t, run, Options{})
	for i := range spec.Steps() {
		// The trainer takes a batch, then is at step i+1; the planner hears later.
		cursor.Store(i + 1)
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
		if i == 2 {
			time.Sleep(150 * time.Millisecond)
			if h := highest.Load(); h != 5 {
				t.Errorf("a waiting trainer at step 3 has had step %d made, want up to 5", h)
			}
		}
	}
	if reports.Load() != 0 {
		t.Errorf("%d reports", reports.Load())
	}
}

// A sample that cannot be decoded is replaced by the next that can, the same for
// everybody; with on_error fail the trainer stops and hears why.
func TestReplacement(t *testing.T) {
	broken := map[int64]bool{3: true, 8: true, 13: true, 40: true}
	before := func(_ context.Context, r wire.TaskRow) error {
		if broken[r.Sample] {
			return schemas.NewBadSample("decode", fmt.Sprintf("/somewhere/%d.jpg", r.Sample), "fix the file", errs.Because(errs.ErrCorrupt, "not an image"))
		}
		return nil
	}
	for _, policy := range []schemas.OnError{schemas.Replace, schemas.Fail} {
		t.Run(string(policy), func(t *testing.T) {
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			spec := fixture.Spec()
			spec.OnError = policy
			run := openRun(t, js, spec, runs.Options{})
			src := &rig.HashSource{Before: before}
			f := farm.Start(t, js, src, worker.Options{Workers: 2}, "")
			s := openStream(t, run, Options{})
			b, err := s.Next(t.Context())
			if policy == schemas.Fail {
				errstest.Want(t, err, errs.ErrTombstone, "step 0", "not an image", "hint")
				_, again := s.Next(t.Context())
				errstest.Want(t, again, errs.ErrTombstone)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// The order of epoch 0 is 3, 8, 13, 18, …: its first three are broken.
			if b.Replaced != 3 || b.Samples[0] != 18 || b.Samples[1] != 18 || b.Samples[2] != 18 || b.Samples[3] != 18 {
				t.Errorf("replaced %d, samples %v", b.Replaced, b.Samples)
			}
			if got, want := b.Reasons[0], "slot 0: sample 18 for 3: corrupt: not an image"; got != want {
				t.Errorf("reason %q, want %q", got, want)
			}
			got := append([]string{rig.BatchDigest(b)}, take(t, s, spec.Steps())...)
			rig.Equal(t, got, rig.Want(t, spec, src, 0, spec.Steps()))
			if err := f.Stop(); err != nil { // a worker counts after it has published
				t.Error(err)
			}
			if f.Stats().Replaced < 10 {
				t.Errorf("%d samples replaced", f.Stats().Replaced)
			}
		})
	}
}

// Where nothing can be decoded, the chunk becomes a tombstone; where a task fails
// on every delivery, too, whether the broker's advice arrives or not. The trainer
// is told which and why, and once the cause is fixed, a resume succeeds.
func TestTombstones(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		text string
	}{
		{"undecodable", schemas.NewBadSample("decode", "x", "", errs.Because(errs.ErrCorrupt, "no image at all")), "no image at all"},
		{"poison", errors.New("disk trouble"), "tried 2 times: disk trouble"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			spec := fixture.Spec()
			var repaired atomic.Bool
			src := &rig.HashSource{Before: func(_ context.Context, r wire.TaskRow) error {
				if !repaired.Load() && r.Epoch == 0 && r.Index/int64(spec.BatchSize) == 1 {
					return tc.err
				}
				return nil
			}}
			run := openRun(t, js, spec, runs.Options{AckWait: 200 * time.Millisecond, MaxDeliver: 2})
			f := farm.Start(t, js, src, worker.Options{Workers: 2}, "")
			s := openStream(t, run, Options{})
			take(t, s, 1)
			_, err := s.Next(t.Context())
			errstest.Want(t, err, errs.ErrTombstone, "step 1", tc.text)
			if n := s.Stats().Tombstoned; n < 1 {
				t.Errorf("%d tombstones counted", n)
			}
			s.Close()
			if err := f.Stop(); err != nil { // it may be in the middle of a chunk
				t.Fatal(err)
			}
			repaired.Store(true)
			farm.Start(t, js, src, worker.Options{Workers: 2}, "")
			s = openStream(t, run, Options{From: 1})
			plain := &rig.HashSource{}
			rig.Equal(t, take(t, s, spec.Steps()), rig.Want(t, spec, plain, 1, spec.Steps()))
		})
	}
}

// The same without the advisory: repair finds orphaned tasks by the state of the queue.
// Spent or forgotten, they are replaced; only where the replacements are orphaned, too, is
// a tombstone requested.
func TestTombstoneWithoutAdvisory(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{AckWait: 100 * time.Millisecond, MaxDeliver: 1})
	d := testDriver(run, Options{Window: 1})
	if err := d.handle(t.Context(), cycle{}); err != nil {
		t.Fatal(err)
	}
	cons, err := js.Consumer(t.Context(), schemas.TasksStream("r"), schemas.WorkersConsumer)
	if err != nil {
		t.Fatal(err)
	}
	// spend is a worker that takes every task and dies; their last deliveries pass unseen.
	spend := func() {
		t.Helper()
		batch, err := cons.Fetch(spec.Chunks(), jetstream.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for m := range batch.Messages() {
			if why := m.Headers().Get(schemas.HeaderGiveUp); why != "" {
				t.Fatalf("%s is given up: %s", m.Subject(), why)
			}
			n++
		}
		if n != spec.Chunks() {
			t.Fatalf("%d tasks, want %d", n, spec.Chunks())
		}
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			// Another worker's pull is what makes the broker see that they are spent.
			if b, err := cons.FetchNoWait(1); err == nil {
				for range b.Messages() {
					t.Fatal("a spent task was delivered again")
				}
			}
			info, err := cons.Info(t.Context())
			if err == nil && info.NumAckPending == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the tasks are still out: %+v, %v", info, err)
			}
		}
	}
	for range 2 {
		spend()
		if _, err := d.repair(t.Context(), 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 1}, "r")
	stored, err := run.Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for c := range spec.Chunks() {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			chunk, err := stored.Chunk(t.Context(), 0, c)
			if err == nil && chunk.Tombstone == "its task was tried 1 times without success" {
				break
			}
			if err == nil || time.Now().After(deadline) {
				t.Fatalf("in the place of chunk %d: %+v, %v", c, chunk, err)
			}
		}
	}
}

func TestStreamLeavesNoGoroutine(t *testing.T) {
	b := rig.Launch(t, rig.Embedded(true))
	_, js := b.Connect(t)
	spec := fixture.Spec()
	run := openRun(t, js, spec, runs.Options{})
	rig.CheckLeaks(t, func() {
		src := &rig.HashSource{}
		f := farm.Start(t, js, src, worker.Options{Workers: 3}, "")
		s := openStream(t, run, Options{})
		take(t, s, 4)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStallIsAnError(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	s := openStream(t, run, Options{StallTimeout: 300 * time.Millisecond, RepairAfter: 50 * time.Millisecond})
	_, err := s.Next(t.Context())
	errstest.Want(t, err, errs.ErrUnavailable, "step 0", "3 of its 3 chunks", "augmentd")
}

func TestMemoryStreamIsATwin(t *testing.T) {
	spec := fixture.Spec()
	src := &rig.HashSource{Spec: spec}
	ready, err := assemble.Batches(t.Context(), &spec, src.Order(), &rig.HashMaker{Spec: &spec, Src: src}, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMemory(&spec, 3, ready)
	if err != nil {
		t.Fatal(err)
	}
	for step := int64(3); step < spec.Steps(); step++ {
		b, err := m.Next(t.Context())
		if err != nil || b.Step != step || b.Epoch != step/spec.StepsPerEpoch || &b.Pixels[0][0] != &ready[step%2].Pixels[0][0] {
			t.Fatalf("step %d: %+v, %v", step, b, err)
		}
		b.Release()
	}
	if _, err := m.Next(t.Context()); err == nil {
		t.Error("no end")
	}
}
