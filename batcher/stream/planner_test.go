package stream

import (
	"slices"
	"testing"
	"time"

	"resslt/schemas/racetest"
)

// Every sequence of five of what can happen to a trainer, each followed by a world in
// which nothing fails any more, ends with the run's last step.
func TestPlannerExhaustively(t *testing.T) {
	racetest.SkipNumbers(t)
	t.Parallel()
	ops := []func(w *world, tr *trainer){
		func(w *world, tr *trainer) { _ = w.tell(tr, cycle{}) },
		func(w *world, tr *trainer) { w.failAfter = 2; _ = w.tell(tr, cycle{}) }, // the broker goes away
		func(w *world, _ *trainer) { w.work() },
		func(w *world, tr *trainer) { w.consume(tr) },
		func(w *world, _ *trainer) { w.lose() },
		func(w *world, _ *trainer) { w.forget() },
		func(w *world, _ *trainer) { clear(w.chunks) }, // the broker loses its memory
		func(w *world, tr *trainer) {
			if tr.cursor < w.limit.steps {
				_ = w.tell(tr, starved{tr.cursor, w.missing(tr)})
			}
		},
		func(w *world, tr *trainer) {
			if _, p := w.oldest(orphaned); p != nil {
				_ = w.tell(tr, exhausted{p.seq})
			}
		},
	}
	const depth = 5
	n := 1
	for range depth {
		n *= len(ops)
	}
	for i := range n {
		w := newWorld(t, 0, 2, 1)
		tr := w.join("t", 0, 0)
		for k, rest := 0, i; k < depth; k, rest = k+1, rest/len(ops) {
			w.failAfter = -1
			ops[rest%len(ops)](w, tr)
		}
		w.finish()
	}
}

// Any sequence of events, with several trainers that come, die and come back, workers
// that are lost, a broker that loses chunks and tasks or goes away, late notes and a store
// that is full: every action is allowed, and once nothing fails any more every trainer
// that is live gets every step.
func TestPlannerProperties(t *testing.T) {
	for seed := range uint64(400) {
		w := newWorld(t, seed, 6+int64(seed%9), 1+int64(seed%4))
		names := []string{"a", "b", "c"}[:1+seed%3]
		if seed%5 == 4 {
			w.room = w.limit.chunks * int(w.limit.window+1)
		}
		keep := func() int64 {
			if w.room == 0 && w.rng.IntN(6) == 0 {
				return -1
			}
			return int64(w.rng.IntN(2))
		}
		w.join(names[0], 0, keep())
		for range 150 {
			w.disturb(names, keep)
		}
		if !slices.ContainsFunc(w.trainers, func(tr *trainer) bool { return !tr.dead }) {
			w.comeBack(names[0], keep())
		}
		w.finish()
	}
}

// Without faults, a conversation leaves no chunk of the window that is neither there nor
// in the queue, and none is requested twice.
func TestPlannerRequestsTheWindow(t *testing.T) {
	for seed := range uint64(100) {
		w := newWorld(t, seed, 12, 1+int64(seed%5))
		tr := w.join("t", int64(seed%3), 0)
		for tr.cursor < w.limit.steps {
			if err := w.tell(tr, cycle{}); err != nil {
				t.Fatal(err)
			}
			for step := tr.cursor; step < min(tr.cursor+w.limit.window, w.limit.steps); step++ {
				for c := range w.limit.chunks {
					if id := (chunkID{step, c}); !w.chunks[id] && len(w.tasks[id]) != 1 {
						w.fatalf("%v is not there, and has %d tasks", id, len(w.tasks[id]))
					}
				}
			}
			for range w.rng.IntN(5) {
				w.work()
			}
			w.consume(tr)
		}
		if err := w.tell(tr, closing{}); err != nil || len(w.chunks) > 0 || len(w.tasks) > 0 {
			w.fatalf("at the end are %v, %v, %v", w.chunks, w.tasks, err)
		}
	}
}

