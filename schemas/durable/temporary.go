package durable

import (
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"resslt/schemas/bounded"
)

// mark is in the name of every temporary file of Replace, ".NAME.resslt-tmp-123", so that one
// that a killed process has left is known wherever it lies.
const mark = ".resslt-tmp-"

var temporary = regexp.MustCompile(`^\.(.+)` + regexp.QuoteMeta(mark) + `[0-9]+$`)

// settled is how old a temporary file must be to count as abandoned. Its lock ends with the
// process, but there is none before it is taken, between closing and renaming, and on file systems
// without locks.
const settled = time.Hour

// createTemporary makes path's temporary file, locked until it is closed.
func createTemporary(path string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+mark+"*")
	if err == nil {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) // nobody else knows it; without locks its age counts
	}
	return f, err
}

// Temporary reports whether a file's name is that of a temporary file of Replace, and of which
// file.
func Temporary(name string) (of string, ok bool) {
	m := temporary.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// Abandoned reports whether a killed process has left a temporary file: it has the name of one,
// it was not written to for an hour, and no process holds its lock.
func Abandoned(path string, now time.Time) bool {
	if _, ok := Temporary(filepath.Base(path)); !ok {
		return false
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) < settled {
		return false
	}
	f, err := bounded.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
