package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// cache keeps fetched files on a disk. See the package's comment for its layout.
type cache struct {
	dir  string // "" for the default, which is found when it is needed
	most int64  // bytes
	warn func(string)
	off  atomic.Bool // its disk has failed

	mu      sync.Mutex
	trusted map[string]time.Time // paths that this process has hashed, and when it last noted their use; guarded by mu
}

const (
	cacheHint = "name a cache folder that this user can write to by RESSLT_CACHE_DIR or --cache-dir"
	partEnd   = ".part"
	lockName  = "lock"

	// markEvery is how often a file's use is recorded.
	markEvery = time.Minute
	// lockPoll is how often a lock that another process holds is tried.
	lockPoll = 20 * time.Millisecond
)

// folder is the cache's folder.
func (c *cache) folder() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" {
		dir, err := userFolder()
		if err != nil {
			return "", diskFault(err)
		}
		c.dir = dir
	}
	return c.dir, nil
}

// cacheFault is a failure of the cache's own disk, without which files can still be read.
type cacheFault struct{ error }

func (f cacheFault) Unwrap() error { return f.error }

// try is get, and gives "" where the cache's disk fails: for good, because to fetch every
// file whole and keep none would cost more than to have no cache.
func (c *cache) try(ctx context.Context, f *File) (string, error) {
	if c.off.Load() {
		return "", nil
	}
	path, err := c.get(ctx, f)
	var fault cacheFault
	if !errors.As(err, &fault) {
		return path, err
	}
	if !c.off.Swap(true) && c.warn != nil {
		c.warn("remote files are read without a cache: " + fault.Error())
	}
	return "", nil
}

// get is the path of the complete file, fetched if it is not there; "" where the
// cache has no room for it, because all of it is being fetched.
func (c *cache) get(ctx context.Context, f *File) (string, error) {
	dir, err := c.folder()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s\x00%d", f.Name, f.Size, f.Version, f.MTime/1e9))
	key := hex.EncodeToString(sum[:16])
	path := filepath.Join(dir, key[:2], key)
	if ok, err := c.usable(ctx, path, f); ok || err != nil {
		return path, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", diskFault(err)
	}
	part, err := lock(ctx, path+partEnd)
	if err != nil {
		return "", err
	}
	defer part.Close()                                       // and with it the lock
	if ok, err := c.usable(ctx, path, f); ok || err != nil { // another process was faster
		return path, errors.Join(err, remove(part))
	}
	room, err := c.reserve(ctx, dir, part, f.Size+sha256.Size)
	if err != nil || !room {
		return "", errors.Join(err, remove(part))
	}
	if err := c.fetch(ctx, part, path, f); err != nil {
		return "", errors.Join(err, remove(part))
	}
	c.mark(path)
	return path, nil
}

func remove(part *os.File) error {
	if err := os.Remove(part.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskFault(err)
	}
	return nil
}

// diskFault is an error of the disk, or of package durable, with the cache's hint.
func diskFault(err error) error {
	var known *errs.Error
	if errors.As(err, &known) {
		return cacheFault{errs.New("", "", cacheHint, known.Err)}
	}
	return cacheFault{errs.New("", "", cacheHint, errs.BecauseErr(errs.ErrUnavailable, err))}
}

// usable reports whether the complete file is there and sound. Its first use in a
// process hashes it; a damaged one is removed.
func (c *cache) usable(ctx context.Context, path string, f *File) (bool, error) {
	c.mu.Lock()
	last, known := c.trusted[path]
	c.mu.Unlock()
	if known {
		if time.Since(last) > markEvery {
			c.mark(path)
		}
		return true, nil // ReadAt notices if it was dropped since
	}
	disk, err := bounded.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, diskFault(err)
	}
	defer disk.Close()
	h, end := sha256.New(), make([]byte, sha256.Size)
	sound := false
	if info, err := disk.Stat(); err == nil && info.Size() == f.Size+sha256.Size {
		if err := copyWhile(ctx, h, io.NewSectionReader(disk, 0, f.Size)); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
		} else if _, err := disk.ReadAt(end, f.Size); err == nil {
			sound = bytes.Equal(h.Sum(nil), end)
		}
	}
	if !sound {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, diskFault(err)
		}
		return false, nil
	}
	if err := f.expect(end); err != nil {
		return false, err
	}
	c.mark(path)
	return true, nil
}

