package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"resslt/ingest/store"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// file is an open file, local or remote, with the size that it had when opened. All
// data is read through openFile.
type file struct {
	*store.File
	path string
	size int64
}

func (f *file) stamp() stamp { return stampOf(f.Info) }

func stampOf(i store.Info) stamp {
	return stamp{Size: i.Size, MTime: i.MTime, Version: i.Version, Change: i.Change}
}

// openFile opens path for reading. Errors wrap ErrNotFound, or ErrUnsupported for
// anything but a regular file.
func openFile(ctx context.Context, st *store.Store, op, path, hint string) (*file, error) {
	f, err := st.Open(ctx, path)
	if err != nil {
		return nil, fileError(op, path, hint, err)
	}
	return &file{File: f, path: path, size: f.Size}, nil
}

// fileError adds the sentinel, place and hint to an error of the os package or of a
// store.
func fileError(op, path, hint string, err error) error {
	var known *errs.Error
	if errors.As(err, &known) { // of a store, which has the better hint
		if known.Hint != "" {
			hint = known.Hint
		}
		return errs.New(op, path, hint, known.Err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // the path is in Where already
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.New(op, path, hint, errs.ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		hint = "give this user the right to read it"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errs.New(op, path, hint, errs.Because(errs.ErrCorrupt, "ends too early"))
	}
	return errs.New(op, path, hint, errs.BecauseErr(errs.ErrUnavailable, err))
}

// hasDir reports whether path is a local folder.
func hasDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// needDir is an error if dir is no folder. A remote folder exists only by its files,
// which are looked for later.
func needDir(op, dir, hint string) error {
	if dir == "" {
		return errs.New(op, "", hint, errs.Because(errs.ErrUsage, "no folder is named"))
	}
	if store.Remote(dir) {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fileError(op, dir, hint, err)
	}
	if !info.IsDir() {
		return errs.New(op, dir, hint, errs.Because(errs.ErrUsage, "is a file, not a folder"))
	}
	return nil
}

// meter sums up the progress of several workers.
type meter struct {
	mu          sync.Mutex
	done, total int64 // bytes; guarded by mu
	fn          func(done, total int64)
}

func newMeter(fn func(done, total int64), total int64) *meter { return &meter{fn: fn, total: total} }

func (m *meter) add(n int64) {
	if m.fn == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.fn(m.done, m.total)
}

const copyBytes = 1 << 20

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copyBytes); return &b }}

// stream copies r to w in blocks, until ctx ends.
func stream(ctx context.Context, w io.Writer, r io.Reader, m *meter) (int64, error) {
	p := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(p)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(*p)
		if n > 0 {
			if _, werr := w.Write((*p)[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
			m.add(int64(n))
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// sum is the SHA-256 of the whole file, whose bytes are also written to also, if it is
// not nil.
func (f *file) sum(ctx context.Context, op, hint string, m *meter, also io.Writer) ([sha256.Size]byte, error) {
	h := sha256.New()
	w := io.Writer(h)
	if also != nil {
		w = io.MultiWriter(h, also)
	}
	r := f.Reader(ctx)
	defer r.Close()
	n, err := stream(ctx, w, r, m)
	if ctx.Err() != nil {
		return [sha256.Size]byte{}, ctx.Err()
	}
	if err != nil {
		return [sha256.Size]byte{}, fileError(op, f.path, hint, err)
	}
	if n != f.size {
		return [sha256.Size]byte{}, errs.New(op, f.path, hint,
			errs.Because(errs.ErrMismatch, fmt.Sprintf("shrank from %d to %d bytes while it was read", f.size, n)))
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func hexSum(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

// writeFile replaces the file at path atomically. An error of the disk gets op and the
// caller's hint.
func writeFile(op, path, hint string, write func(w io.Writer) error) error {
	var passed error // of write, which names its own place
	err := durable.Replace(path, func(w io.Writer) error { passed = write(w); return passed })
	if err == nil || passed != nil {
		return passed
	}
	var typed *errs.Error
	if errors.As(err, &typed) {
		return fileError(op, path, hint, typed.Err)
	}
	return err
}
