package record

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"resslt/batcher/wire"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// Whatever is wrong with a record, the ledger names it.
func TestLedgerFindsIt(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(m *maker, chunks []*wire.Chunk) []*wire.Chunk
		problem string
	}{
		{"nothing", func(_ *maker, c []*wire.Chunk) []*wire.Chunk { return c }, ""},
		{"any order", func(_ *maker, c []*wire.Chunk) []*wire.Chunk { slices.Reverse(c); return c }, ""},
		{"a chunk is missing", func(_ *maker, c []*wire.Chunk) []*wire.Chunk { return slices.Delete(c, 7, 8) }, "missing: step 2"},
		{"the first step is missing", func(_ *maker, c []*wire.Chunk) []*wire.Chunk { return c[3:] }, "missing: step 0"},
		{"the last two are", func(_ *maker, c []*wire.Chunk) []*wire.Chunk { return c[:30] }, "missing: steps 10 to 11"},
		{"twice in a step that is not whole", func(_ *maker, c []*wire.Chunk) []*wire.Chunk {
			return slices.Insert(c, 1, c[0])
		}, "chunk 0 of step 0 was recorded twice"},
		{"twice, long after", func(_ *maker, c []*wire.Chunk) []*wire.Chunk { return append(c, c[4]) }, "chunk 1 of step 1 was recorded twice"},
		{"another sample", func(_ *maker, c []*wire.Chunk) []*wire.Chunk {
			c[4].Planned[2] = (c[4].Planned[2] + 1) % 47
			return c
		}, "the run's order has"},
		{"a sample twice in its epoch", func(_ *maker, c []*wire.Chunk) []*wire.Chunk {
			c[4].Planned[2] = c[0].Planned[0]
			return c
		}, "twice in epoch 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMaker()
			var chunks []*wire.Chunk
			for step := range int64(12) {
				for index := range 3 {
					chunks = append(chunks, m.chunk(t, step, index))
				}
			}
			l := NewLedger(&m.run.Spec, m.Order(), Window{0, 12})
			for _, c := range tc.change(m, chunks) {
				l.Add(c)
			}
			r := l.Report(true)
			if tc.problem == "" {
				if r.Found != 0 || r.EpochsWhole != 3 {
					t.Errorf("%+v", r)
				}
				return
			}
			if !slices.ContainsFunc(r.Problems, func(s string) bool { return strings.Contains(s, tc.problem) }) {
				t.Errorf("problems %q do not say %q", r.Problems, tc.problem)
			}
		})
	}
}

// A run that continues is held to what it has done.
func TestLedgerOfAnUnfinishedRun(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{}))
	m.give(t, r, Window{0, 5})
	if err := r.Sync(); err != nil { // and it is open: the ledger reads beside the writer
		t.Fatal(err)
	}
	if rep := m.report(t, dir, false); rep.Found != 0 || rep.To != 5 || rep.EpochsWhole != 1 {
		t.Errorf("%+v", rep)
	}
	if rep := m.report(t, dir, true); rep.Found != 1 || rep.Problems[0] != "missing: steps 5 to 11" {
		t.Errorf("%+v", rep)
	}
	closed(t, r)
}

// A tombstone is named with its samples' chunk, and that the chunk was made later.
func TestTombstones(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 12}))
	m.give(t, r, Window{0, 2})
	gone := &wire.Chunk{Step: 2, Index: 1, Tombstone: "its task was tried 5 times", Digest: m.chunk(t, 2, 1).Digest}
	if err := r.Chunk(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	closed(t, r)
	rep := m.report(t, dir, false)
	if len(rep.Tombstones) != 1 || rep.Tombstones[0].Made || rep.Tombstones[0].Reason != gone.Tombstone || rep.StepsWhole != 2 {
		t.Errorf("%+v", rep)
	}
	r = newRecorder(t, m.options(dir, 2, Window{0, 12}))
	m.give(t, r, Window{2, 12})
	closed(t, r)
	rep = m.report(t, dir, true)
	if rep.Found != 0 || len(rep.Tombstones) != 1 || !rep.Tombstones[0].Made || rep.StepsWhole != 12 {
		t.Errorf("%+v", rep)
	}
}

// Chunks made again from other data are found out.
func TestRemake(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{}))
	m.give(t, r, Window{0, 12})
	closed(t, r)
	for salt, want := range []int64{0, 4 * 3} {
		data := newMaker()
		data.salt = byte(salt)
		l := NewLedger(&m.run.Spec, m.Order(), Window{0, 12})
		if err := l.Remake(t.Context(), openFolder(t, dir), data, RemakeOptions{Every: 3, Workers: 2}); err != nil {
			t.Fatal(err)
		}
		if r := l.report; r.Remade != 12 || r.Found != want {
			t.Errorf("salt %d: %d made, %d problems: %q", salt, r.Remade, r.Found, r.Problems)
		}
	}
}

// Pixels that rot are found by their digest, and so is a log that contradicts them.
func TestDamagedPixels(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 12}))
	m.give(t, r, Window{0, 12})
	closed(t, r)
	path := dir + "/pixels-000000.arrow"
	raw := read(t, path)
	raw[bytes.Index(raw, m.chunk(t, 6, 1).Pixels[0])+100] ^= 0x40 // a pixel, which nothing but the digest knows of
	write(t, path, raw)
	rep := m.report(t, dir, true)
	if rep.Found != 1 || !strings.Contains(rep.Problems[0], "its rows have digest") {
		t.Errorf("%q", rep.Problems)
	}
	f := openFolder(t, dir)
	bad := 0
	for step := range int64(12) {
		for index := range 3 {
			if _, err := f.Chunk(t.Context(), step, index); err != nil {
				errstest.Want(t, err, errs.ErrCorrupt, path, "another copy")
				bad++
			}
		}
	}
	if bad != 1 {
		t.Errorf("%d chunks are damaged, want 1", bad)
	}
}
