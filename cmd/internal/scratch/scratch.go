package scratch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

const (
	prefix = "resslt-"
	mark   = ".resslt-scratch"
	// unnamed ends the mark's name before it is locked.
	unnamed = ".new"
	// maxMark bounds what is read of a mark, bytes.
	maxMark = 512
)

// Folder is a temporary folder of this process.
type Folder struct {
	Path string
	lock *os.File // of the mark, held open
}

// Make makes a folder for what, "broker", in TMPDIR. The caller closes it. It returns
// ErrUnavailable where TMPDIR cannot be written.
func Make(what string) (_ *Folder, err error) {
	f := &Folder{}
	fail := func(err error) (*Folder, error) {
		if f.Path != "" {
			_ = os.RemoveAll(f.Path) // the error below is why
		}
		return nil, errs.New("make folder for", "the "+what, "set TMPDIR to a writable folder", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if f.Path, err = os.MkdirTemp("", prefix+what+"-"); err != nil {
		return fail(err)
	}
	at := filepath.Join(f.Path, mark)
	if f.lock, err = bounded.OpenFile(at+unnamed, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return fail(err)
	}
	_, err = f.lock.WriteString(claim(f.Path))
	if err == nil && take(f.lock) { // a file system without locks: nobody sweeps there
		err = os.Rename(at+unnamed, at)
	}
	if err != nil {
		f.lock.Close()
		return fail(err)
	}
	return f, nil
}

// claim is what a folder's mark says.
func claim(path string) string { return "resslt temporary folder " + filepath.Base(path) + "\n" }

// Close removes the folder.
func (f *Folder) Close() error {
	err := remove(f.Path)
	return errors.Join(err, f.lock.Close())
}

// remove removes a folder whose mark is locked by us. The mark goes last, so that what a kill
// leaves of the folder is still known by it.
func remove(path string) error {
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if e.Name() != mark {
			err = errors.Join(err, os.RemoveAll(filepath.Join(path, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// Sweep removes the folders in TMPDIR whose processes were killed. What it cannot remove
// stays for another time.
func Sweep() {
	for _, path := range Left() {
		_ = Remove(path) // another start tries again
	}
}

// Left lists the folders in TMPDIR whose processes were killed.
func Left() (paths []string) {
	dir := os.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if lock := takeMark(path); lock != nil {
			lock.Close()
			paths = append(paths, path)
		}
	}
	return paths
}

// Remove removes a folder of Left, unless it is not what it was: then it returns ErrNotFound.
func Remove(path string) error {
	lock := takeMark(path)
	if lock == nil {
		return errs.New("remove", path, "look again", errs.Because(errs.ErrNotFound, "it is no folder of a killed process any more"))
	}
	defer lock.Close()
	return remove(path)
}

// unnamedFor is how long a folder whose mark has not its name yet is taken for one that is being
// made.
const unnamedFor = time.Hour

// takeMark locks the mark of a folder whose process was killed; nil where it lives, or the folder
// is not known to be ours.
func takeMark(path string) *os.File {
	if !private(path) {
		return nil
	}
	at := filepath.Join(path, mark)
	if info, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
		// Killed before the mark had its name: nothing else is in the folder.
		at += unnamed
		entries, err := os.ReadDir(path)
		info, ierr := os.Lstat(at)
		if err != nil || ierr != nil || !info.Mode().IsRegular() || len(entries) != 1 || time.Since(info.ModTime()) < unnamedFor {
			return nil
		}
	} else if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if text, err := bounded.ReadFile(at, maxMark); err != nil || string(text) != claim(path) {
		return nil
	}
	lock, err := bounded.OpenFile(at, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	if !take(lock) || !SameFile(lock, at) {
		lock.Close()
		return nil
	}
	return lock
}

// private reports whether path is a folder of this user that nobody else can write.
func private(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// SameFile reports whether the open file is still the one of that name.
func SameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// take locks a file, unless another process has.
func take(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
