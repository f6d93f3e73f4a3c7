package batcher

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"resslt/schemas"
)

// Where later steps fill the stream and shut out what the trainer waits for, the last of
// them goes, one at a time; not where there is room, nor what another waits for, nor
// anything of a recording.
func TestMakeRoom(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec, src := testSpec(), &hashSource{}
	src.spec = spec
	full := []int64{1, 2, 3, 5}
	open := func(name string, o RunOptions, steps []int64) *Planner {
		t.Helper()
		run, err := OpenRun(t.Context(), js, name, spec, o)
		if err != nil {
			t.Fatal(err)
		}
		enc, c := NewEncoder(&spec), NewChunk(&spec)
		for _, step := range steps {
			for index := range spec.Chunks() {
				if err := MakeChunk(t.Context(), &spec, src.Order(), &hashMaker{&spec, src}, enc, step, index, c); err != nil {
					t.Fatal(err)
				}
				if err := run.Store(t.Context(), enc, c, "test"); err != nil {
					t.Fatal(err)
				}
			}
		}
		p := newPlanner(run, src.Order(), PlannerOptions{Window: 8, Trainer: "t"}, &streamCounters{})
		p.next = 8
		return p
	}
	size := func(p *Planner) int64 {
		t.Helper()
		s, err := js.Stream(t.Context(), schemas.BatchStream(p.run.Name))
		if err != nil {
			t.Fatal(err)
		}
		return int64(s.CachedInfo().State.Bytes)
	}
	room := int64(MaxChunkBytes(&spec) + messageOverhead)
	limit := size(open("rx", RunOptions{}, full)) + room - 1 // one byte is missing
	for i, tc := range []struct {
		name   string
		change func(p *Planner)
		steps  []int64 // that are there
		there  int     // chunks of step 0
		want   []int64 // that stay
		next   int64
	}{
		{"full", func(*Planner) {}, full, 0, []int64{1, 2, 3}, 5},
		{"room", func(*Planner) {}, full[:3], 0, full[:3], 8},
		{"whole", func(*Planner) {}, full, spec.Chunks(), full, 8},
		{"another waits for it", func(p *Planner) { p.others.Store(&[]place{{cursor: 5, window: 8}}) }, full, 0, full, 8},
		{"recorded", func(p *Planner) { p.recorded.Store(true) }, full, 0, full, 8},
		{"recording", func(p *Planner) { p.opts.Keep = -1 }, full, 0, full, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := fmt.Sprint("r", i) // as long as the one that was measured
			p := open(name, RunOptions{MaxBytes: limit}, tc.steps)
			tc.change(p)
			var err error
			if p.present, err = p.list(t.Context(), schemas.AllChunks(name)); err != nil {
				t.Fatal(err)
			}
			if err := p.makeRoom(t.Context(), 0, tc.there); err != nil {
				t.Fatal(err)
			}
			there, err := p.list(t.Context(), schemas.AllChunks(name))
			if err != nil {
				t.Fatal(err)
			}
			stay := map[int64]bool{}
			for subject := range there {
				_, step, _, err := schemas.ParseStepSubject(subject)
				if err != nil {
					t.Fatal(err)
				}
				stay[step] = true
			}
			if got := slices.Sorted(maps.Keys(stay)); !slices.Equal(got, tc.want) || p.next != tc.next || len(there) != len(tc.want)*spec.Chunks() {
				t.Errorf("steps %v stay, %d chunks, the next to be asked for is %d; want %v, %d", got, len(there), p.next, tc.want, tc.next)
			}
		})
	}
}
