package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

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
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:forbidigo // a folder
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err == nil {
		f.Close()
	}
	return nil, nil
}
