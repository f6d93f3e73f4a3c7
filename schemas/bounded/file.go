package bounded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"resslt/schemas/errs"
)

// Open opens a regular file to be read.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is os.OpenFile of a regular file, which os.O_CREATE may create. os.O_TRUNC
// truncates it once it is known to be one.
func OpenFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	if err := CheckTarget(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag&^os.O_TRUNC|syscall.O_NONBLOCK, mode)
	if err != nil {
		return nil, err
	}
	if err := checkOpen(f, flag); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkOpen(f *os.File, flag int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := regular(info); err != nil {
		return err
	}
	if ofKernel(f) {
		return refusal("it is a file of the kernel, not one on a disk")
	}
	if flag&os.O_TRUNC != 0 {
		return f.Truncate(0)
	}
	return nil
}

// CheckTarget reports whether a file may be read from or written to path: there is a regular
// file, or nothing yet. It opens nothing.
func CheckTarget(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // nothing is there; to open it says so, if it must be
	}
	return regular(info)
}

// regular is an error that says what a file is that is no regular one.
func regular(info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	default:
		what = "a special file"
	}
	return refusal("it is " + what + ", not a regular file")
}

// refusal says what is wrong with a path, for a caller's sentinel to stand before it.
type refusal string

func (r refusal) Error() string { return string(r) }

func (r refusal) Unwrap() error { return errs.ErrUsage }

// ReadFile reads a regular file of at most so many bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadAll(f, most)
}

// ReadAll reads an open file from its beginning, of at most so many bytes.
func ReadAll(f *os.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size > most {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("it has %d bytes, more than the %d that such a file may have", size, most))
	}
	raw := make([]byte, size)
	n, err := f.ReadAt(raw, 0)
	if errors.Is(err, io.EOF) { // it became shorter
		err = nil
	}
	return raw[:n], err
}
