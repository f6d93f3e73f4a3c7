package record

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// sealedRecord is a record of steps 0 to 5, a batch of the log a step, sealed; the log and the
// pixels are one file each.
func sealedRecord(t *testing.T, m *maker) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 12}))
	for step := range int64(6) {
		m.give(t, r, Window{step, step + 1})
		if err := r.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, r)
	return dir
}

// resume continues a record at a step, and gives what it said.
func (m *maker) resume(t *testing.T, dir string, at int64) (r *Recorder, says []string) {
	t.Helper()
	o := m.options(dir, at, Window{0, 12})
	o.Warn = func(line string) { says = append(says, line) }
	return newRecorder(t, o), says
}

// A sealed file that is damaged does not keep a run from being resumed: it is set aside under
// a name that says so, in one line; what is whole of it stays, and what is not comes again or
// is named as lacking.
func TestDamagedSealed(t *testing.T) {
	m := newMaker()
	for _, tc := range []struct {
		name        string
		file        string
		hurt        func(raw []byte, f *segmentFile) []byte
		log, pixels []Window // that are lost of the four steps before the checkpoint
	}{
		{"log, magic", "log", flip(1), nil, nil},
		{"log, length of the schema", "log", flip(fileStart + 5), nil, nil},
		{"log, kind", "log", flipIn("record-log/1", 8), nil, nil},
		{"log, version of the kind", "log", flipIn("record-log/1", 11), nil, nil},
		{"log, run's digest", "log", flipIn(m.run.Digest, 9), nil, nil},
		{"log, run's seed", "log", flipIn(`"seed":1`, 7), nil, nil},
		{"log, metadata of a batch", "log", flipBatch(2, true), []Window{{2, 3}}, nil},
		{"log, a batch that comes again", "log", flipBatch(4, true), nil, nil},
		{"log, the body of one that comes again", "log", flipBatch(5, false), nil, nil},
		{"log, the file's end", "log", flip(-1), nil, nil},
		{"log, length of the footer", "log", flip(-8), nil, nil},
		{"log, high length of the footer", "log", flip(-7), nil, nil},
		{"log, cut in the footer", "log", cut(40), nil, nil},
		{"log, cut in half", "log", half, []Window{{2, 4}}, nil},
		{"log, its first bytes alone", "log", keep(20), []Window{{0, 4}}, nil},
		{"log, empty", "log", keep(0), []Window{{0, 4}}, nil},
		{"log, zeros", "log", func(raw []byte, _ *segmentFile) []byte { return make([]byte, len(raw)) }, []Window{{0, 4}}, nil},
		{"pixels, schema", "pixels", flip(fileStart + 5), nil, nil},
		{"pixels, metadata of a batch", "pixels", flipBatch(4, true), nil, []Window{{1, 2}}},
		{"pixels, a pixel that comes again", "pixels", flipBatch(16, false), nil, nil},
		{"pixels, the file's end", "pixels", flip(-1), nil, nil},
		{"pixels, empty", "pixels", keep(0), nil, []Window{{0, 4}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := sealedRecord(t, m)
			path := filepath.Join(dir, tc.file+"-000000.arrow")
			f, err := openSegment(path)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			hurt := tc.hurt(bytes.Clone(read(t, path)), f)
			write(t, path, hurt)

			r, says := m.resume(t, dir, 4)
			if len(says) != 1 || strings.Contains(says[0], "\n") || !strings.Contains(says[0], tc.file+"-000000.arrow of the record is damaged") || !strings.Contains(says[0], path+damagedSuffix) {
				t.Errorf("it says %q", says)
			}
			if !bytes.Equal(read(t, path+damagedSuffix), hurt) {
				t.Error("what was set aside is not what was there")
			}
			if l := r.Lacking(); !slices.Equal(l.Log, tc.log) || !slices.Equal(l.Pixels, tc.pixels) {
				t.Errorf("it lacks %v, want %v and %v", l, tc.log, tc.pixels)
			}
			m.give(t, r, Window{4, 12})
			closed(t, r)
			rep := m.report(t, dir, true)
			if !slices.Equal(rep.Missing, append([]Window{}, tc.log...)) || rep.Found != int64(len(tc.log)) {
				t.Errorf("the ledger misses %v: %q", rep.Missing, rep.Problems)
			}
			r, says = m.resume(t, dir, 12)
			closed(t, r)
			if len(says) > 0 {
				t.Errorf("the next says again %q", says)
			}
		})
	}
}

// flip turns a bit at an offset, from the end where it is negative.
func flip(at int) func([]byte, *segmentFile) []byte {
	return func(raw []byte, _ *segmentFile) []byte {
		if at < 0 {
			raw[len(raw)+at] ^= 4
		} else {
			raw[at] ^= 4
		}
		return raw
	}
}

// flipIn turns a bit in the first place where the file says text: in the schema, not in the
// footer.
func flipIn(text string, at int) func([]byte, *segmentFile) []byte {
	return func(raw []byte, _ *segmentFile) []byte {
		raw[bytes.Index(raw, []byte(text))+at] ^= 4
		return raw
	}
}

