package session

import (
	"testing"

	"resslt/augment"
	"resslt/batcher/wire"
	"resslt/schemas"
)

// webChunk is a chunk with pixels and plans, as a stream hands it out.
func webChunk(t testing.TB, spec *schemas.RunSpec, step int64, index int) *wire.Chunk {
	t.Helper()
	policy, err := augment.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	drawn := augment.Draw(policy, 0, augment.Key{Seed: 1, Sample: step}, 28, 28)
	plan, err := drawn.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &wire.Chunk{Step: step, Index: index, Pixels: make([][]byte, len(spec.Views)), Plans: make([][][]byte, len(spec.Views))}
	for i := range 8 {
		c.Slots, c.Samples, c.Planned = append(c.Slots, int32(i)), append(c.Samples, int64(i)), append(c.Planned, int64(i))
		c.Labels, c.Reasons = append(c.Labels, 0), append(c.Reasons, "")
		for v, view := range spec.Views {
			c.Pixels[v] = append(c.Pixels[v], make([]byte, view.Bytes())...)
			c.Plans[v] = append(c.Plans[v], plan)
		}
	}
	return c
}

var webSpec = schemas.RunSpec{Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 28}, {Name: "strong", Role: schemas.Student, Size: 28}}}

// Rows are copied once for each time that they are asked for, and shown when their step is handed
// out; nobody asks, nothing is copied.
func TestViewsAreCopiedWhereWanted(t *testing.T) {
	k := &viewKeeper{spec: &webSpec}
	take := func(step int64, index int) {
		t.Helper()
		if err := k.Chunk(t.Context(), webChunk(t, &webSpec, step, index)); err != nil {
			t.Fatal(err)
		}
	}
	hand := func(step int64) {
		t.Helper()
		if err := k.Step(step); err != nil {
			t.Fatal(err)
		}
	}
	take(0, 0)
	hand(0)
	if k.next.Load() != nil || k.newest.Load() != nil {
		t.Fatal("copied with nobody asking")
	}
	k.wanted.Store(true)
	take(5, 1)
	take(6, 0)
	take(7, 0)
	hand(5)
	if k.newest.Load() != nil {
		t.Error("shown before its step is handed out")
	}
	hand(6)
	v := k.newest.Load()
	if v == nil || v.Slots[0].Step != 6 || len(v.Slots) != 4 || len(v.Slots[0].Pixels[1]) != 3*28*28 {
		t.Fatalf("%+v", v)
	}
	take(8, 0)
	hand(8)
	if k.newest.Load() != v {
		t.Error("copied once more than was asked")
	}
}

// What --web costs a run that nobody looks at: this for each chunk, and an atomic store a step.
func BenchmarkViewKeeperIdle(b *testing.B) {
	k, c := &viewKeeper{spec: &webSpec}, webChunk(b, &webSpec, 0, 0)
	for b.Loop() {
		_ = k.Chunk(b.Context(), c)
		_ = k.Step(0)
	}
}

// What it costs once in ten seconds where somebody does.
func BenchmarkViewKeeperCopies(b *testing.B) {
	k, c := &viewKeeper{spec: &webSpec}, webChunk(b, &webSpec, 0, 0)
	for b.Loop() {
		k.wanted.Store(true)
		_ = k.Chunk(b.Context(), c)
		_ = k.Step(0)
	}
}