// expect compares the hash of what was fetched with the one expected.
func (f *File) expect(sum []byte) error {
	if got := hex.EncodeToString(sum); f.SHA256 != "" && f.SHA256 != got {
		return errs.New("", "", "fetch or pack the shard again",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("SHA-256 is %.12s…, the manifest says %.12s…", got, f.SHA256)))
	}
	return nil
}

// mark records the file's use: for this process, and by its time for all.
func (c *cache) mark(path string) {
	now := time.Now()
	c.mu.Lock()
	if c.trusted == nil {
		c.trusted = map[string]time.Time{}
	}
	c.trusted[path] = now
	c.mu.Unlock()
	_ = os.Chtimes(path, now, now) // fails where it was just dropped, which does not matter
}

// forget is called when a file turns out to have been dropped.
func (c *cache) forget(path string) {
	c.mu.Lock()
	delete(c.trusted, path)
	c.mu.Unlock()
}

// drop removes a complete file that is damaged.
func (c *cache) drop(path string) {
	_ = os.Remove(path) // if it stays, its sum still says what it is
	c.forget(path)
}

// fetch downloads into part and renames it to the complete file.
func (c *cache) fetch(ctx context.Context, part *os.File, path string, f *File) error {
	h := sha256.New()
	var at int64
	if err := f.pull(ctx, 0, f.Size, func(b []byte) error {
		h.Write(b)
		n, err := part.WriteAt(b, at)
		at += int64(n)
		if err != nil {
			return diskFault(err)
		}
		return nil
	}); err != nil {
		return err
	}
	sum := h.Sum(nil)
	if err := f.expect(sum); err != nil {
		return err
	}
	if _, err := part.WriteAt(sum, f.Size); err != nil {
		return diskFault(err)
	}
	if err := part.Sync(); err != nil {
		return diskFault(err)
	}
	if err := durable.Rename(part.Name(), path); err != nil {
		return diskFault(err)
	}
	return nil
}

// reserve makes room for size bytes and claims it by giving part that length. It
// returns false where everything that remains is being fetched.
func (c *cache) reserve(ctx context.Context, dir string, part *os.File, size int64) (bool, error) {
	all, err := lock(ctx, filepath.Join(dir, lockName))
	if err != nil {
		return false, err
	}
	defer all.Close()
	type kept struct {
		path string
		size int64
		used time.Time
	}
	var files []kept
	total := size
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || filepath.Dir(path) == dir || path == part.Name() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // just dropped
		}
		if strings.HasSuffix(path, partEnd) {
			if orphaned(path) {
				return os.Remove(path)
			}
		} else {
			files = append(files, kept{path, info.Size(), info.ModTime()})
		}
		total += info.Size()
		return nil
	})
	if err != nil {
		return false, diskFault(err)
	}
	slices.SortFunc(files, func(a, b kept) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, k := range files {
		if total <= c.most {
			break
		}
		if err := os.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, diskFault(err)
		}
		c.forget(k.path)
		total -= k.size
	}
	if total > c.most {
		return false, nil
	}
	if err := part.Truncate(size); err != nil {
		return false, diskFault(err)
	}
	return true, nil
}

// orphaned reports whether nobody fetches the file: a crash left it.
func orphaned(path string) bool {
	f, err := bounded.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// lock opens the file, creating it if need be, and waits until it holds its lock.
// Closing the file unlocks it.
func lock(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := bounded.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, diskFault(err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// The last holder may have renamed or removed it: then this lock guards
			// nothing.
			have, err1 := f.Stat()
			now, err2 := os.Stat(path)
			if err1 == nil && err2 == nil && os.SameFile(have, now) {
				return f, nil
			}
			f.Close()
			continue
		}
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, diskFault(err)
		}
		wait := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}
