package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// Cached is a file of the cache on a disk.
type Cached struct {
	Path string
	Used time.Time // to the minute (mark)
	// Part: it was being fetched by a process that is gone.
	Part bool
}

// keyName are the names that get gives to files.
var keyName = regexp.MustCompile(`^[0-9a-f]{32}(\.part)?$`)

// unusedFor is how long a cached file must not have been used to count as used by nobody: uses are
// noted once a minute, and a read of a large file takes its time.
const unusedFor = 10 * time.Minute

// DefaultFolder is the folder of fetched files where Options.CacheDir names none.
func DefaultFolder() (string, error) {
	if dir := os.Getenv("RESSLT_CACHE_DIR"); dir != "" {
		return dir, nil
	}
	return userFolder()
}

func userFolder() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "resslt", "shards"), nil
}

// ListCached lists the files of a cache that nobody uses: complete ones, and those that a
// killed process was fetching. A file that has another name than the cache gives is not listed. A
// folder that is not there holds none.
func ListCached(dir string, now time.Time) (files []Cached, err error) {
	folders, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, listError(dir, err)
	}
	for _, d := range folders {
		if !d.IsDir() || len(d.Name()) != 2 {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(dir, d.Name()))
		if err != nil {
			return nil, listError(filepath.Join(dir, d.Name()), err)
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !keyName.MatchString(e.Name()) || !strings.HasPrefix(e.Name(), d.Name()) {
				continue
			}
			f := Cached{Path: filepath.Join(dir, d.Name(), e.Name()), Part: strings.HasSuffix(e.Name(), partEnd)}
			if f.unused(now) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

func listError(dir string, err error) error {
	return errs.New("list cache", dir, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
}

// unused reports whether no process needs the file, and notes its last use.
func (f *Cached) unused(now time.Time) bool {
	info, err := os.Lstat(f.Path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f.Used = info.ModTime()
	if f.Part {
		return orphaned(f.Path)
	}
	return now.Sub(f.Used) > unusedFor
}

// RemoveCached removes a file of the cache in dir, as ListCached lists them. It returns ErrUnavailable
// where the file has come into use since.
func RemoveCached(ctx context.Context, dir string, f Cached) (err error) {
	all, err := lock(ctx, filepath.Join(dir, lockName)) // nobody makes room meanwhile
	if err != nil {
		return err
	}
	defer all.Close()
	busy := errs.New("remove", f.Path, "", errs.Because(errs.ErrUnavailable, "it has come into use"))
	if f.Part {
		part, err := bounded.OpenFile(f.Path, os.O_RDWR, 0)
		if err != nil {
			return busy
		}
		defer part.Close() // its lock is held until it is gone
		if syscall.Flock(int(part.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return busy
		}
	} else if now := f; !now.unused(time.Now()) || !now.Used.Equal(f.Used) {
		return busy
	}
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.New("remove", f.Path, "make its folder writable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}
