package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// A split whose name is guessed in a list or range is the same on a web server, which lists
// nothing, in a bucket and on a disk: files of its other spellings are found, and classes
// are those of all splits, of which some may lack files or be missing.
func TestRemoteRangesOfSplits(t *testing.T) {
	t.Run("web", func(t *testing.T) {
		testRemoteRanges(t, func(_ string, files map[string][]byte) (place string) {
			web := storetest.StartWeb(t, true)
			for name, b := range files {
				web.Put("x/"+name, b)
			}
			return web.URL + "/x"
		})
	})
	t.Run("bucket", func(t *testing.T) {
		srv, n := storetest.Start(t), 0
		testRemoteRanges(t, func(dir string, _ map[string][]byte) string {
			n++
			return srv.PutTree(fmt.Sprint("ranges", n), dir)
		})
	})
}

// testRemoteRanges opens each layout on the disk, and where put puts it.
func testRemoteRanges(t *testing.T, put func(dir string, files map[string][]byte) string) {
	for _, c := range []struct{ files, glob, split, shards, classes string }{
		{"train-0=ant train-1=cat val-0=cat val-1=dog", "{split}-{0..1}", "", "train-0 train-1", "ant cat dog"},
		{"train-0=ant train-1=cat val-0=cat val-1=dog", "{split}-{0..1}", Val, "val-0 val-1", "ant cat dog"},
		{"train-0=ant train-1=cat validation-0=cat validation-1=dog", "{split}-{0..1}", Val, "validation-0 validation-1", "ant cat dog"},
		{"Train-0=ant Train-1=cat Dev-0=x dev-0=cat dev-1=dog", "{split}-{0,1}", Train, "Train-0 Train-1", "ant cat dog"},
		{"train-0=ant train-1=cat test-0=dog", "{split}-{0..1}", Train, "train-0 train-1", "ant cat dog"}, // test has one shard
		{"train-0=ant train-1=cat train-2=x val-0=dog val-2=emu", "{split}-{0..2}", Train, "train-0 train-1 train-2", "ant cat dog emu x"},
		{"train-0=ant train-1=cat", "{split}-{0..1}", Train, "train-0 train-1", "ant cat"},
		{"train=ant val=dog", "{split}", Train, "train", "ant dog"},
		{"train/0=ant train/1=ant valid/0=dog", "{split}/{0..1}", Train, "0 1", "ant dog"},
		{"x-train-0=ant y-train-0=bee x-val-0=cat y-val-0=dog", "{x,y}-{split}-0", Val, "x-val-0 y-val-0", "ant bee cat dog"},
	} {
		dir := t.TempDir()
		files := map[string][]byte{}
		for _, f := range strings.Fields(c.files) {
			name, class, _ := strings.Cut(f, "=")
			files[name+".tar"] = tarBytes(t, tarFile{"1.jpg", []byte(f)}, tarFile{"1.cls", []byte(class)})
		}
		writeTree(t, dir, files)
		var digest string
		for _, place := range []string{dir, put(dir, files)} {
			src, err := Open(t.Context(), "wds:"+place+"/"+c.glob+".tar", Options{Split: c.split, CacheDir: t.TempDir(), Store: store.Options{CacheBytes: -1}})
			if err != nil {
				t.Errorf("%s: %s: %v", c.files, place, err)
				continue
			}
			m := src.Manifest()
			var shards []string
			for _, s := range m.Shards {
				shards = append(shards, strings.TrimSuffix(s.Name, ".tar"))
			}
			if got := strings.Join(shards, " "); got != c.shards || strings.Join(m.Classes, " ") != c.classes {
				t.Errorf("%s: %s as %s: %s of %q", c.files, place, c.split, got, m.Classes)
			}
			if digest == "" {
				digest = m.Digest()
			}
			if m.Digest() != digest {
				t.Errorf("%s: %s: another digest than on the disk", c.files, place)
			}
			src.Close()
		}
	}
}

// Only a file that is not there is no part of another split: what cannot be looked at is an
// error, since its classes would change the numbers of all.
func TestRemoteRangesRefused(t *testing.T) {
	table := func(names ...string) []byte {
		return parquetTable(t, "{"+classLabels("label", names...)+"}", column{"image", imageStruct, structs(jpegs(2))}, column{"label", int64s, []any{0, 1}})
	}
	shard := func(class string) []byte {
		return tarBytes(t, tarFile{"1.jpg", []byte(class)}, tarFile{"1.cls", []byte(class)})
	}
	tars := map[string][]byte{"train-0.tar": shard("ant"), "train-1.tar": shard("bee"), "val-0.tar": shard("cat"), "val-1.tar": shard("dog")}
	tables := map[string][]byte{"train-0.pq": table("a", "b"), "train-1.pq": table("a", "b"), "val-0.pq": table("b", "a"), "val-1.pq": table("b", "a")}
	for _, c := range []struct {
		about, uri string
		files      map[string][]byte
		lacks      string // a file that is not there
		fails      string // a file that gives 403
		kind       error
		says       []string
	}{
		{"a shard that is asked for", "wds:WEB/{split}-{0..1}.tar", tars, "train-1.tar", "", errs.ErrNotFound, []string{"open wds", "train-1.tar", wdsHint}},
		{"a file that is asked for", "parquet:WEB/{split}-{0..1}.pq", tables, "train-1.pq", "", errs.ErrNotFound, []string{"open parquet", "train-1.pq", parquetHint}},
		{"a file of a list", "parquet:WEB/train-{0,1}.pq", tables, "train-1.pq", "", errs.ErrNotFound, []string{"open parquet", "train-1.pq", parquetHint}},
		{"the split", "wds:WEB/x-{split}-{0..1}.tar", tars, "", "", errs.ErrNotFound, []string{"x-train-0.tar"}},
		{"first of another split", "wds:WEB/{split}-{0..1}.tar", tars, "", "val-0.tar", errs.ErrUnavailable, []string{"val-0.tar"}},
		{"last of another split", "wds:WEB/{split}-{0..1}.tar", tars, "", "val-1.tar", errs.ErrUnavailable, []string{"val-1.tar"}},
		{"first of another split's files", "parquet:WEB/{split}-{0..1}.pq", tables, "", "val-0.pq", errs.ErrUnavailable, []string{"val-0.pq"}},
		{"last of another split's files", "parquet:WEB/{split}-{0..1}.pq", tables, "", "val-1.pq", errs.ErrUnavailable, []string{"val-1.pq"}},
	} {
		web := storetest.StartWeb(t, true)
		base := ""
		for name, b := range c.files {
			if name != c.lacks {
				base = strings.TrimSuffix(web.Put(name, b), "/"+name)
			}
		}
		if c.fails != "" {
			i := slices.IndexFunc(storetest.Faults(), func(f storetest.Fault) bool { return strings.Contains(f.Name, "403") })
			web.Inject(c.fails, &storetest.Faults()[i], storetest.From(storetest.Stat, 0))
		}
		_, err := Open(t.Context(), strings.Replace(c.uri, "WEB", base, 1), Options{CacheDir: t.TempDir(), Store: store.Options{CacheBytes: -1, Attempts: 1}})
		if why := errstest.Differs(err, c.kind, c.says...); why != "" {
			t.Errorf("%s: %s", c.about, why)
		}
	}
}
