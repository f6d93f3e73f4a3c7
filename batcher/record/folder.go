package record

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Subfolder is where a run's folder has its record.
const Subfolder = "record"

// Folder is a record that is read: all files of one run. It is safe for concurrent use.
type Folder struct {
	Dir   string
	Run   schemas.RunInfo
	Files []*segmentFile // by name

	log    []logged           // batches of the log, by first step
	pixels map[chunkID]inFile // chunks whose pixels are kept
	encode sync.Pool          // of *batcher.Encoder
	mu     sync.Mutex         // guards the cache
	cached *logged            // batch that was read last
	chunks []*wire.Chunk      // of it
}

type inFile struct {
	file *segmentFile
	ref  ref
}

type logged inFile

// OpenFolder opens the record in dir: a record's folder, the folder of a run that has
// one, or one file. It returns ErrNotFound, ErrMismatch for files of several runs, and
// OpenFile's errors.
func OpenFolder(dir string) (_ *Folder, err error) {
	paths := []string{dir}
	info, err := os.Stat(dir)
	if err == nil && info.IsDir() {
		if sub := filepath.Join(dir, Subfolder); isDir(sub) {
			dir = sub
		}
		if paths, err = segmentFiles(dir); err != nil {
			return nil, diskError(dir, err)
		}
	}
	if err != nil || len(paths) == 0 {
		return nil, errs.New("open record", dir, "name the folder of a run, or one that `resslt record export` wrote",
			errs.Because(errs.ErrNotFound, "it holds no record"))
	}
	r := &Folder{Dir: dir, pixels: map[chunkID]inFile{}}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	for _, path := range paths {
		f, err := openSegment(path)
		if errors.Is(err, errs.ErrCorrupt) && strings.HasSuffix(path, openSuffix) {
			continue // its beginning was being written
		}
		if err != nil {
			return nil, err
		}
		r.Files = append(r.Files, f)
		if err := r.join(f); err != nil {
			return nil, err
		}
		for _, x := range f.refs {
			if f.Pixels {
				r.pixels[chunkID{x.first, int(x.chunk)}] = inFile{f, x}
			} else {
				r.log = append(r.log, logged{f, x})
			}
		}
	}
	if len(r.Files) == 0 {
		return nil, errs.New("open record", dir, "train a step first", errs.Because(errs.ErrNotFound, "it holds nothing yet"))
	}
	slices.SortStableFunc(r.log, func(a, b logged) int { return int(min(max(a.ref.first-b.ref.first, -1), 1)) })
	r.encode.New = func() any { return wire.NewEncoder(&r.Run.Spec) }
	return r, nil
}

