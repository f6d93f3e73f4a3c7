package ingest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// cacheSets are data sets of every format that keeps an index, and what names them.
func cacheSets(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{
		"tree/train/a/1.png": pngBytes(t, 4, 4), "tree/train/b/2.png": pngBytes(t, 5, 4),
		"s-000.tar": tarBytes(t, tarFile{"1.png", pngBytes(t, 4, 4)}, tarFile{"1.cls", []byte("0")}),
	})
	return map[string]string{"folder": "folder:" + dir + "/tree", "wds": "wds:" + dir + "/s-000.tar"}
}

// digestOf opens a data set, and gives its digest and what was warned of.
func digestOf(t *testing.T, uri, cache string) (digest string, warned []string) {
	t.Helper()
	src, err := Open(context.Background(), uri, Options{CacheDir: cache, Warn: func(why string) { warned = append(warned, why) }})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return src.Manifest().Digest(), warned
}

// A cache that cannot be used costs time and a warning, never the data.
func TestIndexCacheIsNoDuty(t *testing.T) {
	for format, uri := range cacheSets(t) {
		good := t.TempDir()
		want, warned := digestOf(t, uri, good)
		if len(warned) > 0 {
			t.Fatal(warned)
		}
		files, err := filepath.Glob(good + "/*.idx")
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		name, sound := filepath.Base(files[0]), readFile(t, files[0])
		for _, c := range []struct {
			name  string
			warns int
			dir   func(t *testing.T) string // makes the cache
		}{
			{"there", 0, func(*testing.T) string { return good }},
			{"a new folder", 0, func(t *testing.T) string { return filepath.Join(t.TempDir(), "a", "b") }},
			{"no home", 1, func(t *testing.T) string { t.Setenv("HOME", ""); t.Setenv("XDG_CACHE_HOME", ""); return "" }},
			{"a home that cannot be written to", 1, func(t *testing.T) string { t.Setenv("HOME", "/proc"); t.Setenv("XDG_CACHE_HOME", ""); return "" }},
			{"a relative XDG_CACHE_HOME", 1, func(t *testing.T) string { t.Setenv("XDG_CACHE_HOME", "x"); return "" }},
			{"no home, but a folder for caches", 0, func(t *testing.T) string {
				t.Setenv("HOME", "")
				t.Setenv("XDG_CACHE_HOME", "")
				t.Setenv("RESSLT_CACHE_DIR", t.TempDir())
				return ""
			}},
			{"a file in the folder's place", 1, func(t *testing.T) string {
				file := filepath.Join(t.TempDir(), "x")
				writeTree(t, filepath.Dir(file), map[string][]byte{"x": nil})
				return file
			}},
			{"a folder in the file's place", 1, func(t *testing.T) string {
				dir := t.TempDir()
				writeTree(t, dir, map[string][]byte{name + "/x": nil})
				return dir
			}},
			{"a pipe in the file's place", 1, func(t *testing.T) string {
				dir := t.TempDir()
				if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
					t.Fatal(err)
				}
				return dir
			}},
			{"a link to a device in the file's place", 1, func(t *testing.T) string {
				dir := t.TempDir()
				if err := os.Symlink("/dev/zero", filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				return dir
			}},
			{"empty", 0, func(t *testing.T) string { return cacheOf(t, name, nil) }},
			{"cut off", 0, func(t *testing.T) string { return cacheOf(t, name, sound[:len(sound)/2]) }},
			{"a flipped bit", 0, func(t *testing.T) string {
				b := bytes.Clone(sound)
				b[len(b)/2] ^= 4
				return cacheOf(t, name, b)
			}},
			{"of format 1", 0, func(t *testing.T) string {
				return cacheOf(t, name, bytes.Replace(sound, []byte(cacheMagic), []byte(firstMagic), 1))
			}},
			{"no index", 0, func(t *testing.T) string { return cacheOf(t, name, []byte("some text\n")) }},
		} {
			t.Run(format+"/"+c.name, func(t *testing.T) {
				dir := c.dir(t)
				for range 2 { // the second finds what the first left
					got, warned := digestOf(t, uri, dir)
					if got != want {
						t.Errorf("digest %s, want %s", got, want)
					}
					if len(warned) != c.warns {
						t.Errorf("warnings: %q, want %d", warned, c.warns)
					}
					for _, w := range warned {
						if !strings.Contains(w, "indexed again") || !strings.Contains(w, "--cache-dir") || strings.Contains(w, "\n") {
							t.Errorf("%q", w)
						}
					}
				}
			})
		}
	}
}

func cacheOf(t *testing.T, name string, content []byte) string {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{name: content})
	return dir
}

// Other data under the same path is other data, whoever's index is there.
func TestIndexCacheOfOtherData(t *testing.T) {
	cache := t.TempDir()
	for format, uri := range cacheSets(t) {
		before, _ := digestOf(t, uri, cache)
		_, place, _ := strings.Cut(uri, ":")
		path, other := place, tarBytes(t, tarFile{"1.png", pngBytes(t, 9, 9)}, tarFile{"1.cls", []byte("0")})
		if format == "folder" {
			path, other = filepath.Join(place, "train/a/1.png"), pngBytes(t, 9, 9)
		}
		if err := os.WriteFile(path, other, 0o644); err != nil {
			t.Fatal(err)
		}
		after, _ := digestOf(t, uri, cache)
		fresh, _ := digestOf(t, uri, t.TempDir())
		if after == before || after != fresh {
			t.Errorf("%s: %s before, %s after, %s without the cache", format, before, after, fresh)
		}
	}
}

// Openers that share a cache, and find it damaged at that, do not disturb one another.
func TestIndexCacheIsShared(t *testing.T) {
	for format, uri := range cacheSets(t) {
		cache := t.TempDir()
		want, _ := digestOf(t, uri, cache)
		files, err := filepath.Glob(cache + "/*.idx")
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		var g sync.WaitGroup
		for i := range 8 {
			g.Go(func() {
				for range 20 {
					if i == 0 {
						if err := os.WriteFile(files[0], []byte("damage"), 0o644); err != nil {
							t.Error(err)
						}
					}
					src, err := Open(context.Background(), uri, Options{CacheDir: cache, Warn: func(why string) { t.Error(why) }})
					if err != nil {
						t.Error(err)
						return
					}
					if got := src.Manifest().Digest(); got != want {
						t.Errorf("%s: digest %s, want %s", format, got, want)
					}
					src.Close()
				}
			})
		}
		g.Wait()
		if left, err := filepath.Glob(cache + "/.*tmp*"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
