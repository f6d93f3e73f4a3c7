package stream

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
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
