package ingest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// folderCases are layouts of folders of shards: each split gets its own files, or the
// error says why not.
var folderCases = []struct {
	about string
	files []string
	split string
	want  []string // names of shards
	kind  error
	says  string
	pass  string
}{
	{about: "no names", files: []string{"00000.tar", "00001.tar"}, want: []string{"00000.tar", "00001.tar"}},
	{about: "no names, test", files: []string{"00000.tar"}, split: Test, kind: errs.ErrUsage, says: "not of test"},
	{about: "splits", files: []string{"train-0.tar", "Val-0.tar"}, split: Val, want: []string{"Val-0.tar"}},
	{about: "a split that is not there", files: []string{"train-0.tar"}, split: Val, kind: errs.ErrNotFound, says: "splits: train"},
	{about: "one split alone, none asked for", files: []string{"test-0.tar"}, want: []string{"test-0.tar"}},
	{about: "one split alone, train asked for", files: []string{"test-0.tar"}, split: Train, kind: errs.ErrNotFound, says: "splits: test"},
	{about: "one split below alone", files: []string{"test/0.tar"}, want: []string{"0.tar"}},
	{about: "Hugging Face", files: hf, want: []string{"train-00000-of-00002.tar", "train-00001-of-00002.tar"}},
	{about: "Hugging Face, validation", files: hf, split: Val, want: []string{"validation-00000-of-00001.tar"}},
	{about: "a part is missing", files: []string{"train-00000-of-00002.tar"}, kind: errs.ErrNotFound, says: "train-00001-of-00002.tar"},
	{about: "split folders", files: []string{"train/0.tar", "test/0.tar", "test/nshards.txt"}, split: Test, want: []string{"0.tar"}},
	{about: "a configuration", files: []string{"default/train/0.tar", "default/test/0.tar"}, want: []string{"0.tar"}},
	{about: "configurations", files: []string{"a/train/0.tar", "b/train/0.tar"}, kind: errs.ErrUsage, says: "there twice"},
	{about: "folders of other names", files: []string{"cats/0.tar", "dogs/0.tar"}, kind: errs.ErrUsage, says: "cats/0.tar"},
	{about: "folders of splits beside unnamed tars", files: []string{"0.tar", "train/0.tar", "val/0.tar"}, want: []string{"0.tar"}, pass: `1 file whose name says no split, beside those of splits (first "0.tar")`},
	{about: "other folders beside unnamed tars", files: []string{"0.tar", "old/0.tar", "images/1/2.jpg"}, want: []string{"0.tar"}},
	{about: "other folders beside splits", files: []string{"train-0.tar", "old/train-1.tar"}, want: []string{"train-0.tar"}},
	{
		about: "files beside", files: []string{"train-0.tar", "train-0.idx", "_shard_sizes.json", "LICENSE", ".DS_Store", "extra.tar", "classes.txt"}, want: []string{"train-0.tar"},
		pass: `1 file beside tars (.idx) (first "train-0.idx"); 1 file beside tars (.json) (first "_shard_sizes.json"); 1 file beside tars (no extension) (first "LICENSE"); ` +
			`1 file whose name says no split, beside those of splits (first "extra.tar"); 1 hidden file (first ".DS_Store")`,
	},
	{about: "a compressed copy", files: []string{"train-0.tar", "train-0.tar.gz"}, want: []string{"train-0.tar"}, pass: `1 compressed copy of a tar (first "train-0.tar.gz")`},
	{about: "in capitals", files: []string{"TRAIN-0.TAR"}, want: []string{"TRAIN-0.TAR"}},
	{about: "nothing", files: []string{"a/b.jpg"}, kind: errs.ErrNotFound, says: "holds no tar"},
	{about: "too deep", files: []string{"a/b/c/train-0.tar"}, kind: errs.ErrNotFound, says: "holds no tar"},
}

// hf are the shards of a data set on Hugging Face.
var hf = slices.Concat(of("data/train-%05d-of-%05d.tar", 2), of("data/validation-%05d-of-%05d.tar", 1))

func TestShardsOfFolder(t *testing.T) {
	checkFolders(t, func(_, dir string) string { return dir })
}

