package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// keptTree is a folder with three classes, images beside them and a folder within one, all of an
// hour ago.
func keptTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if !store.KeepsFolderTimes(dir) {
		t.Skip("this file system's folders have no times that are relied on")
	}
	files := map[string][]byte{"loose.jpg": []byte("loose")}
	for _, class := range []string{"ant", "bee", "cat/deep"} {
		for i := range 3 {
			files[fmt.Sprintf("%s/%d.jpg", class, i)] = fmt.Appendf(nil, "picture %d of %s", i, class)
		}
	}
	writeTree(t, dir, files)
	for _, d := range []string{"cat/deep", "cat", "bee", "ant", "."} {
		age(t, filepath.Join(dir, d))
	}
	return dir
}

// keptOptions keep folders of any data set.
func keptOptions(cache string) Options {
	return Options{CacheDir: cache, keptFrom: 1, lookAfter: time.Hour}
}

func openKept(t *testing.T, dir string, o Options) *folderSource {
	t.Helper()
	src, err := Open(t.Context(), "folder:"+dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src.(*folderSource)
}

// whatIsRead reads every sample, and gives what is read of each, or the error.
func whatIsRead(src Source) []string {
	var out []string
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(context.Background(), id, &s); err != nil {
			out = append(out, err.Error())
			continue
		}
		out = append(out, fmt.Sprint(s.Key, " ", s.Label, " ", string(s.Data)))
	}
	return out
}

// Whatever was changed since the index was made: a data set whose folders are kept is the one that
// is there, or it is what was indexed and nothing is read that was changed. The next Open has it.
func TestKeptFolders(t *testing.T) {
	write := func(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) } // in place
	for _, tc := range []struct {
		about  string
		change func(dir string) error
		listed int64  // files that Open looks at
		bad    string // the sample that cannot be read
	}{
		{"nothing", func(string) error { return nil }, 0, ""},
		{"a file came", func(dir string) error { return write(dir+"/bee/9.jpg", "new") }, 4, ""},
		{"a file came into a folder below", func(dir string) error { return write(dir+"/cat/deep/9.jpg", "new") }, 4, ""},
		{"a file came beside the classes", func(dir string) error { return write(dir+"/0.jpg", "new") }, 2, ""},
		{"a file went", func(dir string) error { return os.Remove(dir + "/ant/1.jpg") }, 2, ""},
		{"a file has another name", func(dir string) error { return os.Rename(dir+"/ant/1.jpg", dir+"/ant/8.jpg") }, 3, ""},
		{"a file was replaced", func(dir string) error {
			return errors.Join(write(dir+"/ant/.new", "picture 7 of ant"), os.Rename(dir+"/ant/.new", dir+"/ant/1.jpg"))
		}, 3, ""},
		{"a file was written in place", func(dir string) error { return write(dir+"/bee/2.jpg", "picture 7 of bee") }, 0, "bee/2.jpg"},
		{"and has its time", func(dir string) error {
			old, err := os.Stat(dir + "/bee/2.jpg")
			return errors.Join(err, write(dir+"/bee/2.jpg", "picture 7 of bee"), os.Chtimes(dir+"/bee/2.jpg", old.ModTime(), old.ModTime()))
		}, 0, "bee/2.jpg"},
		{"a file is longer", func(dir string) error { return write(dir+"/cat/deep/0.jpg", "picture 0 of cat/deep, longer") }, 0, "cat/deep/0.jpg"},
		{"a file has the same bytes again", func(dir string) error { return write(dir+"/bee/2.jpg", "picture 2 of bee") }, 0, ""},
		{"a file has another owner's rights", func(dir string) error { return os.Chmod(dir+"/bee/2.jpg", 0o600) }, 0, ""},
		{"a class came", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/bat", 0o755), write(dir+"/bat/1.jpg", "a bat"))
		}, 2, ""}, // with the loose one
		{"a class went", func(dir string) error { return os.RemoveAll(dir + "/ant") }, 1, ""},
		{"a class is a link to other files", func(dir string) error {
			err := errors.Join(os.MkdirAll(dir+".other/ant", 0o755), write(dir+".other/ant/0.jpg", "other"))
			return errors.Join(err, os.RemoveAll(dir+"/ant"), os.Symlink(dir+".other/ant", dir+"/ant"))
		}, 2, ""},
		{"the folder is another one with its times", func(dir string) error {
			err := os.CopyFS(dir+".new", os.DirFS(dir))
			for _, name := range []string{"ant/0.jpg", "ant", "bee", "cat/deep", "cat", "."} {
				info, serr := os.Stat(filepath.Join(dir, name))
				err = errors.Join(err, serr, os.Chtimes(filepath.Join(dir+".new", name), info.ModTime(), info.ModTime()))
			}
			return errors.Join(err, os.Rename(dir, dir+".old"), os.Rename(dir+".new", dir))
		}, 10, ""},
	} {
		t.Run(tc.about, func(t *testing.T) {
			t.Parallel()
			dir, cache := keptTree(t), t.TempDir()
			first := openKept(t, dir, keptOptions(cache))
			was := first.Manifest().Digest()
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			now := openKept(t, dir, keptOptions(t.TempDir())) // by no index
			src := openKept(t, dir, keptOptions(cache))
			if listed := src.Len() - src.x.keptSamples; listed != tc.listed {
				t.Errorf("%d files were looked at, want %d", listed, tc.listed)
			}
			got, want := whatIsRead(src), whatIsRead(now)
			if tc.bad == "" {
				if src.Manifest().Digest() != now.Manifest().Digest() || strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("digest %.12s, want %.12s; samples\n%s\nwant\n%s", src.Manifest().Digest(), now.Manifest().Digest(), strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				return
			}
			if src.Manifest().Digest() != was || now.Manifest().Digest() == was {
				t.Errorf("digests: %.12s before, %.12s kept, %.12s now", was, src.Manifest().Digest(), now.Manifest().Digest())
			}
			for i, text := range got {
				if refused := strings.Contains(text, "mismatch"); refused != strings.Contains(text, tc.bad) || !refused && text != want[i] {
					t.Errorf("sample %d: %s, want %s", i, text, want[i])
				}
			}
			if again := openKept(t, dir, keptOptions(cache)); again.Manifest().Digest() != now.Manifest().Digest() {
				t.Error("the next Open has still what was indexed")
			}
		})
	}
}

