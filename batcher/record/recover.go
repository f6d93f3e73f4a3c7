package record

import (
	"errors"
	"os"
	"path/filepath"
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
	f, err := openDamaged(path, run)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sealed := strings.TrimSuffix(path, openSuffix)
	if f.Sealed { // it lacks its name alone
		return false, durable.Rename(path, sealed)
	}
	// The copy has another name until it is whole: killed here, the next begins again.
	copied := sealed + ".recovered"
	if err := os.Remove(copied + openSuffix); err != nil && !os.IsNotExist(err) {
		return false, diskError(path, err)
	}
	s, err := createSegment(copied, &f.Run, f.Pixels)
	if err != nil {
		return false, err
	}
	kept := 0
	enc := wire.NewEncoder(&f.Run.Spec)
	for _, x := range f.refs {
		rs, err := f.sound(x, enc)
		if isDamage(err) {
			continue // its steps come again, or are lacking
		}
		if err == nil {
			err = s.write(rs)
		}
		if err != nil {
			s.abandon()
			return false, err
		}
		kept++
	}
	damaged = f.Lost > 0 || kept < len(f.refs) || kept == 0 && f.Torn > 0
	if err := s.seal(); err != nil {
		return false, err
	}
	if kept == 0 {
		err = os.Remove(copied)
	} else {
		err = os.Rename(copied, sealed)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return false, diskError(path, err)
	}
	return damaged, durable.SyncFolder(filepath.Dir(path))
}

// openDamaged opens a file that was left open. Where its beginning cannot be read, what
// follows is scanned as being of the run whose folder it is in.
func openDamaged(path string, run *schemas.RunInfo) (*segmentFile, error) {
	f, err := openSegment(path)
	if err == nil || errors.Is(err, errs.ErrUnavailable) || errors.Is(err, errs.ErrNotFound) {
		return f, err
	}
	r := &segmentFile{Path: path, Run: *run, Pixels: strings.HasPrefix(filepath.Base(path), "pixels-")}
	schema, err := schemas.RecordSchema(run, r.Pixels)
	if err != nil {
		return nil, err
	}
	if r.layout, err = layout.New(schema); err != nil {
		return nil, err
	}
	if r.f, err = bounded.Open(path); err != nil {
		return nil, diskError(path, err)
	}
	info, err := r.f.Stat()
	if err == nil {
		r.Bytes = info.Size()
		err = r.scan(0, r.Bytes)
	}
	if err != nil {
		r.f.Close()
		return nil, diskError(path, err)
	}
	return r, nil
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
		err = f.eachLogged(func(c *wire.Chunk) error { log.Add(c); return nil })
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
