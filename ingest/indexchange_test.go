package ingest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"resslt/ingest/store"
	"resslt/schemas"
)

// changeSet is a data set of one format, and a file of it.
type changeSet struct {
	about, uri, dir, file string // file is below dir
}

// changeSets are data sets that keep an index, with files by which other ones are as long.
func changeSets(t *testing.T, dir string) []changeSet {
	t.Helper()
	shard := func(i byte) []byte {
		return tarBytes(t, tarFile{"1.jpg", []byte{0xff, 0xd8, 0xff, i}}, tarFile{"1.cls", []byte("0")})
	}
	table := func(i byte) []byte {
		return parquetTable(t, "", column{"image", blobs, []any{[]byte{0xff, 0xd8, 0xff, i}}})
	}
	writeTree(t, dir, map[string][]byte{
		"folder/x/1.jpg": []byte("picture 1"), "folder/x/2.jpg": []byte("picture 2"), "folder/y/1.jpg": []byte("picture 3"),
		"wds/a.tar": shard(1), "wds/b.tar": shard(2), "parquet/a.parquet": table(1), "parquet/b.parquet": table(2),
		"dtd/images/dots/1.jpg": []byte("picture 1"), "dtd/images/dots/2.jpg": []byte("picture 2"), "dtd/labels/train1.txt": []byte("dots/1.jpg\ndots/2.jpg\n"),
	})
	return []changeSet{
		{"a folder", "folder:" + dir + "/folder", dir + "/folder", "x/1.jpg"},
		{"tars", "wds:" + dir + "/wds", dir + "/wds", "a.tar"},
		{"Parquet", "parquet:" + dir + "/parquet", dir + "/parquet", "a.parquet"},
		{"files of lists", "dtd:" + dir + "/dtd", dir + "/dtd", "images/dots/1.jpg"},
	}
}

// Other data of equal sizes and times under the same names is other data.
func TestIndexSeesOtherFiles(t *testing.T) {
	other := func(b []byte) []byte { // as long, and as sound
		return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("picture 1"), []byte("picture 7")), []byte{0xff, 0xd8, 0xff, 1}, []byte{0xff, 0xd8, 0xff, 7})
	}
	for _, c := range []struct {
		about string
		do    func(t *testing.T, s changeSet)
	}{
		{"written in place", func(t *testing.T, s changeSet) {
			path := filepath.Join(s.dir, s.file)
			rewrite(t, path, path, other(readFile(t, path)))
		}},
		{"another file moved there", func(t *testing.T, s changeSet) {
			path := filepath.Join(s.dir, s.file)
			rewrite(t, path, path+".new", other(readFile(t, path)))
			rename(t, path+".new", path)
		}},
		{"another folder moved there", func(t *testing.T, s changeSet) {
			path := filepath.Join(s.dir, s.file)
			if err := os.CopyFS(s.dir+".new", os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					rewrite(t, path, s.dir+".new"+path[len(s.dir):], readFile(t, path))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, path, s.dir+".new/"+s.file, other(readFile(t, path)))
			rename(t, s.dir, s.dir+".old")
			rename(t, s.dir+".new", s.dir)
		}},
	} {
		for _, s := range changeSets(t, t.TempDir()) {
			t.Run(s.about+", "+c.about, func(t *testing.T) {
				cache := t.TempDir()
				n, before := hashed(t, s.uri, cache)
				if again, same := hashed(t, s.uri, cache); n == 0 || again != 0 || same != before {
					t.Fatalf("%d bytes were hashed, then %d", n, again)
				}
				c.do(t, s)
				_, after := hashed(t, s.uri, cache)
				if _, fresh := hashed(t, s.uri, t.TempDir()); after == before || after != fresh {
					t.Errorf("digest %s before, %s after, %s without the cache", before, after, fresh)
				}
			})
		}
	}
}

// rewrite writes a file with the times of another.
func rewrite(t *testing.T, times, path string, b []byte) {
	t.Helper()
	info, err := os.Stat(times)
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err == nil {
		err = os.Chtimes(path, info.ModTime(), info.ModTime())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// An index of a version that knew sizes and times alone is believed, and completed.
func TestIndexOfBefore(t *testing.T) {
	for _, s := range changeSets(t, t.TempDir()) {
		dir := t.TempDir()
		_, want := hashed(t, s.uri, dir)
		files, err := filepath.Glob(dir + "/*.idx")
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		full := len(readFile(t, files[0]))
		x, err := parseIndex(readFile(t, files[0]))
		if err != nil {
			t.Fatal(err)
		}
		x.changes = nil
		for i := range x.Stamps {
			x.Stamps[i].Change = 0
		}
		if err := (&cache{key: x.Key}).write(files[0], x); err != nil {
			t.Fatal(err)
		}
		if len(readFile(t, files[0])) >= full {
			t.Fatalf("%s: nothing was taken out", s.about)
		}
		if n, got := hashed(t, s.uri, dir); n != 0 || got != want {
			t.Errorf("%s: %d bytes hashed, digest %s, want %s", s.about, n, got, want)
		}
		if n := len(readFile(t, files[0])); n != full {
			t.Errorf("%s: the index has %d bytes, new ones %d", s.about, n, full)
		}
		path := filepath.Join(s.dir, s.file)
		rewrite(t, path, path, readFile(t, path))
		if n, got := hashed(t, s.uri, dir); n == 0 || got != want {
			t.Errorf("%s, touched: %d bytes hashed, digest %s, want %s", s.about, n, got, want)
		}
	}
}

// What leaves size and time, such as a link to the file or other rights, ends no run.
func TestReadAfterChangeOfRights(t *testing.T) {
	for _, s := range changeSets(t, t.TempDir()) {
		src, err := Open(t.Context(), s.uri, Options{CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(s.dir, s.file)
		before, err := os.Stat(path)
		if err == nil {
			err = os.Link(path, filepath.Join(t.TempDir(), "link"))
		}
		if err == nil {
			err = os.Chmod(path, 0o600)
		}
		after, serr := os.Stat(path)
		if err != nil || serr != nil {
			t.Fatal(err, serr)
		}
		if store.Change(before) == store.Change(after) {
			t.Errorf("%s: the change does not show", s.about)
		}
		var sample schemas.Sample
		for id := range src.Len() {
			if err := src.Read(t.Context(), id, &sample); err != nil {
				t.Errorf("%s: %v", s.about, err)
			}
		}
		src.Close()
	}
}

// A shard whose index has samples of no bytes, as those of before did, is scanned again.
func TestIndexWithEmptySamples(t *testing.T) {
	dir, kept := t.TempDir(), t.TempDir()
	writeTree(t, dir, map[string][]byte{"a.tar": tarBytes(t, members("0.jpg", "0.cls=1", "1.jpg=", "1.cls=2")...)})
	_, want := hashed(t, "wds:"+dir, kept)
	files, err := filepath.Glob(kept + "/*.idx")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	x, err := parseIndex(readFile(t, files[0]))
	if err != nil {
		t.Fatal(err)
	}
	x.sizes[0] = 0
	if err := (&cache{key: x.Key}).write(files[0], x); err != nil {
		t.Fatal(err)
	}
	if n, got := hashed(t, "wds:"+dir, kept); n == 0 || got != want {
		t.Errorf("%d bytes hashed, digest %s, want %s", n, got, want)
	}
}
