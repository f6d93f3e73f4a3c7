package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// server is a store that tests put files into, and whose answers fail.
type server interface {
	Put(key string, data []byte) string
	Inject(part string, f *storetest.Fault, when storetest.When)
	Hits(part string) int
}

// servers start all stores but the disk.
var servers = map[string]func(t *testing.T) server{
	"s3":                  func(t *testing.T) server { return storetest.Start(t) },
	"gs":                  func(t *testing.T) server { return storetest.StartGCS(t) },
	"https":               func(t *testing.T) server { return storetest.StartWeb(t, true) },
	"https without ETags": func(t *testing.T) server { return storetest.StartWeb(t, false) },
}

// eachFault runs do for every fault of every store.
func eachFault(t *testing.T, do func(t *testing.T, place string, srv server, f *storetest.Fault)) {
	for place, start := range servers {
		t.Run(place, func(t *testing.T) {
			srv := start(t)
			for _, f := range storetest.Faults() {
				t.Run(f.Name, func(t *testing.T) {
					t.Parallel()
					do(t, place, srv, &f)
				})
			}
		})
	}
}

// faulty is a store that tries again without long pauses.
func faulty(t *testing.T, disk store.Disk) *store.Store {
	t.Helper()
	s := store.New(store.Options{CacheDir: t.TempDir(), Attempts: 4, Pause: time.Millisecond, Patience: 250 * time.Millisecond, Disk: disk})
	t.Cleanup(func() { s.Close() })
	return s
}

// pieces are read of each file, out of order.
var pieces = []int64{0, 150_000, 70_000, 190_000}

const pieceBytes = 10_000

// readPieces reads the file until the first error. Wrong bytes fail the test.
func readPieces(t *testing.T, f *store.File, want []byte) error {
	t.Helper()
	for _, off := range pieces {
		p := make([]byte, pieceBytes)
		n, err := f.ReadAt(context.Background(), p, off)
		if err != nil {
			return err
		}
		if n != len(p) || !bytes.Equal(p, want[off:off+pieceBytes]) {
			t.Fatalf("wrong bytes at %d", off)
		}
	}
	return nil
}

// wantFault checks that an error is a fault of the store, in one line with a hint.
func wantFault(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error, and the bytes cannot have come")
	}
	if schemas.AsBadSample(err) != nil {
		t.Errorf("a bad sample: %v", err)
	}
	var known *errs.Error
	if !errors.As(err, &known) || known.Hint == "" {
		t.Errorf("no hint: %v", err)
	}
	oneLine(t, err)
}

// TestFaults is what every store makes of a fault of every operation: one that passes costs
// time, one that stays is an error, and no wrong byte comes through.
func TestFaults(t *testing.T) {
	data := content(50, 200_000)
	eachFault(t, func(t *testing.T, place string, srv server, f *storetest.Fault) {
		key := strings.ReplaceAll(f.Name, " ", "-")
		file := func(part string) (*store.File, string) {
			part = part + "-" + key + ".tar"
			return open(t, faulty(t, nil), srv.Put(part, data)), part
		}
		for index := range 3 {
			if f.Brief && index > 0 {
				break
			}
			file, part := file("once")
			srv.Inject(part, f, storetest.Once(storetest.Read, index))
			if err := readPieces(t, file, data); err != nil {
				t.Errorf("read %d failed once: %v", index, err)
			}
			if srv.Hits(part) != 1 {
				t.Errorf("read %d met %d faults", index, srv.Hits(part))
			}
			srv.Inject(part, nil, storetest.When{})
		}
		kept, part := file("whole")
		kept.Keep = true
		srv.Inject(part, f, storetest.Once(storetest.Read, 0))
		if err := readPieces(t, kept, data); err != nil || srv.Hits(part) != 1 {
			t.Errorf("fetched whole: %v; met %d faults", err, srv.Hits(part))
		}
		if f.Brief {
			return
		}
		always, part := file("from")
		srv.Inject(part, f, storetest.From(storetest.Read, 1))
		if err := readPieces(t, always, data); err != nil || !f.Harmless && (place != "gs" || !f.ETag) {
			wantFault(t, err)
		}
		srv.Inject(part, nil, storetest.When{})
		if err := readPieces(t, always, data); err != nil {
			t.Errorf("after the fault: %v", err)
		}
		if !f.Believed {
			statFault(t, srv, f, key, data)
		}
	})
}

