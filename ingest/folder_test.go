package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// list opens a folder and gives "key label" of every sample.
func list(t *testing.T, uri string, opt Options) ([]string, *Manifest) {
	t.Helper()
	if opt.CacheDir == "" {
		opt.CacheDir = t.TempDir()
	}
	src, err := Open(context.Background(), uri, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return keysOf(t, src), src.Manifest()
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestFolderLayouts(t *testing.T) {
	img := []byte("bytes")
	for _, c := range []struct {
		name    string
		files   []string
		split   string
		want    []string
		classes []string
	}{
		{
			"classes, sorted bytewise",
			[]string{"b/2.jpg", "a-b/1.jpg", "a/z.jpg", "a/Y.jpg", "a/d/1.png"},
			"",
			[]string{"a/Y.jpg 0", "a/d/1.png 0", "a/z.jpg 0", "a-b/1.jpg 1", "b/2.jpg 2"},
			[]string{"a", "a-b", "b"},
		},
		{"flat", []string{"2.webp", "1.JPG", "x.txt"}, "", []string{"1.JPG -1", "2.webp -1"}, nil},
		{"images next to classes", []string{"9.jpg", "a/1.jpg"}, "", []string{"9.jpg -1", "a/1.jpg 0"}, []string{"a"}},
		{"train split", []string{"train/a/1.jpg", "val/a/2.jpg"}, "", []string{"a/1.jpg 0"}, []string{"a"}},
		{"val is test", []string{"train/a/1.jpg", "val/a/2.jpg"}, Test, []string{"a/2.jpg 0"}, []string{"a"}},
		{
			"a class that one split lacks",
			[]string{"train/a/1.jpg", "train/c/1.jpg", "test/b/2.jpg", "test/c/3.jpg"},
			Test,
			[]string{"b/2.jpg 1", "c/3.jpg 2"},
			[]string{"a", "b", "c"},
		},
		{"unlabelled split", []string{"train/a/1.jpg", "unlabeled/1.jpg"}, Unlabeled, []string{"1.jpg -1"}, []string{"a"}},
	} {
		dir := t.TempDir()
		files := map[string][]byte{}
		for _, f := range c.files {
			files[f] = img
		}
		writeTree(t, dir, files)
		got, m := list(t, "folder:"+dir, Options{Split: c.split})
		same(t, c.name, got, c.want)
		same(t, c.name+": classes", m.Classes, c.classes)
	}
}

func TestFolderLinks(t *testing.T) {
	dir, store := t.TempDir(), t.TempDir()
	writeTree(t, store, map[string][]byte{"real/1.jpg": []byte("one"), "file": []byte("two")})
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(store, "real"), "class") // as ImageNet-100 is made of ImageNet
	if err := os.MkdirAll(filepath.Join(dir, "other", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(filepath.Join(store, "file"), "other/2.jpg")
	link(dir, "other/deep/loop")
	link("..", "other/up")
	link("nowhere", "other/dead.txt")
	if err := syscall.Mkfifo(filepath.Join(dir, "other", "pipe.jpg"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, _ := list(t, "folder:"+dir, Options{})
	same(t, "links", got, []string{"class/1.jpg 0", "other/2.jpg 1"})
	link("nowhere", "other/dead.jpg")
	_, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	if !errors.Is(err, errs.ErrNotFound) || !strings.Contains(err.Error(), "dead.jpg") {
		t.Errorf("dead link to an image: %v", err)
	}
	checkOneLine(t, err)
}

func TestFolderChangedAfterOpen(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"1.jpg": []byte("four"), "2.jpg": []byte("gone")})
	src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	writeTree(t, dir, map[string][]byte{"1.jpg": []byte("fives")})
	if err := os.Remove(filepath.Join(dir, "2.jpg")); err != nil {
		t.Fatal(err)
	}
	var s schemas.Sample
	if err := src.Read(context.Background(), 0, &s); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("another size: %v", err)
	}
	if err := src.Read(context.Background(), 1, &s); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}

// hashed opens and says how many bytes were hashed for it.
func hashed(t *testing.T, uri, cache string) (int64, string) {
	t.Helper()
	var n int64
	src, err := Open(context.Background(), uri, Options{CacheDir: cache, Progress: func(done, total int64) {
		if done > total {
			t.Errorf("progress: %d of %d", done, total)
		}
		n = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return n, src.Manifest().Digest()
}

func TestIndexIsReused(t *testing.T) {
	tarOf := func(s string) []byte { return tarBytes(t, tarFile{s + ".jpg", []byte(s)}) }
	for _, c := range []struct {
		name       string
		a, b, more []byte
		uri, ext   string
	}{
		{"folder", []byte("0123456789"), []byte("abc"), []byte("more"), "folder:%s", ".jpg"},
		{"wds", tarOf("a"), tarOf("b"), tarOf("c"), "wds:%s/*.tar", ".tar"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, cache := t.TempDir(), t.TempDir()
			file := func(n string) string { return filepath.Join(dir, n+c.ext) }
			uri := fmt.Sprintf(c.uri, dir)
			writeTree(t, dir, map[string][]byte{"a" + c.ext: c.a, "b" + c.ext: c.b})
			expect := func(what string, want int64) string {
				t.Helper()
				n, digest := hashed(t, uri, cache)
				if n != want {
					t.Errorf("%s: %d bytes hashed, want %d", what, n, want)
				}
				if _, fresh := hashed(t, uri, t.TempDir()); fresh != digest {
					t.Errorf("%s: digest %s, built from nothing %s", what, digest, fresh)
				}
				return digest
			}
			both := int64(len(c.a) + len(c.b))
			first := expect("first open", both)
			expect("second open", 0)

			writeTree(t, dir, map[string][]byte{"aa" + c.ext: c.more})
			if expect("one file more", int64(len(c.more))) == first {
				t.Error("one file more, same digest")
			}
			if err := os.Remove(file("aa")); err != nil {
				t.Fatal(err)
			}
			if expect("one file less", 0) != first {
				t.Error("back to the first files, another digest")
			}
			// The same bytes, but written again: only hashing can tell that they are.
			if err := os.WriteFile(file("b"), c.b, 0o644); err != nil {
				t.Fatal(err)
			}
			expect("written in this moment", int64(len(c.b)))
			expect("still too fresh to be trusted", int64(len(c.b)))
			age(t, file("b"))
			if expect("old again", int64(len(c.b))) != first {
				t.Error("same bytes, another digest")
			}

			found, err := filepath.Glob(filepath.Join(cache, "*.idx"))
			if err != nil || len(found) != 1 {
				t.Fatalf("cache holds %v, %v", found, err)
			}
			good := readFile(t, found[0])
			for _, d := range []struct {
				what string
				b    []byte
			}{
				{"empty", nil},
				{"cut", good[:len(good)/2]},
				{"one byte short", good[:len(good)-1]},
				{"no index", bytes.Repeat([]byte("x"), 200)},
				{"flipped", append(append(bytes.Clone(good[:60]), good[60]^1), good[61:]...)},
			} {
				if err := os.WriteFile(found[0], d.b, 0o644); err != nil {
					t.Fatal(err)
				}
				if expect("index "+d.what, both) != first {
					t.Errorf("index %s: another digest", d.what)
				}
				if !bytes.Equal(readFile(t, found[0])[:16], good[:16]) {
					t.Errorf("index %s: not written again", d.what)
				}
			}
			left, _ := filepath.Glob(filepath.Join(cache, ".*"))
			if len(left) > 0 {
				t.Errorf("temporary files left: %v", left)
			}
		})
	}
}

// An index whose check sum is right but whose lengths lie must be refused, not followed.
func TestParseIndexRefusesLies(t *testing.T) {
	x := newIndex()
	c := &columns{sizes: []uint32{1, 2}, labels: []int32{0, 1}, offsets: []int64{512, 1536}}
	for _, n := range []string{"1.jpg", "2.jpg"} {
		if err := c.addName([]byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.addShard(Shard{Name: "a.tar"}, c); err != nil {
		t.Fatal(err)
	}
	x.Stamps = []stamp{{Size: 1, MTime: 2}}
	at, path := &cache{key: "k"}, filepath.Join(t.TempDir(), "x.idx")
	stored := func(change func(*index)) error {
		y := *x
		y.Shards, y.First, y.nameEnd = slices.Clone(x.Shards), slices.Clone(x.First), slices.Clone(x.nameEnd)
		change(&y)
		if err := at.write(path, &y); err != nil {
			t.Fatal(err)
		}
		_, err := parseIndex(readFile(t, path))
		return err
	}
	if err := stored(func(*index) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*index){
		"more samples than columns": func(y *index) { y.Samples = 3 },
		"a huge count":              func(y *index) { y.Samples = 1 << 60 },
		"a negative count":          func(y *index) { y.Samples = -1 },
		"shards that don't add up":  func(y *index) { y.First[1] = 1 },
		"a shard's count":           func(y *index) { y.Shards[0].Samples = 9 },
		"no stamps":                 func(y *index) { y.Stamps = nil },
		"names that run over":       func(y *index) { y.nameEnd[1] = 1000 },
		"names out of order":        func(y *index) { y.nameEnd[0] = 10; y.nameEnd[1] = 5 },
	} {
		if err := stored(change); !errors.Is(err, errs.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
