package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas/errs"
)

var fixedTime = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// cached lists the files of a cache, and their bytes together.
func cached(t *testing.T, dir string) (files []string, total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files, total = append(files, path), total+info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, total
}

func TestCacheIsShared(t *testing.T) {
	srv := storetest.Start(t)
	dir := t.TempDir()
	data := content(20, 800_000)
	name := srv.Put("x.tar", data)
	var g errgroup.Group
	before := srv.Gets()
	for range 6 { // as many processes
		g.Go(func() error {
			s := store.New(store.Options{CacheDir: dir})
			defer s.Close()
			f, err := s.Open(context.Background(), name)
			if err != nil {
				return err
			}
			f.Keep = true
			p := make([]byte, 1000)
			for i := range 50 {
				if _, err := f.ReadAt(context.Background(), p, int64(i)*10_000); err != nil {
					return err
				}
				if !bytes.Equal(p, data[i*10_000:i*10_000+1000]) {
					return fmt.Errorf("other bytes at %d", i)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := srv.Gets() - before; got != 1 {
		t.Errorf("fetched %d times", got)
	}
	if files, total := cached(t, dir); len(files) != 1 || total != int64(len(data))+32 {
		t.Errorf("cache holds %v, %d bytes", files, total)
	}
}

// The cache stays below its bytes, and drops what was not used for longest.
func TestCacheIsBounded(t *testing.T) {
	srv := storetest.Start(t)
	const size, room = 100_000, 4
	dir := t.TempDir()
	s := store.New(store.Options{CacheDir: dir, CacheBytes: room*(size+32) + size/2})
	defer s.Close()
	ctx := context.Background()
	var files []*store.File
	read := func(i int) {
		p := make([]byte, 10)
		if _, err := files[i].ReadAt(ctx, p, 5); err != nil || !bytes.Equal(p, content(uint64(i), 20)[5:15]) {
			t.Fatalf("file %d: %v", i, err)
		}
		if _, total := cached(t, dir); total > room*(size+32)+size/2 {
			t.Fatalf("cache holds %d bytes", total)
		}
	}
	for i := range 10 {
		f := open(t, s, srv.Put(fmt.Sprintf("%d.tar", i), content(uint64(i), size)))
		f.Keep = true
		files = append(files, f)
		read(i)
		time.Sleep(10 * time.Millisecond) // so that times differ
	}
	before := srv.Gets()
	read(9)
	read(6)
	if got := srv.Gets() - before; got != 0 {
		t.Errorf("the last ones were fetched again: %d", got)
	}
	read(0)
	if got := srv.Gets() - before; got != 1 {
		t.Errorf("the first one: %d fetches", got)
	}
	big := open(t, s, srv.Put("big.tar", content(99, room*size*2)))
	big.Keep = true
	readAll(t, big, content(99, room*size*2))
	if s.Fits(room*size*2) || !s.Fits(size) {
		t.Error("Fits")
	}
}

func TestCacheDistrusts(t *testing.T) {
	srv := storetest.Start(t)
	dir, ctx := t.TempDir(), context.Background()
	data := content(30, 200_000)
	name := srv.Put("x.tar", data)
	fetch := func(sum string) error {
		s := quick(t, dir)
		f := open(t, s, name)
		f.Keep, f.SHA256 = true, sum
		p := make([]byte, len(data))
		if _, err := f.ReadAt(ctx, p, 0); err != nil {
			return err
		}
		if !bytes.Equal(p, data) {
			return errors.New("other bytes")
		}
		return nil
	}
	if err := fetch(""); err != nil {
		t.Fatal(err)
	}
	files, _ := cached(t, dir)
	if len(files) != 1 {
		t.Fatalf("cache holds %v", files)
	}
	for what, damage := range map[string]func(b []byte) []byte{
		"a flipped bit":   func(b []byte) []byte { b[777] ^= 4; return b },
		"a missing byte":  func(b []byte) []byte { return b[:len(b)-1] },
		"an empty file":   func([]byte) []byte { return nil },
		"another's bytes": func(b []byte) []byte { return append(content(31, len(b)-32), b[len(b)-32:]...) },
	} {
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], damage(b), 0o644); err != nil {
			t.Fatal(err)
		}
		before := srv.Gets()
		if err := fetch(""); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if srv.Gets() == before {
			t.Errorf("%s was believed", what)
		}
	}
	wrong := strings.Repeat("0", 64)
	if err := fetch(wrong); !errors.Is(err, errs.ErrMismatch) || !strings.Contains(err.Error(), "manifest") {
		t.Errorf("cached, of another sum: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(files[0])); err != nil {
		t.Fatal(err)
	}
	if err := fetch(wrong); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("fetched, of another sum: %v", err)
	}
	if files, _ := cached(t, dir); len(files) != 0 {
		t.Errorf("it was kept: %v", files)
	}
}

// TestCacheSurvivesKill kills a process in the middle of a fetch, and takes over.
func TestCacheSurvivesKill(t *testing.T) {
	if name := os.Getenv("STORE_TEST_FETCH"); name != "" { // the process to be killed
		s := store.New(store.Options{CacheDir: os.Getenv("STORE_TEST_CACHE")})
		f, err := s.Open(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		f.Keep = true
		f.ReadAt(context.Background(), make([]byte, 1), 0)
		return
	}
	srv := storetest.Start(t)
	dir := t.TempDir()
	data := content(40, 1_000_000)
	name := srv.Put("x.tar", data)
	stalled := make(chan struct{}, 1)
	srv.Fault(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method != http.MethodGet {
			pass.ServeHTTP(w, r)
			return
		}
		stalled <- struct{}{}
		pass.ServeHTTP(&truncated{ResponseWriter: w, left: 300_000, stall: r.Context()}, r)
	})
	cmd := exec.Command(os.Args[0], "-test.run=^TestCacheSurvivesKill$")
	cmd.Env = append(os.Environ(), "STORE_TEST_FETCH="+name, "STORE_TEST_CACHE="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-stalled
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if files, _ := cached(t, dir); len(files) == 1 && strings.HasSuffix(files[0], ".part") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no fetch began")
		}
	}
	cmd.Process.Kill()
	cmd.Wait() // says "killed"
	srv.Fault(nil)

	// Another file's fetch clears away what was left; the file itself is fetched.
	s := store.New(store.Options{CacheDir: dir})
	defer s.Close()
	other := open(t, s, srv.Put("y.tar", content(41, 1000)))
	other.Keep = true
	if _, err := other.ReadAt(context.Background(), make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	if files, _ := cached(t, dir); len(files) != 1 || strings.HasSuffix(files[0], ".part") {
		t.Errorf("the orphan is still there: %v", files)
	}
	f := open(t, s, name)
	f.Keep = true
	readAll(t, f, data)
}

// A cache that cannot be used is a warning: the files are read all the same.
func TestCacheIsNoDuty(t *testing.T) {
	srv := storetest.Start(t)
	data := content(1, 300_000)
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file in its place": file, "a place where none can be made": "/proc/x", "no home": ""} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOME", "")
			t.Setenv("XDG_CACHE_HOME", "")
			t.Setenv("RESSLT_CACHE_DIR", "")
			var warned []string
			s := store.New(store.Options{CacheDir: dir, Warn: func(why string) { warned = append(warned, why) }})
			defer s.Close()
			for i := range 2 {
				f := open(t, s, srv.Put(fmt.Sprintf("%d-%d.tar", len(name), i), data))
				f.Keep = true
				p := make([]byte, 1000)
				if _, err := f.ReadAt(context.Background(), p, 5000); err != nil || !bytes.Equal(p, data[5000:6000]) {
					t.Fatal(err)
				}
				readAll(t, f, data)
			}
			if len(warned) != 1 || !strings.Contains(warned[0], "without a cache") || !strings.Contains(warned[0], "--cache-dir") {
				t.Errorf("warnings: %q", warned)
			}
		})
	}
}
