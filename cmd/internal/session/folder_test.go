package session

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/errs"
)

func TestFolderIsOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "out")
	f, err := LockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockFolder(dir); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("a second process: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := LockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
}

// What an earlier run left goes aside whole, each time into a folder of its own; other files
// stay.
func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	f, err := LockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if to, err := f.setAside(); to != "" || err != nil {
		t.Errorf("of nothing: %q, %v", to, err)
	}
	for _, want := range []string{"previous-1", "previous-2"} {
		for _, name := range []string{"summary.json", "diverged-step-7.arrow", "notes.txt", refusalFile} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		to, err := f.setAside()
		if err != nil || to != filepath.Join(dir, want) {
			t.Fatalf("%q, %v; want %s", to, err, want)
		}
		files, err := os.ReadDir(to)
		if err != nil || len(files) != 3 {
			t.Errorf("%s has %v, %v", want, files, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Error(err)
	}
}