// A bucket has them, too, but for folders without files.
func TestRemoteShardsOfFolder(t *testing.T) {
	srv := storetest.Start(t)
	checkFolders(t, func(about, dir string) string {
		return srv.PutTree(strings.NewReplacer(" ", "-", ",", "").Replace(about), dir)
	})
}

// checkFolders writes each layout to a folder, and opens what put makes of it.
func checkFolders(t *testing.T, put func(about, dir string) string) {
	for _, c := range folderCases {
		t.Run(c.about, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string][]byte{}
			for _, name := range c.files {
				files[name] = tarBytes(t, tarFile{"0.jpg", []byte(name)})
				if name == classesFile {
					files[name] = []byte("a\n")
				}
			}
			writeTree(t, dir, files)
			place := put(c.about, dir)
			src, err := Open(context.Background(), "wds:"+place, Options{Split: c.split, CacheDir: t.TempDir(), Store: store.Options{CacheBytes: -1}})
			if c.kind != nil {
				errstest.Want(t, err, c.kind, c.says, place)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			var got []string
			for _, s := range src.Manifest().Shards {
				got = append(got, s.Name)
			}
			same(t, "shards", got, c.want)
			_, said, _ := strings.Cut(SurveyOf(src).String(), ": ")
			if said != c.pass {
				t.Errorf("passed over %s\nwant        %s", said, c.pass)
			}
		})
	}
}

// Packs whose names say no split are told apart by their sidecars.
func TestShardsOfPacks(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	for _, p := range []struct{ prefix, split, image string }{{"a", Train, "1"}, {"b", Test, "2"}, {"c", Test, "3"}} {
		from := t.TempDir()
		writeTree(t, from, map[string][]byte{p.split + "/x/" + p.image + ".jpg": jpegBytes(t, 8, 8)})
		src, err := Open(ctx, "folder:"+from, Options{Split: p.split, CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Pack(ctx, src, PackOptions{Dir: dir, Prefix: p.prefix}); err != nil {
			t.Fatal(err)
		}
		src.Close()
	}
	got, _ := list(t, "wds:"+dir, Options{})
	same(t, "train", got, []string{"a-000000.tar/000000000.jpg 0"})
	for split, kind := range map[string]error{Test: errs.ErrUsage, Val: errs.ErrNotFound} {
		_, err := Open(ctx, "wds:"+dir, Options{Split: split, CacheDir: t.TempDir()})
		errstest.Want(t, err, kind, dir)
	}
	got, _ = list(t, "wds:"+dir+"/c.manifest.json", Options{})
	same(t, "test", got, []string{"c-000000.tar/000000000.jpg 0"})
}

// A split may be asked for by any of its names, and {split} finds shards by any.
func TestSplitsBySpelling(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{
		"a/train-0.tar": tarBytes(t, tarFile{"1.jpg", []byte("x")}), "a/validation-0.tar": tarBytes(t, tarFile{"2.jpg", []byte("y")}),
		"b/Train/cat/1.jpg": []byte("x"), "b/Dev/cat/1.jpg": []byte("y"), "b/Dev/cat/2.jpg": []byte("z"),
	})
	for _, c := range []struct {
		uri, split, want string
		n                int64
	}{
		{"wds:" + dir + "/a/{split}-*.tar", "val", Val, 1},
		{"wds:" + dir + "/a/{split}-*.tar", "validation", Val, 1},
		{"wds:" + dir + "/a", "VALID", Val, 1},
		{"folder:" + dir + "/b", "dev", Val, 2},
		{"folder:" + dir + "/b", "training", Train, 1},
	} {
		src, err := Open(t.Context(), c.uri, Options{Split: c.split, CacheDir: t.TempDir()})
		if err != nil {
			t.Errorf("%s as %s: %v", c.uri, c.split, err)
			continue
		}
		if m := src.Manifest(); m.Split != c.want || m.Samples != c.n {
			t.Errorf("%s as %s: %d samples of split %s", c.uri, c.split, m.Samples, m.Split)
		}
		src.Close()
	}
	for _, split := range []string{"test", "nonsense"} {
		if src, err := Open(t.Context(), "wds:"+dir+"/a/{split}-*.tar", Options{Split: split, CacheDir: t.TempDir()}); err == nil {
			t.Errorf("%s: %d samples", split, src.Len())
		}
	}
}
