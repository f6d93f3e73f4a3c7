package stream

import (
	"context"
	"sync"
	"testing"
	"time"

	"resslt/batcher/held"
	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"

	"github.com/nats-io/nats.go/jetstream"
)

// heldRun is a run of which worker and streams are in this process.
type heldRun struct {
	*runs.Run
	spec  schemas.RunSpec
	js    jetstream.JetStream
	src   *rig.HashSource
	store *held.Store
}

func openHeld(t *testing.T, o runs.Options, limit int64) *heldRun {
	t.Helper()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	h := &heldRun{spec: fixture.Spec(), js: js, src: &rig.HashSource{}}
	h.Run = openRun(t, js, h.spec, o)
	h.store = held.New(&h.spec, limit)
	return h
}

func (h *heldRun) work(t *testing.T, workers int) *farm.Farm {
	t.Helper()
	return farm.Start(t, h.js, h.src, worker.Options{Workers: workers, Held: h.store}, "r")
}

func (h *heldRun) stream(t *testing.T, o Options) *Stream {
	t.Helper()
	o.Held = h.store
	return openStream(t, h.Run, o)
}

func (h *heldRun) want(t *testing.T, from int64) []string {
	t.Helper()
	return rig.Want(t, h.spec, h.src, from, h.spec.Steps())
}

// nothingHeld waits until all that was held is dropped.
func (h *heldRun) nothingHeld(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if n, _ := h.store.Held(); n == 0 {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d bytes are held of a run that has ended", n)
		}
	}
}

// digestsOf records chunks' digests.
type digestsOf struct {
	mu  sync.Mutex
	got map[chunkID]string // guarded by mu
}

func (d *digestsOf) Chunk(_ context.Context, c *wire.Chunk) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got[chunkID{c.Step, c.Index}] = c.Digest
	return nil
}
func (d *digestsOf) Step(int64) error { return nil }

// Batches, counts and the digests that a recorder sees are those of chunks with bodies; the broker
// has no pixels, and nothing stays behind.
func TestHeldRun(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 4} {
		h := openHeld(t, runs.Options{Window: 3}, 0)
		f := h.work(t, workers)
		log := &digestsOf{got: map[chunkID]string{}}
		s := h.stream(t, Options{Record: log})
		rig.Equal(t, take(t, s, 2), h.want(t, 0)[:2])
		batches, err := h.js.Stream(t.Context(), schemas.BatchStream("r"))
		if err != nil {
			t.Fatal(err)
		}
		if st := batches.CachedInfo().State; st.Msgs > 0 && st.Bytes/st.Msgs > 512 {
			t.Errorf("a chunk takes %d bytes in the broker", st.Bytes/st.Msgs)
		}
		rig.Equal(t, take(t, s, h.spec.Steps()), h.want(t, 2))
		atEnd(t, s)
		enc, chunks := wire.NewEncoder(&h.spec), h.spec.Steps()*int64(h.spec.Chunks())
		for step := range h.spec.Steps() {
			for index := range h.spec.Chunks() {
				body, err := enc.Encode(rig.Chunk(t, &h.spec, step, index))
				if err != nil {
					t.Fatal(err)
				}
				if got := log.got[chunkID{step, index}]; got != wire.Digest(body) {
					t.Errorf("chunk %d of step %d was recorded with digest %q, on the wire it has %s", index, step, got, wire.Digest(body))
				}
			}
		}
		pixels := h.spec.Steps() * int64(h.spec.SampleBytes()*h.spec.BatchSize)
		if st := s.Stats(); st.Chunks != chunks || st.Bytes != pixels || st.Repeated+st.Rejected != 0 {
			t.Errorf("the stream counts %+v", st)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if st := f.Stats(); st.Chunks != chunks || st.Samples != h.spec.Steps()*int64(h.spec.BatchSize) || st.Bytes != pixels {
			t.Errorf("the worker counts %+v", st)
		}
		h.nothingHeld(t)
	}
}