// Chunks that workers published late, of steps that were purged already, fill the stream and shut
// out the one that a trainer waits for: they go, and none that somebody wants.
func TestPlannerPurgesLateChunks(t *testing.T) {
	w := newWorld(t, 1, 13, 4)
	w.room = 10
	tr := w.join("t", 9, 0)
	if err := w.tell(tr, cycle{}); err != nil { // what it finds at the beginning is purged there
		t.Fatal(err)
	}
	for _, id := range []chunkID{{1, 0}, {1, 1}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {9, 1}, {10, 0}, {10, 1}, {12, 0}} {
		w.chunks[id] = true
	}
	var purged []int64
	for _, a := range w.actions(tr, starved{9, []int{0}}, func(a action) bool { _, ok := a.(purgeChunks); return ok }) {
		purged = append(purged, a.(purgeChunks).step)
	}
	if !slices.Equal(purged, []int64{1, 2, 3}) {
		t.Errorf("steps %v were purged, want 1, 2 and 3", purged)
	}
	for w.work() {
	}
	if w.consume(tr); tr.cursor != 13 {
		t.Errorf("the trainer is at step %d, and every chunk has room now", tr.cursor)
	}
}

// A recording is made whole: what others purged is requested, each chunk once until its
// task is looked after.
func TestPlannerSeals(t *testing.T) {
	w := newWorld(t, 1, 8, 2)
	tr := w.join("t", 8, -1)
	for step := range w.limit.steps {
		w.chunks[chunkID{step, 0}] = true
	}
	tr.cursor = 0 // requests are of any step
	requested := func(ev event) int {
		before := w.seq
		if err := w.tell(tr, ev); err != nil {
			t.Fatal(err)
		}
		return int(w.seq - before)
	}
	if n := requested(sealing{first: true}); n != 8 || len(tr.lacking) != 8 {
		t.Fatalf("%d chunks were requested of %d", n, len(tr.lacking))
	}
	if n := requested(sealing{}); n != 0 {
		t.Errorf("%d chunks were requested again", n)
	}
	clear(w.tasks)
	if n := requested(sealing{}); n != 0 {
		t.Errorf("%d chunks were requested again, unasked", n)
	}
	if n := requested(sealing{look: true}); n != 8 {
		t.Errorf("%d of the tasks that the broker lost were issued again", n)
	}
	for w.work() {
	}
	if n := requested(sealing{}); n != 0 || len(tr.lacking) != 0 {
		t.Errorf("%d requested, %d lacking", n, len(tr.lacking))
	}
}

// An orphaned task is replaced once; an orphaned replacement has a tombstone requested,
// unless a worker sent it back for a trouble of its own.
func TestPlannerReplacesOrphans(t *testing.T) {
	replaces := func(a action) bool { _, ok := a.(replaceTask); return ok }
	for _, sentBack := range []bool{false, true} {
		w := newWorld(t, 0, 4, 1)
		w.limit.chunks = 1
		tr := w.join("t", 0, 0)
		w.actions(tr, cycle{}, replaces)
		id := chunkID{0, 0}
		for i, why := range []string{"", "its task was tried 5 times without success"} {
			w.lose()
			w.forget()
			seq := w.tasks[id][0].seq
			if sentBack {
				w.sentBack, why = map[uint64]bool{seq: true}, ""
			}
			got := w.actions(tr, starved{0, []int{0}}, replaces)
			if want := []action{replaceTask{id, seq, why}}; !slices.Equal(got, want) {
				t.Errorf("orphan %d, sent back %v: %+v, want %+v", i, sentBack, got, want)
			}
		}
		w.lose()
		seq := w.tasks[id][0].seq
		got := w.actions(tr, exhausted{seq}, replaces)
		if !sentBack && !slices.Equal(got, []action{replaceTask{id, seq, "its task was tried 5 times without success"}}) {
			t.Errorf("by the advisory: %+v", got)
		}
	}
}

