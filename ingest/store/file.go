package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// File is an open file. It is safe for concurrent use once Keep and SHA256 are set.
type File struct {
	Info

	// Keep makes the first read fetch a remote file whole into the cache, where it
	// fits.
	Keep bool
	// SHA256, in hex, is the hash of the whole file, "" where unknown. A fetched file
	// with another one is ErrMismatch.
	SHA256 string

	disk   DiskFile // of a local file
	store  *Store   // of a remote one, with bucket and key
	bucket bucket
	key    string
}

// Close closes the file.
func (f *File) Close() error {
	if f.disk != nil {
		return f.disk.Close()
	}
	return nil
}

// ReadAt fills p with the bytes at off. It returns io.ErrUnexpectedEOF with fewer
// bytes where the file ends, ErrMismatch where the file is not the one that was
// opened, ErrUnavailable where it cannot be read.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if f.disk != nil {
		return f.readDisk(p, off)
	}
	if off < 0 || off > f.Size || int64(len(p)) > f.Size-off {
		return 0, io.ErrUnexpectedEOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for range 3 { // the cache may drop a file between the check and the read
		path, err := f.cached(ctx)
		if err != nil {
			return 0, err
		}
		if path == "" {
			break
		}
		n, err := readPath(path, p, off)
		if err == nil {
			return n, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			f.store.cache.forget(path)
		} else {
			f.store.cache.drop(path) // a copy that cannot be read is fetched again
		}
	}
	n := 0
	err := f.pull(ctx, off, int64(len(p)), func(b []byte) error {
		n += copy(p[n:], b)
		return nil
	})
	return n, err
}

// short is the error of a read that gave n bytes of want.
func short(n, want int, err error) error {
	switch {
	case n == want:
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

func readPath(path string, p []byte, off int64) (int, error) {
	f, err := bounded.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(p, off)
	return n, short(n, len(p), err)
}

// writeTo writes the whole file to w, in order.
func (f *File) writeTo(ctx context.Context, w io.Writer) error {
	var from io.Reader
	if f.disk != nil {
		from = io.NewSectionReader(f.disk, 0, f.Size)
	} else {
		path, err := f.cached(ctx)
		if err != nil {
			return err
		}
		if path == "" {
			return f.pull(ctx, 0, f.Size, func(b []byte) error {
				_, err := w.Write(b)
				return err
			})
		}
		disk, err := bounded.Open(path)
		if err != nil {
			return err
		}
		defer disk.Close()
		from = io.NewSectionReader(disk, 0, f.Size)
	}
	return copyWhile(ctx, w, from)
}

// copyWhile is io.Copy until ctx ends.
func copyWhile(ctx context.Context, w io.Writer, r io.Reader) error {
	buf := make([]byte, blockBytes)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

const blockBytes = 1 << 20

// Reader reads the whole file in order, until ctx ends. The caller must Close it.
func (f *File) Reader(ctx context.Context) io.ReadCloser {
	if f.disk != nil {
		return io.NopCloser(io.NewSectionReader(f.disk, 0, f.Size))
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() { // joined by Close
		defer close(done)
		w.CloseWithError(f.writeTo(ctx, w))
	}()
	return &pipe{r, func() { cancel(); r.Close(); <-done }}
}

type pipe struct {
	*io.PipeReader
	stop func()
}

func (p *pipe) Close() error {
	p.stop()
	return nil
}

// cached is the path of the whole file in the cache; "" where it is not kept there.
func (f *File) cached(ctx context.Context) (string, error) {
	if !f.Keep || f.store.o.CacheBytes < f.Size {
		return "", nil
	}
	return f.store.cache.try(ctx, f)
}

// DropCopy removes the file's copy from the cache, if it has one that turned out to be
// damaged: the next read fetches it again.
func (f *File) DropCopy(ctx context.Context) {
	if f.disk != nil {
		return
	}
	if path, err := f.cached(ctx); err == nil && path != "" {
		f.store.cache.drop(path)
	}
}

// pull reads [off, off+n) from the network and passes it on in order. A body that
// breaks off is resumed where it ended.
func (f *File) pull(ctx context.Context, off, n int64, each func([]byte) error) error {
	var stop error // of each, or of the body's end, which no retry can cure
	got := int64(0)
	buf := make([]byte, min(n, blockBytes))
	tries := 0
	err := f.store.retry(ctx, hopeless, func(ctx context.Context) error {
		before := got
		err := f.body(ctx, off+got, n-got, buf, func(b []byte) error {
			got += int64(len(b))
			stop = each(b)
			return stop
		})
		if err != nil && got == n {
			stop = err // there is nothing left to ask for
		}
		if stop != nil || err == nil {
			return nil //nolint:nilerr // stop is returned below, and is not retried
		}
		if tries++; got > before && tries < maxResumes {
			return progress{err} // a body that breaks off repeatedly is no failure to connect
		}
		return err
	})
	if stop != nil {
		return stop
	}
	return err
}

// maxResumes bounds how often one read continues after its body broke off.
const maxResumes = 1000

// body makes one request and reads its body.
func (f *File) body(ctx context.Context, off, n int64, buf []byte, each func([]byte) error) error {
	ctx, touch, stop := watch(ctx, f.store.o.Patience)
	defer stop()
	r, err := f.bucket.read(ctx, f.key, f.Info, off, n)
	if err != nil {
		return slow(ctx, err)
	}
	defer r.Close()
	whole := off == 0 && n == f.Size
	for n > 0 {
		k, err := r.Read(buf[:min(int64(len(buf)), n)])
		touch()
		if k > 0 {
			n -= int64(k)
			if err := each(buf[:k]); err != nil {
				return err
			}
		}
		if n > 0 && err == io.EOF {
			return errs.Because(errs.ErrUnavailable, fmt.Sprintf("the body ends %d bytes early", n))
		}
		if n > 0 && err != nil {
			return slow(ctx, err)
		}
	}
	if whole {
		// Where the server has announced no length, a longer body is another file's.
		var one [1]byte
		if k, _ := r.Read(one[:]); k > 0 { // an error after the last byte loses nothing
			return changed(fmt.Sprintf("it has more than %d bytes", f.Size))
		}
	}
	return nil
}
