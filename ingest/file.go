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
	"path/filepath"
	"sync"

	"resslt/schemas"
)

// file is an open regular file, with the size and time that it had when opened.
// All data comes through openFile: this is the one place to teach another kind
// of store, which has to offer ReadAt, a size and a time (or version).
type file struct {
	*os.File
	path  string
	size  int64
	mtime int64 // ns since 1970
}

// openFile opens path for reading. It returns ErrNotFound, or ErrUnsupported for
// what is no regular file (opening a named pipe would wait for a writer).
func openFile(op, path, hint string) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(op, path, hint, err)
	}
	if !info.Mode().IsRegular() {
		return nil, schemas.E(op, path, hint, schemas.Because(schemas.ErrUnsupported, "not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(op, path, hint, err)
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, fileError(op, path, hint, err)
	}
	return &file{File: f, path: path, size: info.Size(), mtime: info.ModTime().UnixNano()}, nil
}

// fileError gives an error of the os package its sentinel and hint.
func fileError(op, path, hint string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // the path is in Where already
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return schemas.E(op, path, hint, schemas.ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		hint = "give this user the right to read it"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return schemas.E(op, path, hint, schemas.Because(schemas.ErrCorrupt, "ends too early"))
	}
	return schemas.E(op, path, hint, schemas.BecauseErr(schemas.ErrUnavailable, err))
}

// hasDir says whether path is a directory.
func hasDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// needDir says whether dir is a folder, by an error if it is not.
func needDir(op, dir, hint string) error {
	if dir == "" {
		return schemas.E(op, "", hint, schemas.Because(schemas.ErrUsage, "no folder is named"))
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fileError(op, dir, hint, err)
	}
	if !info.IsDir() {
		return schemas.E(op, dir, hint, schemas.Because(schemas.ErrUsage, "is a file, not a folder"))
	}
	return nil
}

// meter adds up the progress of several workers.
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

// stream copies r to w in blocks, and looks at ctx between them.
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

// sum is the SHA-256 of the whole file; its bytes go to also as well, if not nil.
func (f *file) sum(ctx context.Context, op, hint string, m *meter, also io.Writer) ([sha256.Size]byte, error) {
	h := sha256.New()
	w := io.Writer(h)
	if also != nil {
		w = io.MultiWriter(h, also)
	}
	n, err := stream(ctx, w, io.NewSectionReader(f.File, 0, f.size), m)
	if ctx.Err() != nil {
		return [sha256.Size]byte{}, ctx.Err()
	}
	if err != nil {
		return [sha256.Size]byte{}, fileError(op, f.path, hint, err)
	}
	if n != f.size {
		return [sha256.Size]byte{}, schemas.E(op, f.path, hint,
			schemas.Because(schemas.ErrMismatch, fmt.Sprintf("shrank from %d to %d bytes while it was read", f.size, n)))
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func hexSum(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

// writeFile puts a file at path all or nothing: written under a temporary name
// in the same folder, synced, renamed, and the folder synced.
func writeFile(op, path, hint string, write func(w io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fileError(op, dir, hint, err)
	}
	defer func() {
		if err != nil {
			// The first error is the one to tell; what is left is only a temporary file.
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := write(tmp); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return fileError(op, path, hint, err)
	}
	if err := tmp.Sync(); err != nil {
		return fileError(op, path, hint, err)
	}
	if err := tmp.Close(); err != nil {
		return fileError(op, path, hint, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fileError(op, path, hint, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fileError(op, dir, hint, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fileError(op, dir, hint, err)
	}
	return nil
}
