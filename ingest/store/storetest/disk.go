package storetest

import (
	"io/fs"
	"strings"
	"sync"

	"resslt/ingest/store"
)

// Disk is a store.Disk whose calls fail by operation and index.
type Disk struct {
	Part string // of the names of the files that fail; "" for all
	Err  error
	When When

	store.OSDisk
	mu    sync.Mutex
	calls map[Op]int // guarded by mu
	hits  int        // guarded by mu
}

// fail is the error of a call; nil for none.
func (d *Disk) fail(op Op, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Err == nil || !strings.Contains(name, d.Part) {
		return nil
	}
	if d.calls == nil {
		d.calls = map[Op]int{}
	}
	index := d.calls[op]
	d.calls[op]++
	if op != d.When.Op || !d.When.hits(index) {
		return nil
	}
	d.hits++
	return &fs.PathError{Op: string(op), Path: name, Err: d.Err}
}

// Arm has calls fail from now on; nil ends it.
func (d *Disk) Arm(err error, when When) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Err, d.When, d.calls = err, when, nil
}

// Hits is how many calls have failed.
func (d *Disk) Hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// Stat is a store.Disk's.
func (d *Disk) Stat(name string) (fs.FileInfo, error) {
	if err := d.fail(Stat, name); err != nil {
		return nil, err
	}
	return d.OSDisk.Stat(name)
}

// Open is a store.Disk's.
func (d *Disk) Open(name string) (store.DiskFile, error) {
	if err := d.fail(Open, name); err != nil {
		return nil, err
	}
	f, err := d.OSDisk.Open(name)
	return &diskFile{f, d, name}, err
}

type diskFile struct {
	store.DiskFile
	disk *Disk
	name string
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.disk.fail(Read, f.name); err != nil {
		return 0, err
	}
	return f.DiskFile.ReadAt(p, off)
}