// statFault has a file be looked for while that fails: its size is never a wrong one.
func statFault(t *testing.T, srv server, f *storetest.Fault, key string, data []byte) {
	t.Helper()
	for _, when := range []storetest.When{storetest.Once(storetest.Stat, 0), storetest.From(storetest.Stat, 0)} {
		part := "stat-" + key + ".tar"
		name := srv.Put(part, data)
		srv.Inject(part, f, when)
		file, err := faulty(t, nil).Open(context.Background(), name)
		switch {
		case err == nil && file.Size != int64(len(data)):
			t.Errorf("found with %d bytes", file.Size)
		case err != nil:
			oneLine(t, err)
		}
		if srv.Hits(part) == 0 {
			t.Error("no fault was met")
		}
		srv.Inject(part, nil, when)
	}
}

// A listing that fails for a moment is made again; one that fails for good is an error.
func TestFaultsOfListings(t *testing.T) {
	eachFault(t, func(t *testing.T, place string, srv server, f *storetest.Fault) {
		if f.Believed || f.Harmless || strings.HasPrefix(place, "https") {
			return // a web server has no listing
		}
		dir := "list-" + strings.ReplaceAll(f.Name, " ", "-")
		name := srv.Put(dir+"/a.tar", []byte("a"))
		folder := strings.TrimSuffix(name, "/a.tar")
		for _, when := range []storetest.When{storetest.Once(storetest.List, 0), storetest.From(storetest.List, 0)} {
			srv.Inject(dir, f, when)
			found, err := faulty(t, nil).List(context.Background(), folder)
			switch {
			case err != nil:
				oneLine(t, err)
			case len(found) != 1 || when.Count == 0:
				t.Errorf("%+v: listed %v", when, found)
			}
			if srv.Hits(dir) == 0 {
				t.Error("no fault was met")
			}
		}
	})
}

// A disk's fault is an error at once: another try is the task's. The next read is fine.
func TestFaultsOfDisks(t *testing.T) {
	data := content(51, 200_000)
	for _, cause := range []error{syscall.EIO, syscall.ESTALE, syscall.EACCES, syscall.ENOENT, io.ErrUnexpectedEOF} {
		for _, op := range []storetest.Op{storetest.Open, storetest.Read} {
			t.Run(string(op)+"/"+cause.Error(), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "x.tar")
				if err := os.WriteFile(path, data, 0o644); err != nil {
					t.Fatal(err)
				}
				disk := &storetest.Disk{Part: "x.tar"}
				s := faulty(t, disk)
				if op != storetest.Read {
					disk.Arm(cause, storetest.Once(op, 0))
					if _, err := s.Open(context.Background(), path); !errors.Is(err, cause) {
						t.Errorf("opened: %v", err)
					}
				}
				f := open(t, s, path)
				for index := range pieces {
					disk.Arm(cause, storetest.Once(op, index))
					if err := readPieces(t, f, data); op == storetest.Read && !errors.Is(err, cause) {
						t.Errorf("read %d: %v", index, err)
					}
				}
				disk.Arm(nil, storetest.When{})
				if err := readPieces(t, f, data); err != nil {
					t.Errorf("after the fault: %v", err)
				}
			})
		}
	}
}

// A local file that is changed after it was opened is refused, in whatever way.
func TestChangedOnDisk(t *testing.T) {
	data := content(52, 200_000)
	for _, tc := range []struct {
		name   string
		change func(path string) error
		want   error // of the open file; nil: it is the old one still
		again  error // when it is opened again
	}{
		{"truncated", func(p string) error { return os.Truncate(p, 160_000) }, errs.ErrMismatch, nil},
		{"longer", func(p string) error { return os.Truncate(p, 260_000) }, errs.ErrMismatch, nil},
		{"written to", func(p string) error { return os.WriteFile(p, content(53, len(data)), 0o644) }, errs.ErrMismatch, nil},
		{"replaced", func(p string) error {
			return errors.Join(os.WriteFile(p+".new", content(53, len(data)), 0o644), os.Rename(p+".new", p))
		}, nil, nil},
		{"removed", os.Remove, nil, fs.ErrNotExist},
		{"a folder now", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) }, nil, errs.ErrUnsupported},
		{"a pipe now", func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o644)) }, nil, errs.ErrUnsupported},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.tar")
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			s := faulty(t, nil)
			f := open(t, s, path)
			if err := readPieces(t, f, data); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond) // so that times differ
			if err := tc.change(path); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, pieceBytes)
			_, err := f.ReadAt(context.Background(), p, 0)
			if !errors.Is(err, tc.want) || err == nil && !bytes.Equal(p, data[:pieceBytes]) {
				t.Errorf("of the open file: %v, want %v", err, tc.want)
			}
			if g, err := s.Open(context.Background(), path); !errors.Is(err, tc.again) {
				t.Errorf("opened again: %v, want %v", err, tc.again)
			} else if err == nil {
				g.Close()
			}
		})
	}
}