// Trainers that share a run each get all of it, also one that comes late and one that comes back
// to what it was given and is not done with.
func TestHeldForSeveral(t *testing.T) {
	t.Parallel()
	h := openHeld(t, runs.Options{Window: 3}, 0)
	h.work(t, 2)
	a := h.stream(t, Options{Trainer: "a"})
	b := h.stream(t, Options{Trainer: "b", Acked: true})
	rig.Equal(t, take(t, a, 2), h.want(t, 0)[:2])
	rig.Equal(t, take(t, b, 3), h.want(t, 0)[:3])
	b.Done(1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	rig.Equal(t, take(t, a, 7), h.want(t, 2)[:5])
	b = h.stream(t, Options{Trainer: "b", From: 1})
	c := h.stream(t, Options{Trainer: "c"})
	var wg sync.WaitGroup
	for _, s := range []struct {
		*Stream
		from int64
	}{{a, 7}, {b, 1}, {c, 0}} {
		want := h.want(t, s.from)
		wg.Go(func() { rig.Equal(t, take(t, s.Stream, h.spec.Steps()), want) })
	}
	wg.Wait()
	for _, s := range []*Stream{a, b, c} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	h.nothingHeld(t)
}

// Rows that are gone while the broker has their message are made again.
func TestHeldRowsAreLost(t *testing.T) {
	// What comes before the stream's first step is complete it has read, whatever step it is of, and
	// then does not miss. That depends on which worker is how fast.
	for range 20 {
		if loseHeldRows(t) {
			return
		}
	}
	t.Error("nothing was missed")
}

// loseHeldRows drops rows that wait for the stream. It reports whether the stream missed some.
func loseHeldRows(t *testing.T) bool {
	t.Helper()
	h := openHeld(t, runs.Options{Window: 4}, 0)
	f := h.work(t, 2)
	ahead := h.stream(t, Options{Prefetch: 1})
	chunks := 4 * int64(h.spec.Chunks())
	for deadline := time.Now().Add(time.Minute); f.Stats().Chunks < chunks; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d chunks were made of %d", f.Stats().Chunks, chunks)
		}
	}
	h.store.DropStep(2)
	h.store.Drop(3, 1)
	rig.Equal(t, take(t, ahead, h.spec.Steps()), h.want(t, 0))
	missed := ahead.Stats().Rejected > 0
	if got, least := f.Stats().Chunks, h.spec.Steps()*int64(h.spec.Chunks()); missed && got <= least {
		t.Errorf("%d chunks were made, of which %d are needed", got, least)
	}
	return missed
}

// A store that is full of later steps, far under the window, shuts nothing out for good.
func TestFullStore(t *testing.T) {
	t.Parallel()
	spec, full := fixture.Spec(), int64(0)
	for _, limited := range []bool{false, true} {
		h := openHeld(t, runs.Options{Window: 6}, full)
		for step := int64(3); step < 6; step++ { // made already, by workers that were faster
			for index := range spec.Chunks() {
				if _, err := h.store.Put(rig.Chunk(t, &spec, step, index)); err != nil {
					t.Fatal(err)
				}
				if _, err := h.Publish(t.Context(), wire.HeldMessage("r", h.Info.Digest, step, index, "w"), time.Second, func() {}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if full, _ = h.store.Held(); !limited {
			continue
		}
		h.work(t, 1)
		rig.Equal(t, take(t, h.stream(t, Options{Prefetch: 1}), spec.Steps()), h.want(t, 0))
	}
}

// A chunk that is made again with other bytes ends the run.
func TestHeldIsCompared(t *testing.T) {
	h := openHeld(t, runs.Options{Window: 2}, 0)
	c := rig.Chunk(t, &h.spec, 1, 2)
	c.Pixels[0][5]++
	if _, err := h.store.Put(c); err != nil {
		t.Fatal(err)
	}
	s := h.stream(t, Options{})
	f := h.work(t, 1)
	var err error
	for err == nil {
		_, err = s.Next(t.Context())
	}
	errstest.Want(t, err, errs.ErrDeterminism, "2 of step 1")
	select { // the trainer may hear of it before the worker has ended
	case <-f.Ended:
	case <-time.After(time.Minute):
		t.Error("the worker goes on")
	}
	errstest.Want(t, f.Stop(), errs.ErrDeterminism)
}

// Who is not in the process of the rows is told so.
func TestHeldElsewhere(t *testing.T) {
	h := openHeld(t, runs.Options{}, 0)
	h.work(t, 1)
	s := openStream(t, h.Run, Options{})
	_, err := s.Next(t.Context())
	errstest.Want(t, err, errs.ErrUnsupported, "rows are not in the broker", "read the run in the process that makes it")
}
