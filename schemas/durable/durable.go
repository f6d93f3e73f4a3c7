package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// Mode is the permission of files that Replace writes.
const Mode fs.FileMode = 0o644

// Replace writes the file at path atomically. If write or the disk fails, the old file
// stays and nothing else is left. An *errs.Error of write is returned unchanged; any other
// goes through Error.
func Replace(path string, write func(io.Writer) error) error { return ReplaceMode(path, Mode, write) }

// ReplaceMode is Replace with another permission, for secrets.
func ReplaceMode(path string, mode fs.FileMode, write func(io.Writer) error) error {
	return Error(path, replace(path, mode, write))
}

// WriteFile is Replace with the bytes given.
func WriteFile(path string, data []byte) error {
	return Replace(path, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// Check reports whether Replace can write to path, before there is something to write: its
// folder is there, and in its place nothing or a regular file. Its errors are Replace's.
func Check(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err == nil && !info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Error(path, err)
	}
	return checkPlace(path, "name a file that is a regular one, or not there yet")
}

func checkPlace(path, hint string) error {
	if err := bounded.CheckTarget(path); err != nil {
		return errs.New("write", path, hint, errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// CheckIn is Check for files that get names of their own in a folder, which is made where it is
// missing. Each pattern is filepath.Match's, of one name or of those that are chosen later.
func CheckIn(dir string, patterns ...string) error {
	if err := checkFolder(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return Error(dir, err)
	}
	for _, e := range entries {
		for _, p := range patterns {
			if is, err := filepath.Match(p, e.Name()); err != nil || !is {
				continue
			}
			if err := checkPlace(filepath.Join(dir, e.Name()), "move it away, or choose another folder"); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFolder reports whether a folder is there or can be made: above it are folders alone.
func checkFolder(dir string) error {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && info.IsDir(), at == filepath.Dir(at):
			return nil
		case err == nil:
			return errs.New("write to", dir, "move it away, or choose another folder", errs.Because(errs.ErrUnavailable, at+" is no folder"))
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return Error(dir, err)
		}
	}
}

func replace(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	if err := Check(path); err != nil {
		return err
	}
	f, err := createTemporary(path)
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

// Rename gives a file that has been synced its final name, and syncs the folder. Both names
// are in one folder.
func Rename(from, to string) error { return Error(to, rename(from, to)) }

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// SyncFolder makes a rename, creation or removal in the folder durable.
func SyncFolder(dir string) error { return Error(dir, syncFolder(dir)) }

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Error adds to a failure to write the file's name and a hint. It returns nil for nil, and
// an *errs.Error unchanged. Otherwise the result wraps errs.ErrUnavailable.
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
