package durable_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

func write(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// Whatever fails, the old file stays whole and nothing is left beside it.
func TestReplaceIsAllOrNothing(t *testing.T) {
	typed := errs.New("encode", "tensor", "a hint of its own", errs.ErrCorrupt)
	for name, c := range map[string]struct {
		path  string // below the folder
		write func(io.Writer) error
		is    error
		says  string // in the error; "" is success
	}{
		"new":            {"new.txt", write("b"), nil, ""},
		"over the old":   {"old.txt", write("b"), nil, ""},
		"over a link":    {"link.txt", write("b"), nil, ""},
		"writer fails":   {"old.txt", func(w io.Writer) error { _ = write("half")(w); return io.ErrClosedPipe }, io.ErrClosedPipe, "old.txt"},
		"typed error":    {"old.txt", func(io.Writer) error { return typed }, errs.ErrCorrupt, "a hint of its own"},
		"missing folder": {"none/x.txt", write("b"), fs.ErrNotExist, "make its folder"},
		"folder there":   {"folder", write("b"), errs.ErrUnavailable, "folder"},
		"disk is full":   {"old.txt", fill, errs.ErrUnavailable, "room"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, err := range []error{
				os.WriteFile(filepath.Join(dir, "old.txt"), []byte("a"), 0o600), os.Mkdir(filepath.Join(dir, "folder"), 0o755),
				os.WriteFile(filepath.Join(dir, "target.txt"), []byte("a"), 0o600), os.Symlink("target.txt", filepath.Join(dir, "link.txt")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, c.path)
			err := durable.Replace(path, c.write)
			if c.says == "" {
				got, rerr := os.ReadFile(path)
				info, serr := os.Lstat(path)
				if err != nil || rerr != nil || serr != nil || string(got) != "b" || info.Mode() != durable.Mode {
					t.Errorf("%v, %v, %v: %q of mode %v", err, rerr, serr, got, info.Mode())
				}
			} else if err == nil || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Count(err.Error(), "hint: ") != 1 {
				t.Errorf("error %v, want %v with %q and one hint", err, c.is, c.says)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "target.txt")); err != nil || string(got) != "a" {
				t.Errorf("what the link names is now %q, %v", got, err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "old.txt")); c.says != "" && (err != nil || string(got) != "a") {
				t.Errorf("the old file is now %q, %v", got, err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// fill fails as a full disk does.
func fill(w io.Writer) error {
	if err := write("half")(w); err != nil {
		return err
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer full.Close()
	return write("rest")(full)
}

// What is refused leaves no folder, and takes none that was there or is in use.
func TestFolderIsUndone(t *testing.T) {
	top := t.TempDir()
	there := func(path string) bool { _, err := os.Lstat(filepath.Join(top, path)); return err == nil }
	undo, err := durable.Folder(filepath.Join(top, "a/b/c"))
	if err != nil || !there("a/b/c") {
		t.Fatal(err)
	}
	undo()
	if there("a") || !there(".") {
		t.Error("a stays, or the folder that was there does not")
	}
	first, err := durable.Folder(filepath.Join(top, "a/b"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := durable.Folder(filepath.Join(top, "a/b/d"))
	if err != nil {
		t.Fatal(err)
	}
	first() // while another uses it
	if !there("a/b/d") {
		t.Error("a folder in use is removed")
	}
	second()
	if !there("a/b") || there("a/b/d") {
		t.Error("another's folder is removed, or one's own stays")
	}
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if undo, err := durable.Folder(filepath.Join(top, "file/x")); err == nil || undo == nil {
		t.Error("a file is a folder")
	}
}

// A folder's places are checked before there is a folder, and before there is something in it.
func TestCheckIn(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		syscall.Mkfifo(filepath.Join(dir, "pipe.json"), 0o600), os.Mkdir(filepath.Join(dir, "folder.json"), 0o755), os.Symlink("/dev/null", filepath.Join(dir, "device.json")),
		os.WriteFile(filepath.Join(dir, "file.json"), nil, 0o600), os.Symlink("nowhere", filepath.Join(dir, "dangling.json")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		dir      string
		patterns []string
		says     string // "" is success
	}{
		{"", nil, ""},
		{"", []string{"file.json", "dangling.json", "none.json"}, ""},
		{"", []string{"pipe.json"}, "a named pipe"},
		{"", []string{"folder.json"}, "a folder"},
		{"", []string{"device.json"}, "a device"},
		{"", []string{"none", "*.json"}, "not a regular file"},
		{"new/deep", []string{"*"}, ""},
		{"folder.json/new", []string{"*"}, ""},
		{"file.json", nil, "no folder"},
		{"file.json/deep", nil, "no folder"},
		{"pipe.json", []string{"*"}, "no folder"},
		{"device.json/deep", []string{"*"}, "no folder"},
	} {
		err := durable.CheckIn(filepath.Join(dir, c.dir), c.patterns...)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !errors.Is(err, errs.ErrUnavailable) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %q: error %v, want %q", c.dir, c.patterns, err, c.says)
		}
	}
}

func TestReplaceModeKeepsSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := durable.ReplaceMode(path, 0o600, write("s")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A reader that runs beside writers sees one whole file or another.
func TestReadersSeeWholeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	bodies := []string{strings.Repeat("a", 1<<16), strings.Repeat("b", 3<<16)}
	if err := durable.WriteFile(path, []byte(bodies[0])); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, body := range bodies {
		writers.Go(func() {
			for range 50 {
				if err := durable.WriteFile(path, []byte(body)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for {
		got, err := os.ReadFile(path)
		if err != nil || string(got) != bodies[0] && string(got) != bodies[1] {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestErrorOfNothing(t *testing.T) {
	if err := durable.Error("x", nil); err != nil {
		t.Error(err)
	}
	if err := durable.SyncFolder(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, errs.ErrUnavailable) {
		t.Error(err)
	}
}

// A temporary file is known by its name, and abandoned where nobody holds its lock and it is old.
func TestAbandoned(t *testing.T) {
	dir := t.TempDir()
	var half string
	err := durable.Replace(filepath.Join(dir, "a.json"), func(w io.Writer) error {
		found, err := filepath.Glob(filepath.Join(dir, ".a.json.resslt-tmp-*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%q, %v", found, err)
		}
		half = found[0]
		if durable.Abandoned(half, time.Now().Add(24*time.Hour)) {
			t.Error("one that is being written is abandoned")
		}
		_, err = w.Write([]byte("x"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil { // as a killed process leaves it
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]bool{0: false, 59 * time.Minute: false, 61 * time.Minute: true} {
		if got := durable.Abandoned(half, time.Now().Add(at)); got != want {
			t.Errorf("after %v: %v", at, got)
		}
	}
	for _, name := range []string{".a.json.tmp-1", "a.json.resslt-tmp-1", ".resslt-tmp-1", ".a.resslt-tmp-", ".a.resslt-tmp-1x"} {
		if of, ok := durable.Temporary(name); ok {
			t.Errorf("%s is taken for one of %s", name, of)
		}
	}
	if of, ok := durable.Temporary(filepath.Base(half)); of != "a.json" || !ok {
		t.Errorf("it is one of %q, %v", of, ok)
	}
	folder := filepath.Join(dir, ".b.resslt-tmp-1")
	if err := os.Mkdir(folder, 0o755); err != nil || durable.Abandoned(folder, time.Now().Add(24*time.Hour)) {
		t.Errorf("a folder is abandoned: %v", err)
	}
}
