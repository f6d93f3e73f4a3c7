package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// setCases are names of files that say one split: of one set, or of two, which nobody may
// merge in silence. glob names one of the two.
var setCases = []struct{ names, glob string }{
	// One set: the files differ in what counts them.
	{"train-000.tar train-001.tar", ""},
	{"train.tar train-1.tar", ""},
	{"train000.tar train001.tar", ""},
	{"000-train.tar 001-train.tar", ""},
	{"000train.tar 001train.tar", ""},
	{"x-train-00000-of-00002.parquet x-train-00001-of-00002.parquet", ""},
	{"train-00000-of-00002-0f3a5b7c9d1e2f40.parquet train-00001-of-00002-abcdefabcdefabcd.parquet", ""},
	{"train-0-6f1c1f0e-74a2-4a6c-9f0e-0a1b2c3d4e5f.parquet train-1-abcdabcd-abcd-abcd-abcd-abcdabcdabcd.parquet", ""},
	{"train-part-00000-c000.snappy.parquet train-part-00001-c000.snappy.parquet", ""},
	{"train-shard0-00.tar train-shard1-00.tar", ""},
	{"train-rank0-00.tar train-rank1-00.tar", ""},
	{"train-00-000.tar train-01-000.tar", ""},
	{"train-20240101-0.tar train-20240102-0.tar", ""},
	{"train_000.tar train-001.TAR", ""},
	{"train-000.tar train-000@(1).tar train-000@-@Copy.tar", ""},
	{"train-0.tar train-0.tar.gz", ""},
	{"train1988.tar train1989.tar train2040.tar", ""},
	{"imagenet21k-train-0.tar imagenet21k-train-1.tar", ""},
	{"train/0.tar train/1.tar train/extra.tar", ""},

	// Two sets.
	{"train-0.tar train_extra-0.tar", "train-0.tar"},
	{"train-0.tar train-1.tar train_extra-0.tar train_extra-1.tar", "train-*.tar"},
	{"test-0.tar test-1.tar test_v2-0.tar", "test-*.tar"},
	{"test_v1-0.tar test_v2-0.tar", "test_v1-0.tar"},
	{"train.parquet trainExtra.parquet", "train.parquet"},
	{"train-00000-of-00001.parquet train_full-00000-of-00001.parquet", "train-00000-of-00001.parquet"},
	{"PrivateTest-0.tar PublicTest-0.tar PublicTest-1.tar", "PrivateTest-0.tar"},
	{"train-0.tar train-images-0.tar", "train-0.tar"},
	{"train2014-0.tar train2017-0.tar", "train2014-0.tar"},
	{"train2014-0.tar train2014-1.tar train2017-0.tar", "train2014-*.tar"},
	{"train2014.tar train2017.tar", "train2014.tar"},
	{"train-0.tar train2017-0.tar", "train-0.tar"},
	{"test1-0.tar test2-0.tar", "test1-0.tar"},
	{"imagenet1k-train-0.tar imagenet21k-train-0.tar", "imagenet1k-train-0.tar"},
	{"ILSVRC2012_img_train.tar ILSVRC2012_img_train_t3.tar", "ILSVRC2012_img_train.tar"},
	{"Train-0.tar train-0.tar", "Train-0.tar"},
	{"train-0.tar training-0.tar", "train-0.tar"},
	{"dev-0.tar val-0.tar", "dev-0.tar"},
	{"train_ant.tar train_bee.tar", "train_ant.tar"},
	{"test/0.tar test/1.tar test_v2/0.tar", "test/*.tar"},
	{"test/0.tar test/1/0.tar test_v2/0.tar", "test/*.tar"},
	{"train[1]_a-0.tar train[1]_a-1.tar train[1]_b-0.tar", `train\[1\]_a-*.tar`},
	{"split=train/label=1/0.parquet train/label=1/0.parquet split=test/0.parquet", ""},
	{"a/train/0.tar a/train_extra/0.tar", "a/train/0.tar"},
}