// join takes the run from a file, which comes after those that were taken from: log files
// first, each kind in the order in which it was written. A run that was resumed with more
// epochs has files of both lengths; the newest log counts.
func (r *Folder) join(f *segmentFile) error {
	first := r.Run.Digest == ""
	if !first && !f.Run.Spec.EqualBatches(&r.Run.Spec) {
		return errs.New("open record", r.Dir, "keep each run's record in a folder of its own", errs.Because(errs.ErrMismatch,
			fmt.Sprintf("%s is of another run than the files before it: %s", filepath.Base(f.Path), f.Run.Spec.Differences(&r.Run.Spec).Text("they have"))))
	}
	if logs := slices.ContainsFunc(r.Files, func(g *segmentFile) bool { return !g.Pixels }); first || !f.Pixels || !logs {
		r.Run.Spec, r.Run.Digest = f.Run.Spec, f.Run.Digest
	}
	r.Run.DataURI, r.Run.Data = f.Run.DataURI, f.Run.Data // the newest
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func segmentFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	var out []string
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() && (strings.HasSuffix(name, fileSuffix) || strings.HasSuffix(name, fileSuffix+openSuffix)) {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out, err
}

// Spec is the run's spec.
func (r *Folder) Spec() *schemas.RunSpec { return &r.Run.Spec }

// Chunk gives a chunk with its pixels, its digest computed again from its rows and compared.
// It returns ErrNotFound where the record has not its pixels, ErrCorrupt where they are
// not what was recorded.
func (r *Folder) Chunk(ctx context.Context, step int64, index int) (*wire.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, ok := r.pixels[chunkID{step, index}]
	if !ok {
		return nil, errs.New("read record", fmt.Sprintf("%s, chunk %d of step %d", r.Dir, index, step),
			"see `resslt record ls` for the steps that it has; --replay log: has a log's steps made again", errs.Because(errs.ErrNotFound, "its pixels were not recorded"))
	}
	chunks, err := at.file.batch(at.ref)
	if err != nil {
		return nil, err
	}
	return chunks[0], r.checkPixels(at.file, chunks[0])
}

// checkPixels computes a chunk's digest again, and compares.
func (r *Folder) checkPixels(f *segmentFile, c *wire.Chunk) error {
	enc := r.encode.Get().(*wire.Encoder)
	defer r.encode.Put(enc)
	return checkPixels(enc, f, c)
}

func checkPixels(enc *wire.Encoder, f *segmentFile, c *wire.Chunk) error {
	body, err := enc.Encode(c)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if got := hex.EncodeToString(sum[:]); got != c.Digest {
		return errs.New("read record", fmt.Sprintf("%s, chunk %d of step %d", f.Path, c.Index, c.Step), "take it from another copy of the record",
			errs.Because(errs.ErrCorrupt, fmt.Sprintf("its rows have digest %.12s, it was recorded with %.12s", got, c.Digest)))
	}
	return nil
}

// Logged gives the log's entry of a chunk, all but its pixels. It returns ErrNotFound
// where the log has none.
func (r *Folder) Logged(step int64, index int) (*wire.Chunk, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	has := func(cs []*wire.Chunk) *wire.Chunk {
		for _, c := range cs {
			if c.Step == step && c.Index == index && c.Tombstone == "" {
				return c
			}
		}
		return nil
	}
	if c := has(r.chunks); c != nil {
		return c, nil
	}
	for i := range r.log {
		at := &r.log[i]
		if at.ref.first > step || at.ref.last < step || at == r.cached {
			continue
		}
		chunks, err := at.file.batch(at.ref)
		if err != nil {
			return nil, err
		}
		if c := has(chunks); c != nil {
			r.cached, r.chunks = at, chunks
			return c, nil
		}
	}
	return nil, errs.New("read record", fmt.Sprintf("%s, chunk %d of step %d", r.Dir, index, step), "see `resslt record ls` for the steps that it has",
		errs.Because(errs.ErrNotFound, "the log does not have it"))
}

// Stored counts the chunks of each step whose pixels the record has.
func (r *Folder) Stored() map[int64]int {
	out := map[int64]int{}
	for at := range r.pixels {
		out[at.step]++
	}
	return out
}

// LoggedTo is the step after the last one that the log has entries of, 0 where it has none.
func (r *Folder) LoggedTo() (step int64) {
	for i := range r.log {
		step = max(step, r.log[i].ref.last+1)
	}
	return step
}

// eachLogged calls f with every entry of the log, tombstones too, by step as far as the
// log was written so. Batches that fail with an error that pass accepts are passed over.
func (r *Folder) eachLogged(f func(*wire.Chunk) error, pass func(error) bool) error {
	for _, at := range r.log {
		chunks, err := at.file.batch(at.ref)
		if err != nil && pass(err) {
			continue
		}
		if err != nil {
			return err
		}
		for _, c := range chunks {
			if err := f(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check gives a recorder that keeps nothing, and refuses a chunk whose digest is not the
// log's: ErrMismatch, which names both.
func (r *Folder) Check() stream.Recorder { return check{r} }

type check struct{ log *Folder }

func (k check) Chunk(_ context.Context, c *wire.Chunk) error {
	if c.Tombstone != "" {
		return nil // the stream ends by it
	}
	was, err := k.log.Logged(c.Step, c.Index)
	if err != nil {
		return err
	}
	if was.Digest != c.Digest {
		return errs.New("replay", fmt.Sprintf("chunk %d of step %d", c.Index, c.Step), "replay with the data set, engine and build of the recorded run",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("the log has digest %.12s, it was made again as %.12s", was.Digest, c.Digest)))
	}
	return nil
}

func (check) Step(int64) error { return nil }

// Close closes the files.
func (r *Folder) Close() error {
	var errs []error
	for _, f := range r.Files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
