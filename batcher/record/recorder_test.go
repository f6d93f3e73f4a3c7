package record

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// What is recorded comes back: chunk for chunk, and the ledger finds every sample of every
// epoch once.
func TestRecordRoundTrip(t *testing.T) {
	m := newMaker()
	m.broken = 12
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{3, 5}))
	m.give(t, r, Window{0, 12})
	closed(t, r)
	if got := names(t, dir); !slices.Equal(got, []string{"log-000000.arrow", "pixels-000000.arrow"}) {
		t.Fatalf("files %q", got)
	}
	f := openFolder(t, dir)
	for step := range m.run.Spec.Steps() {
		for index := range m.run.Spec.Chunks() {
			want := m.chunk(t, step, index)
			got, err := f.Logged(step, index)
			if err != nil {
				t.Fatal(err)
			}
			if got.Digest != want.Digest || !slices.Equal(got.Samples, want.Samples) || !slices.Equal(got.Planned, want.Planned) ||
				!slices.Equal(got.Labels, want.Labels) || !slices.Equal(got.Reasons, want.Reasons) || string(got.Plans[1][1]) != string(want.Plans[1][1]) {
				t.Fatalf("chunk %d of step %d: %+v, want %+v", index, step, got, want)
			}
			whole, err := f.Chunk(t.Context(), step, index)
			if step < 3 || step >= 5 {
				errstest.Want(t, err, errs.ErrNotFound, "pixels were not recorded")
				continue
			}
			if err != nil || !bytes.Equal(whole.Pixels[1], want.Pixels[1]) || whole.Digest != want.Digest {
				t.Fatalf("chunk %d of step %d: %v", index, step, err)
			}
		}
	}
	rep := m.report(t, dir, true)
	if rep.Found != 0 || rep.StepsWhole != 12 || rep.Visits != 120 || rep.EpochsWhole != 3 || rep.Tail != 7 || rep.PixelChunks != 6 {
		t.Errorf("%+v", rep)
	}
	if n := len(rep.Replaced); n == 0 || n > 3 || rep.Replaced[0].Planned != 12 || rep.Replaced[0].Reason != "corrupt: no picture" {
		t.Errorf("replaced: %+v", rep.Replaced)
	}
}

// The files are Arrow files to Arrow's own reader, and say which run they are of.
func TestAnyArrowReadsIt(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 2}))
	m.give(t, r, Window{0, 2})
	closed(t, r)
	// give's chunks come last to first: the log has them in order, the pixels as they came.
	for name, index := range map[string]int{"log-000000.arrow": 0, "pixels-000000.arrow": 2} {
		want := m.chunk(t, 0, index)
		raw, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		a, err := ipc.NewFileReader(raw)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if text, _ := a.Schema().Metadata().GetValue(schemas.MetaRun); !bytes.Contains([]byte(text), []byte(m.run.Digest)) {
			t.Errorf("%s does not name its run: %s", name, text)
		}
		n := int64(0)
		for i := range a.NumRecords() {
			rec, err := a.Record(i)
			if err != nil {
				t.Fatal(err)
			}
			plan := rec.Column(int(rec.NumCols() - 1)).(*array.Binary)
			if n == 0 && (rec.Column(schemas.RecColSample).(*array.Int64).Value(1) != want.Samples[1] || string(plan.Value(1)) != string(want.Plans[1][1])) {
				t.Errorf("%s: sample %v, plan %q", name, rec.Column(schemas.RecColSample), plan.Value(1))
			}
			n += rec.NumRows()
		}
		if n != 20 {
			t.Errorf("%s has %d rows, want 20", name, n)
		}
	}
}

