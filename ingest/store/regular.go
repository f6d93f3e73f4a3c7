package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"resslt/schemas/errs"
)

// errIrregular is the error of a pipe, socket, device or folder in a file's place.
var errIrregular = errs.New("", "", "", errs.Because(errs.ErrUnsupported, "not a regular file"))

// openRegular opens a regular file. Another kind of thing may take its place at any
// moment: opening never waits, as it would for the writer of a named pipe, and what was
// opened is looked at again.
func openRegular(name string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// globDisk is filepath.Glob, but a folder above the pattern that cannot be read is an
// error, not one without files.
func globDisk(pattern string) ([]string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) > 0 {
		return found, err
	}
	dir := filepath.Dir(pattern)
	if magic := strings.IndexAny(pattern, `*?[\`); magic >= 0 {
		dir = filepath.Dir(pattern[:magic] + "x")
	}
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err == nil {
		f.Close()
	}
	return nil, nil
}
