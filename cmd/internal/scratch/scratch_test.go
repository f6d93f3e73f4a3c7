package scratch

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// asOwner has the test's own binary make a folder, print its path and wait.
const asOwner = "RESSLT_TEST_AS_SCRATCH_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(asOwner) != "" {
		f, err := Make("broker")
		if err == nil {
			err = fill(f.Path)
		}
		fmt.Println(f.Path, err)
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		return // as it is: without Close
	}
	os.Exit(m.Run())
}

// fill puts into a folder what a broker's store has.
func fill(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "jetstream", "a"), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "jetstream", "a", "1.blk"), []byte("chunk"), 0o600)
}

// owner is a process with a folder.
func owner(t *testing.T) (path string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), asOwner+"=1")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { _ = c.Process.Kill(); _ = c.Wait() }
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	path, says, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || says != "<nil>" {
		t.Fatalf("the owner says %q: %v", line, err)
	}
	return path, kill
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// What a killed process leaves goes with the next start; what a live one has, stays.
func TestKilled(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead, kill := owner(t)
	live, _ := owner(t)
	mine, err := Make("broker")
	if err != nil {
		t.Fatal(err)
	}
	Sweep()
	for _, path := range []string{dead, live, mine.Path} {
		if !exists(filepath.Join(path, mark)) {
			t.Errorf("%s of a live process is gone", path)
		}
	}
	kill()
	Sweep()
	if exists(dead) {
		t.Error("the folder of a killed process stays")
	}
	for _, path := range []string{live, mine.Path} {
		if !exists(filepath.Join(path, mark)) {
			t.Errorf("%s of a live process is gone with it", path)
		}
	}
	if err := mine.Close(); err != nil || exists(mine.Path) {
		t.Errorf("Close leaves it: %v", err)
	}
}

// Removal that was cut off itself is finished by the next.
func TestHalfRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead, kill := owner(t)
	kill()
	if err := os.RemoveAll(filepath.Join(dead, "jetstream")); err != nil {
		t.Fatal(err)
	}
	Sweep()
	if exists(dead) {
		t.Error("it stays")
	}
}

// A process that was killed before its folder's mark had its name has left nothing else there.
func TestKilledAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := filepath.Join(os.TempDir(), "resslt-broker-1")
	folder(t, path)
	put(t, filepath.Join(path, mark+unnamed), claim(path))
	if left := Left(); len(left) > 0 {
		t.Errorf("%q is left, and may be being made", left)
	}
	long := time.Now().Add(-2 * unnamedFor)
	if err := os.Chtimes(filepath.Join(path, mark+unnamed), long, long); err != nil {
		t.Fatal(err)
	}
	if left := Left(); len(left) != 1 || left[0] != path {
		t.Errorf("%q is left", left)
	}
	if err := Remove(path); err != nil || exists(path) {
		t.Errorf("it stays: %v", err)
	}
	errstest.Want(t, Remove(path), errs.ErrNotFound, path)
}

// Whatever else lies in the folder for temporary files is not ours to remove.
func TestForeign(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(t *testing.T, dir, path string) // of a folder that looks like ours, in dir
	}{
		{"without a mark", func(t *testing.T, _, path string) { at(t, path, "") }},
		{"whose mark has no name yet", func(t *testing.T, _, path string) {
			at(t, path, "")
			put(t, filepath.Join(path, mark+".new"), claim(path))
		}},
		{"with an empty mark", func(t *testing.T, _, path string) { at(t, path, ""); put(t, filepath.Join(path, mark), "") }},
		{"with a mark that names another", func(t *testing.T, _, path string) { at(t, path, claim(path+"0")) }},
		{"with a large mark", func(t *testing.T, _, path string) { at(t, path, claim(path)+strings.Repeat("x", maxMark)) }},
		{"with a folder for a mark", func(t *testing.T, _, path string) { at(t, path, ""); folder(t, filepath.Join(path, mark)) }},
		{"with a link for a mark", func(t *testing.T, dir, path string) {
			at(t, path, "")
			put(t, filepath.Join(dir, "elsewhere"), claim(path))
			link(t, filepath.Join(dir, "elsewhere"), filepath.Join(path, mark))
		}},
		{"that others can write", func(t *testing.T, _, path string) {
			at(t, path, claim(path))
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
		}},
		{"that is a link", func(t *testing.T, dir, path string) {
			to := filepath.Join(dir, "elsewhere")
			at(t, to, claim(path))
			link(t, to, path)
		}},
		{"that is a file", func(t *testing.T, _, path string) { put(t, path, claim(path)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			path := filepath.Join(dir, "resslt-broker-1")
			tc.make(t, dir, path)
			Sweep()
			if !exists(path) {
				t.Error("it is gone")
			}
		})
	}
	t.Run("with another's name", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		path := filepath.Join(dir, "results")
		at(t, path, claim(path))
		Sweep()
		if !exists(path) {
			t.Error("it is gone")
		}
	})
	t.Run("the same, ours", func(t *testing.T) { // so that the cases above differ from ours by what they say alone
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		path := filepath.Join(dir, "resslt-broker-1")
		at(t, path, claim(path))
		Sweep()
		if exists(path) {
			t.Error("it stays")
		}
	})
}

func TestNowhereToWrite(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	Sweep()
	_, err := Make("broker")
	errstest.Want(t, err, errs.ErrUnavailable, "the broker", "TMPDIR")
}

// at makes a folder with a mark that says text, none where it is empty.
func at(t *testing.T, path, text string) {
	t.Helper()
	folder(t, path)
	if err := fill(path); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		put(t, filepath.Join(path, mark), text)
	}
}

func folder(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}