// A chunk that was unusable is requested at once, unless its step is yet to be issued, or
// a peer has had it made again.
func TestPlannerRequestsTheUnusable(t *testing.T) {
	requests := func(a action) bool { _, ok := a.(request); return ok }
	id := chunkID{1, 0}
	again := []action{request{id, true}}
	w := newWorld(t, 0, 8, 3)
	a := w.join("a", 0, 0)
	w.actions(a, cycle{}, requests)
	clear(w.tasks)
	if got := w.actions(a, unusable{id}, requests); !slices.Equal(got, again) {
		t.Errorf("alone: %v", got)
	}
	if got := w.actions(a, unusable{chunkID{3, 0}}, requests); len(got) > 0 {
		t.Errorf("of a step whose turn comes: %v", got)
	}
	w.join("b", 0, 0)
	w.wait(rereadEvery)
	w.actions(a, cycle{}, requests)
	clear(w.tasks)
	if got := w.actions(a, unusable{id}, requests); !slices.Equal(got, again) {
		t.Errorf("with a peer: %v", got)
	}
	w.chunks[id] = true
	if got := w.actions(a, unusable{id}, requests); len(got) > 0 {
		t.Errorf("made again by a peer: %v", got)
	}
}

// Of two trainers that keep pace one issues the tasks, and announces them; the other
// requests none of them again when it comes to lead.
func TestPlannersTakeTurns(t *testing.T) {
	requests := func(a action) bool { _, ok := a.(request); return ok }
	announces := func(a action) bool { _, ok := a.(announce); return ok }
	w := newWorld(t, 0, 20, 4)
	a, b := w.join("a", 0, 0), w.join("b", 0, 0)
	if got := w.actions(b, cycle{}, requests); len(got) > 0 {
		t.Errorf("the second of the same step requests %v", got)
	}
	if got := w.actions(a, cycle{}, announces); len(got) != 1 {
		t.Errorf("%d announcements", len(got))
	}
	for range 2 * w.limit.chunks {
		w.work()
	}
	w.consume(a)
	if a.cursor != 2 {
		t.Fatalf("the first is at %d", a.cursor)
	}
	w.renew(a)
	w.deliver(a, b)
	if got := w.actions(b, cycle{}, requests); len(got) > 0 {
		t.Errorf("what the first has issued is requested again: %v", got)
	}
}

// disturb does one thing at random.
func (w *world) disturb(names []string, keep func() int64) {
	tr := w.trainers[w.rng.IntN(len(w.trainers))]
	w.failAfter = -1
	if w.rng.IntN(8) == 0 {
		w.failAfter = w.rng.IntN(6)
	}
	switch k := w.rng.IntN(24); {
	case k < 5:
		for range 4 {
			w.work()
		}
	case k < 6:
		w.lose()
	case k < 7:
		w.forget()
	case k < 8: // the broker loses a chunk
		for id := range w.chunks {
			if w.rng.IntN(4) == 0 {
				delete(w.chunks, id)
			}
		}
	case k < 9:
		if w.rng.IntN(3) == 0 {
			clear(w.tasks)
		}
	case k < 10:
		w.comeBack(names[w.rng.IntN(len(names))], keep())
	case k < 12:
		w.wait(time.Duration(w.rng.IntN(7000)) * time.Millisecond)
	case tr.dead:
	case k < 13:
		if w.rng.IntN(4) == 0 {
			tr.dead = true
		}
	case k < 15:
		w.renew(tr)
		for _, o := range w.trainers {
			if o != tr && !o.dead && w.rng.IntN(2) == 0 {
				w.deliver(tr, o)
			}
		}
	case k < 18:
		w.consume(tr)
	case k < 19:
		if tr.cursor < w.limit.steps {
			_ = w.tell(tr, starved{tr.cursor, w.missing(tr)})
		}
	case k < 20:
		if _, p := w.oldest(orphaned); p != nil {
			_ = w.tell(tr, exhausted{p.seq})
		}
	case k < 21:
		if id := (chunkID{tr.cursor, 0}); w.chunks[id] && tr.cursor < w.limit.steps {
			delete(w.chunks, id)
			delete(tr.held, id)
			_ = w.tell(tr, unusable{id})
		}
	default:
		_ = w.tell(tr, cycle{})
	}
}

// comeBack has a trainer join at a checkpoint, when none of its name is live.
func (w *world) comeBack(name string, keep int64) {
	from := int64(0)
	for _, tr := range w.trainers {
		if tr.name == name {
			if !tr.dead {
				return
			}
			from = max(from, tr.cursor-int64(w.rng.IntN(4)))
		}
	}
	w.join(name, from, keep)
}
