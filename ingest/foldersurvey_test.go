package ingest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"resslt/ingest/store/storetest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// surveyCases are files beside the picture cat/1.jpg, and what is said of them.
var surveyCases = []struct{ name, files, says string }{
	{"nothing", "", ""},
	{"lists", "labels.txt cat/notes.TXT", `2 files with another extension (.txt) (first "cat/notes.TXT")`},
	{"pictures nobody reads", "cat/2.avif cat/3.HEIC cat/4.heic", `1 picture in a format that is not read (.avif) (first "cat/2.avif"); 2 pictures in a format that is not read (.heic) (first "cat/3.HEIC")`},
	{"more of them", "cat/a.jp2 cat/b.jxl cat/c.svg cat/d.psd cat/e.dng", `1 picture in a format that is not read (.dng) (first "cat/e.dng")`},
	{"a tar beside pictures", "cat/more.tar images.zip", `1 archive, which is not looked into (.tar) (first "cat/more.tar"); 1 archive, which is not looked into (.zip) (first "images.zip")`},
	{"an empty picture", "cat/0.jpg=", `1 empty file (0 bytes) (first "cat/0.jpg")`},
	{"an empty list", "cat/0.txt=", `1 file with another extension (.txt) (first "cat/0.txt")`},
	{"AppleDouble", "cat/._1.jpg ._cat", `2 AppleDouble files of macOS (._) (first "._cat")`},
	{"desktops", "cat/Thumbs.db cat/desktop.ini .DS_Store cat/.DS_Store", `1 file with another extension (.db) (first "cat/Thumbs.db"); 1 file with another extension (.ini) (first "cat/desktop.ini"); 2 hidden files (first ".DS_Store")`},
	{"hidden", ".git/x.jpg .git/y/z.jpg cat/.hidden.jpg cat/.cache/1.jpg", `1 hidden file (first "cat/.hidden.jpg"); 2 hidden folders (first ".git")`},
	{"no extension", "cat/README cat/0001 cat/img.0001 cat/a.jpg?x=1 cat/a.jpg!d", `5 files without a known extension (first "cat/0001")`},
	{"a longer name", "cat/a.jpg_large cat/b.jpg.part cat/c.jpg~", `1 file with another extension (.jpg_large) (first "cat/a.jpg_large"); 1 file with another extension (.part) (first "cat/b.jpg.part"); 1 file without a known extension (first "cat/c.jpg~")`},
	{"a list of labels", "cat/metadata.csv metadata.jsonl", `2 lists of labels, which are not read (first "cat/metadata.csv")`},
	{"a class without a picture", "owl/a.avif owl/b.txt", `1 class folder without an image (first "owl"); 1 file with another extension (.txt) (first "owl/b.txt"); 1 picture in a format that is not read (.avif) (first "owl/a.avif")`},
	{"a class of empty pictures", "owl/a.jpg=", `1 class folder without an image (first "owl"); 1 empty file (0 bytes) (first "owl/a.jpg")`},
}

// All that is not a sample is said, on a disk and in a bucket alike, when the index is
// made and when it comes from the cache.
func TestFolderSurvey(t *testing.T) {
	t.Run("disk", func(t *testing.T) { testFolderSurvey(t, nil) })
	t.Run("bucket", func(t *testing.T) { testFolderSurvey(t, storetest.Start(t)) })
}

func testFolderSurvey(t *testing.T, srv *storetest.S3) {
	for i, c := range surveyCases {
		t.Run(c.name, func(t *testing.T) {
			place := t.TempDir()
			files := map[string][]byte{"cat/1.jpg": []byte("one")}
			for _, f := range strings.Fields(c.files) {
				name, empty := strings.CutSuffix(f, "=")
				if files[name] = []byte(f); empty {
					files[name] = nil
				}
			}
			writeTree(t, place, files)
			if srv != nil {
				place = srv.PutTree(fmt.Sprint("survey", i), place)
			}
			cache := t.TempDir()
			for range 2 {
				src, err := Open(context.Background(), "folder:"+place, Options{CacheDir: cache})
				if err != nil {
					t.Fatal(err)
				}
				defer src.Close()
				if got := SurveyOf(src).String(); !strings.Contains(got, c.says) || c.says == "" && got != "" {
					t.Errorf("%s\n got %s\nwant %s", place, got, c.says)
				}
				if src.Len() != 1 {
					t.Errorf("%d samples", src.Len())
				}
			}
		})
	}
}

// Whatever the extensions, the survey stays short, and counts every file.
func TestSurveyIsBounded(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{"a/1.jpg": []byte("one")}
	for i := range 3000 {
		files[fmt.Sprintf("a/x.a%d", i)] = nil
	}
	writeTree(t, dir, files)
	survey, _ := hashedAs(t, "folder:"+dir, "")
	if len(survey) > 100 || survey.Count() != 3000 {
		t.Errorf("%d reasons, %d files", len(survey), survey.Count())
	}
}

// A data set of nothing that is read says what is there.
func TestFolderWithoutImages(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"a/1.heic": []byte("x"), "a/2.heic": []byte("x"), "b.tar": []byte("x")})
	_, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	errstest.Want(t, err, errs.ErrNotFound, "2 pictures in a format that is not read (.heic)", "b.tar")
	checkOneLine(t, err)
}