// What Open has not looked at is looked at later: a file that was changed ends the use of the
// source before its turn comes.
func TestSecondLook(t *testing.T) {
	for _, tc := range []struct {
		about  string
		change func(dir string) error
		bad    string // what is refused
		warned string
		drops  bool // the index
	}{
		{"nothing", func(string) error { return nil }, "", "", false},
		{"written in place", func(dir string) error { return os.WriteFile(dir+"/bee/2.jpg", []byte("picture 7 of bee"), 0o644) }, "bee/2.jpg", "", true},
		{"cut", func(dir string) error { return os.Truncate(dir+"/cat/deep/0.jpg", 3) }, "cat/deep/0.jpg", "", true},
		{"gone since", func(dir string) error { return os.Remove(dir + "/ant/2.jpg") }, "ant/2.jpg", "", true},
		{"came since", func(dir string) error { return os.WriteFile(dir+"/ant/7.jpg", []byte("new"), 0o644) }, "", "7.jpg has come", true},
		{"the same bytes", func(dir string) error { return os.WriteFile(dir+"/ant/2.jpg", []byte("picture 2 of ant"), 0o644) }, "", "", true},
	} {
		t.Run(tc.about, func(t *testing.T) {
			t.Parallel()
			dir, cache := keptTree(t), t.TempDir()
			if err := openKept(t, dir, keptOptions(cache)).Close(); err != nil {
				t.Fatal(err)
			}
			o, warned := keptOptions(cache), make(chan string, 9)
			o.lookAfter, o.Warn = 300*time.Millisecond, func(line string) { warned <- line }
			src := openKept(t, dir, o)
			if src.unseen == nil {
				t.Fatal("no folder was kept")
			}
			if err := tc.change(dir); err != nil { // as if it had been before
				t.Fatal(err)
			}
			src.unseen.looked.Wait()
			var s schemas.Sample
			err := src.Read(t.Context(), 0, &s) // another
			if tc.bad == "" {
				if err != nil {
					t.Error(err)
				}
			} else {
				errstest.Want(t, err, errs.ErrMismatch, tc.bad, "start again")
			}
			if seen := src.unseen.stamps.Load() == nil; seen != (tc.bad == "" && tc.warned == "") {
				t.Errorf("all files are taken for seen: %v", seen)
			}
			if tc.warned != "" && !strings.Contains(<-warned, tc.warned) || len(warned) > 0 {
				t.Errorf("warnings are not %q", tc.warned)
			}
			if left, err := filepath.Glob(cache + "/*.idx"); err != nil || (len(left) == 0) != tc.drops {
				t.Errorf("%d indexes are left, %v", len(left), err)
			}
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A folder that was changed just before it was indexed may have been changed after without another
// time: it is listed. So is all of a data set that is listed quickly, or of an index of before.
func TestFoldersThatAreListed(t *testing.T) {
	for about, change := range map[string]func(dir string, o *Options, x *index){
		"just changed": func(dir string, _ *Options, x *index) {
			for i := range x.Folders {
				for j := range x.Folders[i] {
					x.Built = min(x.Built, x.Folders[i][j].MTime+int64(time.Second))
				}
			}
		},
		"few":                 func(_ string, o *Options, _ *index) { o.keptFrom = 11 },
		"an index of before":  func(_ string, _ *Options, x *index) { x.Folders, x.Copies = nil, nil },
		"splits were allowed": func(_ string, _ *Options, x *index) { x.Checked = false },
	} {
		dir, o := keptTree(t), keptOptions(t.TempDir())
		want := openKept(t, dir, o).Manifest().Digest()
		c := openCache(o.applyDefaults(), "folder", dir, Train)
		x := c.load()
		if x == nil {
			t.Fatal("no index was kept")
		}
		built := x.Built
		change(dir, &o, x)
		c.store(x)
		src := openKept(t, dir, o)
		if src.unseen != nil || src.Manifest().Digest() != want {
			t.Errorf("%s: kept %v, digest %.12s, want %.12s", about, src.unseen != nil, src.Manifest().Digest(), want)
		}
		if o.keptFrom > 1 {
			continue
		}
		if now := c.load(); now == nil || now.Built <= built || len(now.Folders) != len(now.Shards) {
			t.Errorf("%s: the index is not made anew, so that the next Open would list all again", about)
		}
		if src = openKept(t, dir, o); src.unseen == nil {
			t.Errorf("%s: the next Open listed all again", about)
		}
	}
}

// A folder within a class is refused where it holds several splits, also where the index was made
// when the user had said which folder is the split.
func TestKeptSplitsInside(t *testing.T) {
	dir, o := keptTree(t), keptOptions(t.TempDir())
	writeTree(t, dir, map[string][]byte{"cat/train/1.jpg": []byte("1"), "cat/val/1.jpg": []byte("2")})
	if _, err := Open(t.Context(), "folder:"+dir+"?train=.", o); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), "folder:"+dir, o)
	errstest.Want(t, err, errs.ErrUsage, "splits by their names")
}