// A process that dies leaves a torn file. The next session seals what is whole, compares
// what comes again, and writes nothing twice.
func TestKilledAndResumed(t *testing.T) {
	m := newMaker()
	all := Window{0, 12}
	for _, tc := range []struct {
		name string
		cut  int64 // bytes off the end of each open file
		at   int64 // checkpoint
	}{
		{"whole", 0, 5},
		{"torn", 700, 3},
		{"before its first batch", 1 << 30, 0},
		{"at the checkpoint", 0, 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRecorder(t, m.options(dir, 0, all))
			m.give(t, r, Window{0, 6})
			if err := r.Sync(); err != nil {
				t.Fatal(err)
			}
			// The process is gone: nothing is closed, nothing sealed.
			for _, name := range []string{"log-000000.arrow.open", "pixels-000000.arrow.open"} {
				path := filepath.Join(dir, name)
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path, max(100, info.Size()-tc.cut)); err != nil {
					t.Fatal(err)
				}
			}
			if tc.cut == 700 && m.torn(t, dir) == 0 {
				t.Error("no file was torn")
			}
			at := tc.at
			if tc.cut == 700 {
				at = 0 // the log is one batch, which is lost
			}
			r = newRecorder(t, m.options(dir, at, all))
			if l := r.Lacking(); len(l.Log) > 0 {
				t.Errorf("it lacks %v", l)
			}
			m.give(t, r, Window{at, 12})
			closed(t, r)
			for _, n := range names(t, dir) {
				if filepath.Ext(n) != ".arrow" {
					t.Errorf("%s is left", n)
				}
			}
			if rep := m.report(t, dir, true); rep.Found != 0 || rep.StepsWhole != 12 || rep.PixelChunks != 36 {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// torn is how many bytes of the open files are no whole batch.
func (m *maker) torn(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, f := range openFolder(t, dir).Files {
		n += f.Torn
	}
	return n
}

// A resumed session that is given other bytes than the one before says so; one whose log
// is behind its checkpoint says that, and the ledger names the steps.
func TestResumeIsHeldAgainstTheLog(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{}))
	m.give(t, r, Window{0, 6})
	closed(t, r)
	other := newMaker()
	other.salt = 1
	r = newRecorder(t, m.options(dir, 4, Window{}))
	errstest.Want(t, r.Chunk(t.Context(), other.chunk(t, 5, 0)), errs.ErrDeterminism, "chunk 0 of step 5", other.chunk(t, 5, 0).Digest[:12])
	closed(t, r)

	r = newRecorder(t, m.options(dir, 8, Window{}))
	if l := r.Lacking(); !slices.Equal(l.Log, []Window{{6, 8}}) {
		t.Errorf("it lacks %v", l)
	}
	m.give(t, r, Window{8, 12})
	closed(t, r)
	rep := m.report(t, dir, true)
	if rep.Found != 1 || !slices.Equal(rep.Missing, []Window{{6, 8}}) || rep.Problems[0] != "missing: steps 6 to 7" {
		t.Errorf("%+v", rep)
	}

	alien := newMaker()
	alien.run.Spec.Seed++
	alien.run.Digest = alien.run.Spec.Digest()
	_, err := New(alien.options(dir, 0, Window{}))
	errstest.Want(t, err, errs.ErrMismatch, "seed is 2, that has 1")
}

// Small segments, small batches: many files, one record.
func TestManySegments(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	o := m.options(dir, 0, Window{0, 12})
	o.SegmentBytes = 1
	r := newRecorder(t, o)
	for step := range int64(12) {
		m.give(t, r, Window{step, step + 1})
		if err := r.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, r)
	if n := len(names(t, dir)); n != 12+36 {
		t.Errorf("%d files", n)
	}
	if rep := m.report(t, dir, true); rep.Found != 0 || rep.StepsWhole != 12 || rep.PixelChunks != 36 {
		t.Errorf("%+v", rep)
	}
}

// A batch that is kept is a record of one step.
func TestKeep(t *testing.T) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{}))
	s, err := Replay(m, 0, r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 3 {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b.Step == 2 {
			path := filepath.Join(dir, "diverged-step-2.arrow")
			for range 2 { // an earlier one is replaced
				if err := r.Keep(path, b); err != nil {
					t.Fatal(err)
				}
			}
			f := openFolder(t, path)
			c, err := f.Chunk(t.Context(), 2, 1)
			if err != nil || c.Digest != m.chunk(t, 2, 1).Digest || len(f.Stored()) != 1 {
				t.Fatalf("%+v, %v", c, err)
			}
			b.Step = 1
			errstest.Want(t, r.Keep(path, b), errs.ErrNotFound, "step 1")
		}
		b.Release()
	}
	closed(t, r)
}

func TestOptionsAreChecked(t *testing.T) {
	m := newMaker()
	for text, change := range map[string]func(*Options){
		"folder":    func(o *Options) { o.Dir = "" },
		"order":     func(o *Options) { o.Order = nil },
		"negative":  func(o *Options) { o.From = -1 },
		"step 12":   func(o *Options) { o.Pixels = Window{12, 13} },
		"a chunk":   func(o *Options) { o.Run.Spec.ChunkSamples = maxLogRows },
		"/dev/null": func(o *Options) { o.Dir = "/dev/null/x" },
	} {
		o := m.options(t.TempDir(), 0, Window{})
		change(&o)
		kind := errs.ErrUsage
		switch text {
		case "a chunk":
			kind = errs.ErrUnsupported
		case "/dev/null":
			kind = errs.ErrUnavailable
		}
		_, err := New(o)
		errstest.Want(t, err, kind, text)
	}
	for s, want := range map[string]Window{"3-5": {3, 6}, "7": {7, 8}, "4-": {4, 12}, "0-99": {0, 12}} {
		if w, err := ParseWindow(s, 12); err != nil || w != want {
			t.Errorf("%q: %v, %v", s, w, err)
		}
	}
	for _, s := range []string{"", "-", "5-3", "12", "a-b", "-4", "1-2-3"} {
		_, err := ParseWindow(s, 12)
		errstest.Want(t, err, errs.ErrUsage, "0 to 11")
	}
}

// A run that goes on for more epochs goes on with its record, which is then of the longer
// run and holds every step once; a run of another seed does not.
func TestRecordOfALongerRun(t *testing.T) {
	m, longer := newMaker(), newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 12}))
	m.give(t, r, Window{0, 12})
	closed(t, r)
	longer.run.Spec.Epochs++
	longer.run.Digest = longer.run.Spec.Digest()
	end := longer.run.Spec.Steps()
	r = newRecorder(t, longer.options(dir, 10, Window{0, end}))
	longer.give(t, r, Window{10, end})
	closed(t, r)
	f := openFolder(t, dir)
	if f.Run.Digest != longer.run.Digest || len(f.Stored()) != int(end) {
		t.Errorf("run %.12s of %d steps, want %.12s of %d", f.Run.Digest, len(f.Stored()), longer.run.Digest, end)
	}
	if rep := longer.report(t, dir, true); rep.Found != 0 || rep.StepsWhole != end || rep.EpochsWhole != longer.run.Spec.Epochs {
		t.Errorf("%+v", rep)
	}
	other := newMaker()
	other.run.Spec.Seed++
	other.run.Digest = other.run.Spec.Digest()
	_, err := New(other.options(dir, 10, Window{}))
	errstest.Want(t, err, errs.ErrMismatch, "seed is 2, that has 1")
}
