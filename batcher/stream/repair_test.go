package stream

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// Where other steps fill the stream and shut out what the trainer waits for, the last of
// them goes, one at a time; not where there is room, nor what another waits for, nor
// anything of a recording.
func TestMakeRoom(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec, src := fixture.Spec(), &rig.HashSource{}
	src.Spec = spec
	full := []int64{1, 2, 3, 5}
	open := func(name string, o runs.Options, steps []int64) *driver {
		t.Helper()
		run, err := runs.Open(t.Context(), js, name, spec, o)
		if err != nil {
			t.Fatal(err)
		}
		enc, c := wire.NewEncoder(&spec), wire.NewChunk(&spec)
		for _, step := range steps {
			for index := range spec.Chunks() {
				if err := produce.Chunk(t.Context(), &spec, src.Order(), &rig.HashMaker{Spec: &spec, Src: src}, enc, step, index, c); err != nil {
					t.Fatal(err)
				}
				if err := run.Store(t.Context(), enc, c, "test"); err != nil {
					t.Fatal(err)
				}
			}
		}
		d := testDriver(run, Options{Window: 8})
		d.planner.next = 8
		return d
	}
	size := func(d *driver) int64 {
		t.Helper()
		s, err := js.Stream(t.Context(), schemas.BatchStream(d.run.Name))
		if err != nil {
			t.Fatal(err)
		}
		return int64(s.CachedInfo().State.Bytes)
	}
	room := int64(spec.MaxChunkMessage())
	limit := size(open("rx", runs.Options{}, full)) + room - 1 // one byte is missing
	for i, tc := range []struct {
		name   string
		change func(p *planner)
		steps  []int64 // that are there
		there  int     // chunks of step 0
		want   []int64 // that stay
		next   int64
	}{
		{"full", func(*planner) {}, full, 0, []int64{1, 2, 3}, 5},
		{"room", func(*planner) {}, full[:3], 0, full[:3], 8},
		{"whole", func(*planner) {}, full, spec.Chunks(), full, 8},
		{"another waits for it", func(p *planner) { p.peers.live = []peer{{position: position{cursor: 5, window: 8}}} }, full, 0, []int64{1, 2, 5}, 3},
		{"recorded", func(p *planner) {
			p.peers.seen = map[string]sighting{"x": {Held: leases.Held{Note: leases.Note{Keep: -1}}}}
		}, full, 0, full, 8},
		{"recording", func(p *planner) { p.limits.keep = -1 }, full, 0, full, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := fmt.Sprint("r", i) // as long as the one that was measured
			d := open(name, runs.Options{MaxBytes: limit}, tc.steps)
			p := d.planner
			tc.change(p)
			p.begin(once(listAllChunks), once(func(p *planner) []action {
				for c := range tc.there {
					p.present[chunkID{0, c}] = true
				}
				return nil
			}), once((*planner).readFullStore), once((*planner).makeRoom))
			if err := d.handle(t.Context(), nothing{}); err != nil {
				t.Fatal(err)
			}
			there, err := d.list(t.Context(), schemas.BatchStream(name), schemas.AllChunks(name))
			if err != nil {
				t.Fatal(err)
			}
			stay := map[int64]bool{}
			for id := range there {
				stay[id.step] = true
			}
			if got := slices.Sorted(maps.Keys(stay)); !slices.Equal(got, tc.want) || p.next != tc.next || len(there) != len(tc.want)*spec.Chunks() {
				t.Errorf("steps %v stay, %d chunks, the next to be issued is %d; want %v, %d", got, len(there), p.next, tc.want, tc.next)
			}
		})
	}
}

// nothing is an event that tells nothing.
type nothing struct{}

func (nothing) apply(*planner) {}

// A worker that dies with tasks of several steps delays them once, and not each in its turn: when
// its heartbeats have ended and nothing else is to be done, all that it may have are given to
// others. One that has left in good order has none.
func TestTasksOfADeadWorker(t *testing.T) {
	for _, left := range []bool{false, true} {
		t.Run(fmt.Sprintf("left=%v", left), func(t *testing.T) {
			t.Parallel()
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			spec, src := fixture.Spec(), &rig.HashSource{}
			const window = 4
			run := openRun(t, js, spec, runs.Options{Window: window, AckWait: time.Hour})
			s := openStream(t, run, Options{RepairAfter: 200 * time.Millisecond})
			queue, err := js.Consumer(t.Context(), schemas.TasksStream("r"), schemas.WorkersConsumer)
			if err != nil {
				t.Fatal(err)
			}
			// It takes all of the window, and is not heard of any more.
			for range window * spec.Chunks() {
				if _, err := queue.Next(); err != nil {
					t.Fatal(err)
				}
			}
			beat, err := (&runs.Heartbeat{Worker: "dead", Every: time.Millisecond, Time: time.Now().Add(-2 * time.Second), Left: left}).Encode()
			if err == nil {
				_, err = js.Publish(t.Context(), schemas.WorkerSubject("r", "dead"), beat)
			}
			if err != nil {
				t.Fatal(err)
			}
			farm.Start(t, js, src, worker.Options{Workers: 2}, "r")
			// The trainer asks for no step. Those after the first are waited for by nobody yet.
			want := int64(window * spec.Chunks())
			if left {
				want = int64(spec.Chunks())
			}
			for deadline := time.Now().Add(20 * time.Second); s.Stats().Repaired < want; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d tasks were given to others of %d", s.Stats().Repaired, want)
				}
			}
			if got := s.Stats().Repaired; got != want {
				t.Errorf("%d tasks were given to others, want %d", got, want)
			}
			rig.Equal(t, take(t, s, window), rig.Want(t, spec, src, 0, window))
		})
	}
}
