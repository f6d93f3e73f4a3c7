package record

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"resslt/batcher/wire"
)

// A batch that a machine's power took with it costs its own steps, which are named, and no
// others: what comes behind it is kept, also where the beginning of the file is gone.
func TestDamagedSegment(t *testing.T) {
	m := newMaker()
	all := Window{0, 12}
	spec := &m.run.Spec
	for _, tc := range []struct {
		name        string
		file        string
		batch       int // of the file; -1: its schema
		body        bool
		log, pixels []Window // that are lost of the six steps
	}{
		{"log, metadata", "log", 2, false, []Window{{2, 3}}, nil},
		{"log, body", "log", 2, true, []Window{{2, 3}}, nil},
		{"log, first batch", "log", 0, false, []Window{{0, 1}}, nil},
		{"log, schema", "log", -1, false, nil, nil},
		{"pixels, metadata", "pixels", 4, false, nil, []Window{{1, 2}}},
		{"pixels, a pixel", "pixels", 4, true, nil, []Window{{1, 2}}},
		{"pixels, schema", "pixels", -1, false, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRecorder(t, m.options(dir, 0, all))
			for step := range int64(6) {
				m.give(t, r, Window{step, step + 1})
				if err := r.Sync(); err != nil { // a batch of the log a step
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, tc.file+"-000000.arrow.open")
			f, err := openSegment(path)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			raw := read(t, path)
			at, n := int64(40), int64(40)
			if tc.batch >= 0 {
				x := f.refs[tc.batch]
				at, n = x.at, x.body-x.at
				if tc.body {
					// The last column's end is padding; before it lie pixels or plans.
					at, n = x.body+x.batch.BodyLen/2, 64
				}
			}
			copy(raw[at:], bytes.Repeat([]byte{0}, int(n))) // as a block that was never written
			write(t, path, raw)

			r = newRecorder(t, m.options(dir, 6, all))
			if l := r.Lacking(); !slices.Equal(l.Log, tc.log) || !slices.Equal(l.Pixels, tc.pixels) {
				t.Errorf("it lacks %v, want %v and %v", l, tc.log, tc.pixels)
			}
			m.give(t, r, Window{6, 12})
			closed(t, r)
			rep := m.report(t, dir, true)
			if !slices.Equal(rep.Missing, append([]Window{}, tc.log...)) {
				t.Errorf("the ledger misses %v", rep.Missing)
			}
			if rep.Found != int64(len(tc.log)) {
				t.Errorf("problems: %q", rep.Problems)
			}
			lost := int64(0)
			if tc.pixels != nil {
				lost = 1
			}
			if rep.PixelChunks != int64(12*spec.Chunks())-lost {
				t.Errorf("%d chunks have their pixels", rep.PixelChunks)
			}
		})
	}
}

// What a session is given again that an earlier one lost is recorded again.
func TestLostAndGivenAgain(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 12}))
	m.give(t, r, Window{0, 6})
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "pixels-000000.arrow.open")
	raw := read(t, path)
	copy(raw[len(raw)/2:], make([]byte, 64))
	write(t, path, raw)
	r = newRecorder(t, m.options(dir, 0, Window{0, 12}))
	if l := r.Lacking(); len(l.Log)+len(l.Pixels) > 0 {
		t.Errorf("it lacks %v, all of which comes again", l)
	}
	m.give(t, r, Window{0, 12})
	closed(t, r)
	if rep := m.report(t, dir, true); rep.Found != 0 || rep.PixelChunks != 36 {
		t.Errorf("%+v", rep)
	}
}

// Pixels that are all white look like the mark of a message, wherever one looks.
func TestWhitePixelsAreNoBatches(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 12}))
	enc := wire.NewEncoder(&m.run.Spec)
	for index := range m.run.Spec.Chunks() {
		c := m.chunk(t, 0, index)
		for v := range c.Pixels {
			for i := range c.Pixels[v] {
				c.Pixels[v][i] = 0xFF
			}
		}
		if err := setDigest(c, enc); err != nil {
			t.Fatal(err)
		}
		if err := r.Chunk(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "pixels-000000.arrow.open")
	f, err := openSegment(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	raw := read(t, path)
	raw[f.refs[0].at+20] ^= 0xFF
	write(t, path, raw)
	r = newRecorder(t, m.options(dir, 1, Window{0, 12}))
	closed(t, r)
	if n := openFolder(t, dir).Stored()[0]; n < 1 || n > 2 {
		t.Errorf("%d chunks of 3 were kept, and one was hit", n)
	}
}
