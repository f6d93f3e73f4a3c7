package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"resslt/schemas/bounded"
)

// Disk is where local files are read. The default is the operating system's; tests inject
// faults by another (package storetest).
type Disk interface {
	Stat(name string) (fs.FileInfo, error)
	Open(name string) (DiskFile, error)
}

// DiskFile is an open file of a Disk.
type DiskFile interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Close() error
}

// OSDisk is the operating system's files.
type OSDisk struct{}

// Stat is os.Stat.
func (OSDisk) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// Open is os.Open.
func (OSDisk) Open(name string) (DiskFile, error) {
	f, err := bounded.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// readDisk fills p from a local file that must still be the one that was opened: its size
// and time are looked at after the bytes are in.
func (f *File) readDisk(p []byte, off int64) (int, error) {
	n, err := f.disk.ReadAt(p, off)
	if err = short(n, len(p), err); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return n, err
	}
	info, serr := f.disk.Stat()
	switch {
	case serr != nil:
		return n, serr
	case info.Size() != f.Size:
		return n, changed(fmt.Sprintf("it has %d bytes, had %d", info.Size(), f.Size))
	case info.ModTime().UnixNano() != f.MTime:
		return n, changed("it was written to")
	}
	return n, err
}
