// Package durable puts files on disk so that a reader finds the old one or the new one,
// whole, whatever dies and when: the one way in which resslt replaces a file.
//
// # In pseudo-code
//
//	f ← temporary file beside path           // the same file system, so that rename is one step
//	write f, chmod, fsync f                  // the bytes are on disk before the name is
//	rename f → path                          // readers see one or the other
//	fsync the folder                         // the name is on disk, too
//
// Nothing is written through a symbolic link: where path is one, the file takes its place.
// Errors are the file system's own, wrapped in one line that names the file (Error).
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"resslt/schemas/errs"
)

// Mode is the permission of a file that Replace makes.
const Mode fs.FileMode = 0o644

// Replace writes the file at path in one step. Where write or the disk fails, the file that
// was there stays, and nothing else is left. An *errs.Error of write is passed on as it is;
// any other comes as Error gives it.
func Replace(path string, write func(io.Writer) error) error { return ReplaceMode(path, Mode, write) }

// ReplaceMode is Replace with a permission of the caller's choice, for secrets.
func ReplaceMode(path string, mode fs.FileMode, write func(io.Writer) error) error {
	return Error(path, replace(path, mode, write))
}

// WriteFile is Replace with the bytes given.
func WriteFile(path string, data []byte) error {
	return Replace(path, func(w io.Writer) error { _, err := w.Write(data); return err })
}

func replace(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return rename(f.Name(), path)
}

// Rename gives a file whose bytes are on disk its name, and has the disk hold the name.
// Both are in one folder.
func Rename(from, to string) error { return Error(to, rename(from, to)) }

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// SyncFolder has the disk hold the names in a folder: after a rename, a creation or a removal.
func SyncFolder(dir string) error { return Error(dir, syncFolder(dir)) }

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Error names the file that could not be written and what helps. It gives nil for nil, and
// an *errs.Error as it is. The result wraps errs.ErrUnavailable.
func Error(path string, err error) error {
	if err == nil {
		return nil
	}
	var typed *errs.Error
	if errors.As(err, &typed) {
		return err
	}
	hint := "make room on the disk, or make the folder writable"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "make its folder first"
	}
	return errs.New("write", path, hint, errs.BecauseErr(errs.ErrUnavailable, err))
}
