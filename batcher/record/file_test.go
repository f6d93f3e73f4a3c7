package record

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"resslt/batcher/wire"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// recordBytes are a log and a pixels file of the first steps.
func recordBytes(t testing.TB) (log, pixels []byte) {
	m := newMaker()
	dir := t.TempDir()
	r := newRecorder(t, m.options(dir, 0, Window{0, 2}))
	m.give(t, r, Window{0, 2})
	closed(t, r)
	return read(t, filepath.Join(dir, "log-000000.arrow")), read(t, filepath.Join(dir, "pixels-000000.arrow"))
}

// readAll reads a file as a stranger's: whatever its bytes, an error of a kind that is
// known, or chunks that the run can have.
func readAll(t testing.TB, path string) error {
	f, err := openSegment(path)
	if err == nil {
		defer f.Close()
		err = f.Each(func(c *wire.Chunk) error {
			if c.Step < 0 || c.Step >= f.Run.Spec.Steps() || c.Index >= f.Run.Spec.Chunks() || c.Rows() == 0 {
				t.Errorf("chunk %d of step %d, %d rows", c.Index, c.Step, c.Rows())
			}
			return nil
		})
	}
	for _, kind := range []error{errs.ErrCorrupt, errs.ErrMismatch, errs.ErrUnsupported, errs.ErrTooLarge} {
		if errors.Is(err, kind) {
			return err
		}
	}
	if err != nil {
		t.Errorf("an error of no kind: %v", err)
	}
	return err
}

// No cut and no flipped bit makes the reader crash, run away, or take nonsense for chunks.
func TestHostileFiles(t *testing.T) {
	log, pixels := recordBytes(t)
	dir := t.TempDir()
	for name, whole := range map[string][]byte{"log": log, "pixels": pixels} {
		for _, suffix := range []string{fileSuffix, fileSuffix + openSuffix} {
			path := filepath.Join(dir, name+suffix)
			write(t, path, whole)
			if err := readAll(t, path); err != nil {
				t.Fatal(err)
			}
			for cut := 0; cut < len(whole); cut += 1 + len(whole)/100 {
				write(t, path, whole[:cut])
				if readAll(t, path) == nil && suffix == fileSuffix {
					t.Fatalf("%s cut at %d of %d passes", name, cut, len(whole))
				}
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 300 {
				b := bytes.Clone(whole)
				for range 1 + r.IntN(3) {
					// The head and the first batch's metadata are where lengths stand.
					b[r.IntN(min(len(b), 6000))] ^= 1 << r.IntN(8)
				}
				write(t, path, b)
				_ = readAll(t, path)
			}
		}
	}
	_, err := openSegment(filepath.Join(dir, "none.arrow"))
	errstest.Want(t, err, errs.ErrNotFound, "none.arrow")
	path := filepath.Join(dir, "x.arrow")
	write(t, path, []byte("ARROW1\x00\x00 and no more than that, ARROW1"))
	_, err = openSegment(path)
	errstest.Want(t, err, errs.ErrCorrupt, path)
}

// A file's own run must be one that this build can hold: a batch of a billion samples is
// not allocated because a file says so.
func TestFileOfAWildRun(t *testing.T) {
	m := newMaker()
	m.run.Spec.Dataset.Samples, m.run.Spec.BatchSize, m.run.Spec.StepsPerEpoch = 1<<40, 1<<30, 1
	m.run.Digest = m.run.Spec.Digest()
	path := filepath.Join(t.TempDir(), "log-000000.arrow")
	s, err := createSegment(path, &m.run, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.seal(); err != nil {
		t.Fatal(err)
	}
	_, err = openSegment(path)
	errstest.Want(t, err, errs.ErrTooLarge, "batch_size", "1073741824", "1048576")
}

func TestOpenFolderRefuses(t *testing.T) {
	empty := t.TempDir()
	_, err := OpenFolder(empty)
	errstest.Want(t, err, errs.ErrNotFound, empty)
	_, err = OpenFolder(filepath.Join(empty, "none"))
	errstest.Want(t, err, errs.ErrNotFound)

	m, other := newMaker(), newMaker()
	other.run.Spec.Seed++
	other.run.Digest = other.run.Spec.Digest()
	dir, second := t.TempDir(), t.TempDir()
	for d, m := range map[string]*maker{dir: m, second: other} {
		r := newRecorder(t, m.options(d, 0, Window{}))
		m.give(t, r, Window{0, 1})
		closed(t, r)
	}
	write(t, filepath.Join(dir, "log-000001.arrow"), read(t, filepath.Join(second, "log-000000.arrow")))
	_, err = OpenFolder(dir)
	errstest.Want(t, err, errs.ErrMismatch, "log-000001.arrow", "seed is 2, they have 1")
}

func FuzzOpenFile(f *testing.F) {
	log, pixels := recordBytes(f)
	f.Add(log, false)
	f.Add(pixels, true)
	f.Fuzz(func(t *testing.T, b []byte, open bool) {
		path := filepath.Join(t.TempDir(), "log"+fileSuffix)
		if open {
			path += openSuffix
		}
		write(t, path, b)
		_ = readAll(t, path)
	})
}
