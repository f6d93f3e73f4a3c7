package record

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"resslt/batcher/internal/layout"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// recoverSegments seals the files that a session left open: with their whole batches,
// for the last may be torn. It reports whether a batch was damaged, too, other than the
// last: a machine that loses its power need not have written in order.
func recoverSegments(dir string, run *schemas.RunInfo) (damaged bool, err error) {
	open, err := filepath.Glob(filepath.Join(dir, "*"+fileSuffix+openSuffix))
	if err != nil {
		return false, diskError(dir, err)
	}
	for _, path := range open {
		lost, err := recoverSegment(path, run)
		if err != nil {
			return false, err
		}
		damaged = damaged || lost
	}
	return damaged, nil
}

func recoverSegment(path string, run *schemas.RunInfo) (damaged bool, err error) {
	f, err := openSegment(path)
	if err != nil && !errors.Is(err, errs.ErrUnavailable) && !errors.Is(err, errs.ErrNotFound) {
		f, err = openDamaged(path, run)
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	sealed := strings.TrimSuffix(path, openSuffix)
	if f.Sealed { // it lacks its name alone
		return false, durable.Rename(path, sealed)
	}
	copied, kept, err := f.copyWhole(sealed)
	if err != nil {
		return false, err
	}
	if kept > 0 {
		err = os.Rename(copied, sealed)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return false, diskError(path, err)
	}
	return f.Lost > 0 || kept < len(f.refs) || kept == 0 && f.Torn > 0, durable.SyncFolder(filepath.Dir(path))
}

// copyWhole writes the batches that are whole into a sealed file, and gives its name and
// their number; there is no file for none. Killed here, the next session begins again.
func (r *segmentFile) copyWhole(sealed string) (copied string, kept int, err error) {
	copied = sealed + ".recovered"
	if err := os.Remove(copied + openSuffix); err != nil && !os.IsNotExist(err) {
		return "", 0, diskError(r.Path, err)
	}
	s, err := createSegment(copied, &r.Run, r.Pixels)
	if err != nil {
		return "", 0, err
	}
	enc := wire.NewEncoder(&r.Run.Spec)
	for _, x := range r.refs {
		rs, err := r.sound(x, enc)
		if isDamage(err) {
			continue // its steps come again, or are lacking
		}
		if err == nil {
			err = s.write(rs)
		}
		if err != nil {
			s.abandon()
			return "", 0, err
		}
		kept++
	}
	if err := s.seal(); err != nil {
		return "", 0, err
	}
	if kept == 0 {
		err = os.Remove(copied)
	}
	if err != nil {
		return "", 0, diskError(r.Path, err)
	}
	return copied, kept, nil
}

// damagedSuffix ends the name of a sealed file that was found damaged, and was replaced by
// what is whole of it.
const damagedSuffix = ".damaged"

// setAside replaces a sealed file that is damaged by one with those of its batches that are
// whole. The file as it was is kept under another name, which it gives.
func setAside(path string, run *schemas.RunInfo) (to string, kept int, err error) {
	f, err := openDamaged(path, run)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	copied, kept, err := f.copyWhole(path)
	if err != nil {
		return "", 0, err
	}
	to = path + damagedSuffix
	for n := 2; exists(to); n++ {
		to = fmt.Sprintf("%s%s-%d", path, damagedSuffix, n)
	}
	// The file has both names for a moment, so that a kill leaves it where it is looked for.
	if kept == 0 || os.Link(path, to) != nil {
		if err := os.Rename(path, to); err != nil {
			return "", 0, diskError(path, err)
		}
	}
	if kept > 0 {
		if err := os.Rename(copied, path); err != nil {
			return "", 0, diskError(path, err)
		}
	}
	return to, kept, durable.SyncFolder(filepath.Dir(path))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// openDamaged opens a file of which no more is believed than each batch by itself. Where its
// beginning cannot be read, what follows is taken to be of the run whose folder it is in.
func openDamaged(path string, run *schemas.RunInfo) (_ *segmentFile, err error) {
	r := &segmentFile{Path: path, patchy: true}
	if r.f, err = bounded.Open(path); err != nil {
		return nil, diskError(path, err)
	}
	defer func() {
		if err != nil {
			r.f.Close()
			err = diskError(path, err)
		}
	}()
	info, err := r.f.Stat()
	if err != nil {
		return nil, err
	}
	r.Bytes = info.Size()
	at, err := r.head(r.Bytes)
	switch {
	case errors.Is(err, errs.ErrUnavailable):
		return nil, err
	case err == nil:
		if err := ofRun(r, filepath.Dir(path), &run.Spec); err != nil {
			return nil, err
		}
	default:
		r.Run, r.Pixels, at = *run, strings.HasPrefix(filepath.Base(path), "pixels-"), 0
		schema, err := schemas.RecordSchema(run, r.Pixels)
		if err != nil {
			return nil, err
		}
		if r.layout, err = layout.New(schema); err != nil {
			return nil, err
		}
	}
	return r, r.scan(at, r.Bytes)
}

// sound reads one batch, all of it checked; of pixels, the digest, too.
func (r *segmentFile) sound(x ref, enc *wire.Encoder) (*rows, error) {
	rs, err := r.rows(x)
	if err != nil {
		return nil, err
	}
	chunks, err := rs.chunks(&r.Run.Spec)
	if err == nil && r.Pixels {
		err = checkPixels(enc, r, chunks[0])
	}
	return rs, err
}

// takeStock finds what a damaged record lacks of the steps that do not come again.
func (r *Recorder) takeStock() (l Lacking, err error) {
	log, stored := NewLedger(r.spec, r.opts.Order, Window{To: r.opts.From}), map[int64]int{}
	f, err := OpenFolder(r.opts.Dir)
	if err == nil {
		defer f.Close()
		stored = f.Stored()
		err = f.eachLogged(func(c *wire.Chunk) error { log.Add(c); return nil }, isDamage)
	}
	if err != nil && !errors.Is(err, errs.ErrNotFound) { // else nothing is left
		return l, err
	}
	l.Log = log.Report(true).Missing
	for step := r.opts.Pixels.From; step < min(r.opts.Pixels.To, r.opts.From); step++ {
		n := len(l.Pixels)
		switch {
		case stored[step] == r.spec.Chunks():
		case n > 0 && l.Pixels[n-1].To == step:
			l.Pixels[n-1].To++
		default:
			l.Pixels = append(l.Pixels, Window{step, step + 1})
		}
	}
	return l, nil
}

// gaps are the steps below end that no window has.
func gaps(windows []Window, end int64) (out []Window) {
	slices.SortFunc(windows, func(a, b Window) int { return cmp.Compare(a.From, b.From) })
	at := int64(0)
	for _, w := range append(windows, Window{end, end}) {
		if gap := (Window{at, min(w.From, end)}); !gap.Empty() {
			out = append(out, gap)
		}
		at = max(at, w.To)
	}
	return out
}