// Equal files are samples, each of them, and are said.
func TestFolderCopies(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{
		"a/1.jpg": []byte("one"), "a/2.jpg": []byte("two"), "b/1.jpg": []byte("one"), "b/3.jpg": []byte("one"), "b/4.jpg": []byte("six"), "c/x.txt": []byte("one"),
	})
	src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	same(t, "samples", keysOf(t, src), []string{"a/1.jpg 0", "a/2.jpg 0", "b/1.jpg 1", "b/3.jpg 1", "b/4.jpg 1"})
	const want = `passed over 2: 1 class folder without an image (first "c"); 1 file with another extension (.txt) (first "c/x.txt"); kept 2 copies of other files (first "b/1.jpg")`
	if got := SurveyOf(src).String(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// tinyImageNet is tiny-imagenet-200 as its archive unpacks, with two classes.
func tinyImageNet() map[string][]byte {
	var list bytes.Buffer
	files := map[string][]byte{"wnids.txt": []byte("n1\nn2\n"), "words.txt": []byte("n1\tone\n")}
	for i, class := range []string{"n1", "n2"} {
		for j := range 3 {
			files[fmt.Sprintf("train/%s/images/%s_%d.JPEG", class, class, j)] = fmt.Append(nil, "train", class, j)
		}
		files["train/"+class+"/"+class+"_boxes.txt"] = []byte("x")
		for j := range 2 {
			name := fmt.Sprintf("val_%d.JPEG", 2*j+i)
			files["val/images/"+name] = fmt.Append(nil, "val", class, j)
			files["test/images/test_"+name] = fmt.Append(nil, "test", class, j)
			fmt.Fprintf(&list, "%s\t%s\t0\t32\t44\t62\n", name, class)
		}
	}
	files["val/val_annotations.txt"] = list.Bytes()
	return files
}

func TestTinyImageNet(t *testing.T) {
	t.Run("disk", func(t *testing.T) { testTinyImageNet(t, func(dir string) string { return dir }) })
	t.Run("bucket", func(t *testing.T) {
		srv := storetest.Start(t)
		testTinyImageNet(t, func(dir string) string { return srv.PutTree("tiny", dir) })
	})
}

func testTinyImageNet(t *testing.T, put func(string) string) {
	dir := t.TempDir()
	writeTree(t, dir, tinyImageNet())
	place := put(dir)
	for split, want := range map[string][]string{
		Train: {"n1/images/n1_0.JPEG 0", "n1/images/n1_1.JPEG 0", "n1/images/n1_2.JPEG 0", "n2/images/n2_0.JPEG 1", "n2/images/n2_1.JPEG 1", "n2/images/n2_2.JPEG 1"},
		Val:   {"val_0.JPEG 0", "val_1.JPEG 1", "val_2.JPEG 0", "val_3.JPEG 1"},
		Test:  {"test_val_0.JPEG -1", "test_val_1.JPEG -1", "test_val_2.JPEG -1", "test_val_3.JPEG -1"},
	} {
		got, m := list(t, "folder:"+place, Options{Split: split})
		same(t, split, got, want)
		same(t, split+": classes", m.Classes, []string{"n1", "n2"})
		survey, _ := hashedAs(t, "folder:"+place, split)
		if s := survey.String(); !strings.Contains(s, "2 files with another extension (.txt)") && split != Train || strings.Contains(s, "labels") {
			t.Errorf("%s: %s", split, s)
		}
	}
}

// The labels of a list are part of the digest, though no picture has changed, and lists
// that cannot be right are refused.
func TestAnnotations(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	files := tinyImageNet()
	writeTree(t, dir, files)
	digest := func() string {
		src, err := Open(context.Background(), "folder:"+dir, Options{Split: Val, CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		return src.Manifest().Digest()
	}
	first := digest()
	if again := digest(); again != first {
		t.Errorf("digest %s, then %s by the cached index", first, again)
	}
	list := string(files["val/val_annotations.txt"])
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(dir+"/val/val_annotations.txt", []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(list, "val_0.JPEG\tn1", "val_0.JPEG\tn2", 1))
	if digest() == first {
		t.Error("another label, same digest")
	}
	write(strings.ReplaceAll(list, "\n", "\r\n"))
	if digest() != first {
		t.Error("lines of Windows, another digest")
	}
	write(list + "val_9.JPEG\tn1\t0\n")
	if s, _ := hashedAs(t, "folder:"+dir, Val); !strings.Contains(s.String(), `1 label without an image (first "val_9.JPEG")`) {
		t.Error(s)
	}
	for what, bad := range map[string]string{"no class": "val_0.JPEG\n", "no tabs": "val_0.JPEG n1\n", "two classes": list + "val_0.JPEG\tn2\n"} {
		t.Run(what, func(t *testing.T) {
			write(bad)
			_, err := Open(context.Background(), "folder:"+dir, Options{Split: Val, CacheDir: cache})
			errstest.Want(t, err, errs.ErrCorrupt, "val_annotations.txt", "line ")
			checkOneLine(t, err)
		})
	}
}