// flipBatch turns a bit in the metadata of a batch, or in the longest column of its body.
func flipBatch(n int, metadata bool) func([]byte, *segmentFile) []byte {
	return func(raw []byte, f *segmentFile) []byte {
		x := f.refs[n]
		schema, err := schemas.RecordSchema(&f.Run, f.Pixels)
		if err != nil {
			panic(err)
		}
		at, longest := x.at+4, int64(0)
		for i := range schema.NumFields() {
			if off, n := x.batch.Range(i); !metadata && n > longest {
				at, longest = x.body+off+n/4, n // in its middle may be padding
			}
		}
		raw[at] ^= 4
		return raw
	}
}

func cut(n int) func([]byte, *segmentFile) []byte {
	return func(raw []byte, _ *segmentFile) []byte { return raw[:len(raw)-n] }
}

func keep(n int) func([]byte, *segmentFile) []byte {
	return func(raw []byte, _ *segmentFile) []byte { return raw[:n] }
}

// half ends in the third batch.
func half(raw []byte, f *segmentFile) []byte { return raw[:f.refs[2].body+8] }

// Whichever bit turns, a run is resumed; what is said to be damaged is kept as it was, and the
// record can be read.
func TestAnyBit(t *testing.T) {
	m := newMaker()
	whole := sealedRecord(t, m)
	const name = "log-000000.arrow"
	raw := read(t, filepath.Join(whole, name))
	mended := 0
	for at := 0; at < len(raw); at += 149 {
		dir := t.TempDir()
		hurt := bytes.Clone(raw)
		hurt[at] ^= 1 << (at % 8)
		write(t, filepath.Join(dir, name), hurt)
		r, says := m.resume(t, dir, 3)
		closed(t, r)
		was := name
		if len(says) > 0 {
			was += damagedSuffix
			mended++
		}
		if !bytes.Equal(read(t, filepath.Join(dir, was)), hurt) {
			t.Fatalf("byte %d: the file was changed in place", at)
		}
		r, says = m.resume(t, dir, 3)
		closed(t, r)
		if len(says) > 0 {
			t.Fatalf("byte %d: the next finds %q", at, says)
		}
	}
	if mended < len(raw)/149/4 {
		t.Errorf("%d bits were noticed", mended)
	}
}

// A file that is gone is lacking, first, middle and last; its number is not given away.
func TestMissingSegment(t *testing.T) {
	m := newMaker()
	for gone, lacks := range map[string][]Window{"log-000000.arrow": {{0, 1}}, "log-000002.arrow": {{2, 3}}, "log-000005.arrow": {{5, 6}}} {
		t.Run(gone, func(t *testing.T) {
			dir := t.TempDir()
			o := m.options(dir, 0, Window{})
			o.SegmentBytes = 1
			r := newRecorder(t, o)
			for step := range int64(6) {
				m.give(t, r, Window{step, step + 1})
				if err := r.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			closed(t, r)
			if err := os.Remove(filepath.Join(dir, gone)); err != nil {
				t.Fatal(err)
			}
			r = newRecorder(t, m.options(dir, 6, Window{}))
			if l := r.Lacking(); !slices.Equal(l.Log, lacks) {
				t.Errorf("it lacks %v, want %v", l.Log, lacks)
			}
			m.give(t, r, Window{6, 12})
			closed(t, r)
			if rep := m.report(t, dir, true); !slices.Equal(rep.Missing, lacks) {
				t.Errorf("the ledger misses %v", rep.Missing)
			}
		})
	}
}

// What is whole and not ours is refused, not set aside: the record of another run, damaged or
// not, and one of a newer build.
func TestRefusedNotSetAside(t *testing.T) {
	for _, tc := range []struct {
		name string
		hurt func(raw []byte, f *segmentFile) []byte
		kind error
		says string
	}{
		{"another run", func(raw []byte, _ *segmentFile) []byte { return raw }, errs.ErrMismatch, "seed is 2, that has 1"},
		{"another run, damaged", flipBatch(2, true), errs.ErrMismatch, "seed is 2, that has 1"},
		{"another run, cut", cut(40), errs.ErrMismatch, "seed is 2, that has 1"},
		{"a newer kind", func(raw []byte, _ *segmentFile) []byte {
			return bytes.ReplaceAll(raw, []byte("record-log/1"), []byte("record-log/2"))
		}, errs.ErrUnsupported, "record-log/2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMaker()
			dir := sealedRecord(t, m)
			path := filepath.Join(dir, "log-000000.arrow")
			f, err := openSegment(path)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			hurt := tc.hurt(read(t, path), f)
			write(t, path, hurt)
			if tc.kind == errs.ErrMismatch {
				m.run.Spec.Seed++
				m.run.Digest = m.run.Spec.Digest()
			}
			_, err = New(m.options(dir, 4, Window{}))
			errstest.Want(t, err, tc.kind, tc.says)
			if !bytes.Equal(read(t, path), hurt) {
				t.Error("the file was changed")
			}
		})
	}
}
