package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder makes a folder and those above it that are missing. undo, for work that was refused
// before it left anything there, removes those that were made and are still empty.
func Folder(dir string) (undo func(), err error) {
	var missing []string // the deepest first
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, at)
	}
	undo = func() {
		for _, path := range missing {
			if os.Remove(path) != nil { // it is in use, and so are those above it
				return
			}
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		undo()
		return func() {}, err
	}
	return undo, nil
}