func TestFilesOfOneSet(t *testing.T) {
	for _, c := range setCases {
		names := strings.Fields(c.names)
		for i := range names {
			names[i] = strings.ReplaceAll(names[i], "@", " ")
		}
		slices.Sort(names)
		first, err := splitOfFile(names[len(names)-1])
		if err != nil || first.split == "" {
			t.Fatalf("%s: %+v, %v", c.names, first, err)
		}
		chosen, _, err := filesOfSplit(names, first.split)
		if c.glob != "" {
			if why := errstest.Differs(err, errs.ErrUsage, "split "+first.split+" is there twice", "such as "+c.glob+")"); why != "" {
				t.Errorf("%s: %s", c.names, why)
			}
			continue
		}
		if err != nil || len(chosen) != len(names) && !strings.Contains(c.names, "split=test") {
			t.Errorf("%s: %q, %v", c.names, chosen, err)
		}
	}
}

// The same rule holds for tars, Parquet files and folders, whether a folder is named or a
// glob; and the glob of the hint opens.
func TestNoSetsMerged(t *testing.T) {
	picture := func(i int) []byte { return fmt.Appendf(nil, "\xff\xd8\xff picture %d", i) }
	kinds := []struct {
		scheme, end string
		file        func(i int) []byte
	}{
		{"wds", "-0.tar", func(i int) []byte {
			return tarBytes(t, tarFile{"1.jpg", picture(i)}, tarFile{"1.cls", []byte("0")})
		}},
		{"parquet", "-0.parquet", func(i int) []byte {
			return parquetTable(t, "", column{"image", imageStruct, structs([]any{picture(i)})}, column{"label", int64s, []any{0}})
		}},
		{"folder", "/cat/1.jpg", picture},
	}
	for _, c := range []struct {
		sets, split string
		want        int // the set that is read; -1 for none
	}{
		{"train train_extra test", Train, -1},
		{"train train_extra test", Test, 2},
		{"train test test_v2", Test, -1},
		{"train trainval val", Train, 0},
		{"train trainval val", "trainval", 1},
		{"train trainval val", Val, 2},
		{"trainval test", Train, 0},
		{"trainval test", "train+val", 0},
		{"train_val test", Train, 0},
		{"trainval val", Train, 0},
		{"trainval train_val", Train, -1},
		{"train valid validation", Val, -1},
		{"train valid validation", Train, 0},
	} {
		for _, k := range kinds {
			dir := t.TempDir()
			sets := strings.Fields(c.sets)
			files := map[string][]byte{}
			for i, set := range sets {
				files[set+k.end] = k.file(i)
			}
			writeTree(t, dir, files)
			globs := []string{""}
			if k.scheme != "folder" && len(sets) > 2 { // of files of one split alone, all are meant
				globs = append(globs, "/*"+k.end[2:], "/{split}*"+k.end[2:])
			}
			for _, glob := range globs {
				uri := k.scheme + ":" + dir + glob
				src, err := Open(t.Context(), uri, Options{Split: c.split, CacheDir: t.TempDir()})
				if err != nil && k.scheme == "folder" && strings.Contains(c.sets, "_") {
					continue // a folder that is none of the splits is refused whichever is asked for
				}
				if c.want < 0 || strings.Contains(glob, splitMark) && err != nil { // train*.tar finds trainval-0.tar, too
					errstest.Want(t, err, errs.ErrUsage, dir)
					if k.scheme == "folder" {
						continue // its hint is a flag
					}
					_, hint, _ := strings.Cut(err.Error(), "such as ")
					if src, err = Open(t.Context(), k.scheme+":"+dir+"/"+strings.TrimSuffix(hint, ")"), Options{CacheDir: t.TempDir()}); err != nil {
						t.Errorf("%s: the hint: %v", c.sets, err)
						continue
					}
					if src.Len() != 1 {
						t.Errorf("%s: the hint: %d samples", c.sets, src.Len())
					}
					src.Close()
					continue
				}
				if err != nil {
					t.Errorf("%s as %s: %v", uri, c.split, err)
					continue
				}
				if s := readAll(t, src); len(s) != 1 || s[0] != string(picture(c.want)) {
					t.Errorf("%s, %s as %s: %q", c.sets, uri, c.split, s)
				}
				src.Close()
			}
		}
	}
}

// readAll is the bytes of all samples.
func readAll(t *testing.T, src Source) (out []string) {
	t.Helper()
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(t.Context(), id, &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, string(s.Data))
	}
	return out
}
