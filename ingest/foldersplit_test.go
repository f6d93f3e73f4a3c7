package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/ingest/store/storetest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// splitCase is a folder, as its files, and how it is read.
type splitCase struct {
	name  string
	files string // with spaces between
	at    string // after the folder in the URI
	split string
	want  string // keys with labels
	// classes, or of an error what it says
	classes, err string
	passed       string // one of the reasons with its count; "" for none at all
}

var splitCases = []splitCase{
	// Names in use.
	{name: "tf.keras, fastai", files: "train/cat/1.jpg train/dog/2.jpg valid/cat/3.jpg test/cat/4.jpg", want: "cat/1.jpg 0, dog/2.jpg 1", classes: "cat dog"},
	{name: "valid is val", files: "train/cat/1.jpg valid/dog/3.jpg", split: Val, want: "dog/3.jpg 1", classes: "cat dog"},
	{name: "capitals", files: "Train/cat/1.jpg Test/dog/2.jpg", want: "cat/1.jpg 0", classes: "cat dog"},
	{name: "capitals, test", files: "TRAIN/cat/1.jpg TEST/dog/2.jpg", split: Test, want: "dog/2.jpg 1", classes: "cat dog"},
	{name: "MNIST as PNG", files: "training/0/1.png testing/0/2.png", want: "0/1.png 0", classes: "0"},
	{name: "Brain tumours", files: "Training/glioma/1.jpg Testing/glioma/2.jpg", split: Test, want: "glioma/2.jpg 0", classes: "glioma"},
	{name: "dev", files: "train/cat/1.jpg dev/dog/2.jpg test/dog/3.jpg", split: Val, want: "dog/2.jpg 1", classes: "cat dog"},
	{name: "eval", files: "train/cat/1.jpg eval/dog/2.jpg", split: Val, want: "dog/2.jpg 1", classes: "cat dog"},
	{name: "test from eval", files: "train/cat/1.jpg eval/dog/2.jpg", split: Test, want: "dog/2.jpg 1", classes: "cat dog"},
	{name: "sets", files: "training_set/cat/1.jpg test_set/dog/2.jpg", want: "cat/1.jpg 0", classes: "cat dog"},
	{name: "sets, doubled", files: "training_set/training_set/cat/1.jpg test_set/test_set/dog/2.jpg", want: "cat/1.jpg 0", classes: "cat dog"},
	{name: "sets, doubled, test", files: "training_set/training_set/cat/1.jpg test_set/test_set/dog/2.jpg", split: Test, want: "dog/2.jpg 1", classes: "cat dog"},
	{name: "grown together", files: "trainset/cat/1.jpg valset/dog/2.jpg", want: "cat/1.jpg 0", classes: "cat dog"},
	{name: "Intel", files: "seg_train/seg_train/sea/1.jpg seg_test/seg_test/sea/2.jpg", want: "sea/1.jpg 0", classes: "sea"},
	{name: "COCO", files: "train2017/1.jpg val2017/2.jpg annotations/a.json", want: "1.jpg -1", passed: "1 folder without an image"},
	{name: "CamelCase", files: "TrainingImages/cat/1.jpg TestImages/cat/2.jpg", want: "cat/1.jpg 0", classes: "cat"},
	{name: "FER2013", files: "Training/sad/1.jpg PublicTest/sad/2.jpg PrivateTest/sad/3.jpg", want: "sad/1.jpg 0", classes: "sad"},
	{name: "FER2013 has two tests", files: "Training/sad/1.jpg PublicTest/sad/2.jpg PrivateTest/sad/3.jpg", split: Test, err: "may be any of PrivateTest, PublicTest"},
	{name: "one of two tests", files: "Training/sad/1.jpg PublicTest/sad/2.jpg PrivateTest/sad/3.jpg", at: "?test=PublicTest", split: Test, want: "sad/2.jpg 0", classes: "sad", passed: "1 folder that is not one of the splits'"},
	{name: "trainval", files: "train/cat/1.jpg trainval/cat/2.jpg val/dog/3.jpg", want: "cat/1.jpg 0", classes: "cat dog"},
	{name: "trainval, as such", files: "train/cat/1.jpg trainval/cat/2.jpg val/dog/3.jpg", split: "trainval", want: "cat/2.jpg 0", classes: "cat dog"},
	{name: "trainval to train on", files: "trainval/cat/2.jpg test/dog/3.jpg", want: "cat/2.jpg 0", classes: "cat dog"},
	{name: "trainval, passed over", files: "train/cat/1.jpg trainval/ant/2.jpg", at: "?train=train", want: "cat/1.jpg 0", classes: "cat", passed: "(first \"trainval\")"},
	{name: "trainval, named", files: "train/cat/1.jpg x/ant/2.jpg", at: "?trainval=x", want: "ant/2.jpg 0", classes: "ant", passed: "(first \"train\")"},
	{name: "case twins", files: "train/cat/1.jpg Train/dog/2.jpg", err: "may be any of Train, train"},
	{name: "unlabelled", files: "train/a/1.jpg unlabelled/x/1.jpg", split: Unlabeled, want: "x/1.jpg 1", classes: "a x"},
	{name: "unlabelled gives no classes", files: "train/b/1.jpg unlabelled/a/1.jpg", want: "b/1.jpg 0", classes: "b"},
	{name: "no test", files: "train/a/1.jpg unlabeled/1.jpg", split: Test, err: "train (train), unlabeled (unlabeled), or --split test=FOLDER"},
	{name: "no splits at all", files: "cat/1.jpg", split: Test, err: "has no split test"},

	// Classes that sound like splits, and are none.
	{name: "stations", files: "train_station/1.jpg bullet-train/2.jpg test_tube/3.jpg", want: "bullet-train/2.jpg 0, test_tube/3.jpg 1, train_station/1.jpg 2", classes: "bullet-train test_tube train_station"},
	{name: "digits", files: "0/1.jpg 1/2.jpg 10/3.jpg", want: "0/1.jpg 0, 1/2.jpg 1, 10/3.jpg 2", classes: "0 1 10"},
	{name: "data, images", files: "data/1.jpg images/2.jpg", want: "data/1.jpg 0, images/2.jpg 1", classes: "data images"},
	{name: "a class called train", files: "bus/1.jpg train/2.jpg", err: "--split train=."},
	{name: "a class called train, settled", files: "bus/1.jpg train/2.jpg", at: "?train=.", want: "bus/1.jpg 0, train/2.jpg 1", classes: "bus train"},

	// Beside the splits.
	{name: "an unknown folder", files: "train/cat/1.jpg test/cat/2.jpg extra/cat/3.jpg", err: "extra"},
	{name: "an unknown folder, test", files: "train/cat/1.jpg test/cat/2.jpg extra/cat/3.jpg", split: Test, err: "--split test=test"},
	{name: "passed over", files: "train/cat/1.jpg test/cat/2.jpg extra/cat/3.jpg", at: "?train=train", want: "cat/1.jpg 0", classes: "cat", passed: "1 folder that is not one of the splits' (first \"extra\")"},
	{name: "taken", files: "train/cat/1.jpg test/cat/2.jpg extra/dog/3.jpg", at: "?train=extra", want: "dog/3.jpg 1", classes: "cat dog", passed: "1 folder that is not one of the splits' (first \"train\")"},
	{name: "runs", files: "train/cat/1.jpg runs/events.out", want: "cat/1.jpg 0", classes: "cat", passed: "1 folder without an image"},
	{name: "runs with pictures", files: "train/cat/1.jpg runs/sheet.png", err: "runs"},
	{name: "macOS", files: "train/cat/1.jpg __MACOSX/train/cat/._1.jpg __MACOSX/x.jpg", want: "cat/1.jpg 0", classes: "cat", passed: "1 folder of the system (__MACOSX)"},
	{name: "the waste bin", files: "train/cat/1.jpg $RECYCLE.BIN/x.jpg lost+found/y.jpg", want: "cat/1.jpg 0", classes: "cat", passed: "1 folder of the system ($RECYCLE.BIN)"},
	{name: "Synology", files: "cat/1.jpg cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg @eaDir/x.jpg", want: "cat/1.jpg 0", classes: "cat", passed: "2 folders of the system (@eaDir)"},
	{name: "notebooks", files: "train/cat/1.jpg train/.ipynb_checkpoints/1.jpg .ipynb_checkpoints/2.jpg", want: "cat/1.jpg 0", classes: "cat", passed: "2 hidden folders"},
	{name: "loose pictures", files: "train/cat/1.jpg logo.png", want: "cat/1.jpg 0", classes: "cat", passed: "1 image beside the folders of the split (first \"logo.png\")"},
	{name: "lists", files: "train/cat/1.jpg test/1.jpg train.csv sample_submission.csv", want: "cat/1.jpg 0", classes: "cat", passed: "2 files with another extension (.csv)"},

	// A folder between the split and its images.
	{name: "an unlabelled test", files: "train/cat/1.jpg train/dog/2.jpg test/images/3.jpg", want: "cat/1.jpg 0, dog/2.jpg 1", classes: "cat dog"},
	{name: "an unlabelled test, test", files: "train/cat/1.jpg train/dog/2.jpg test/images/3.jpg", split: Test, want: "3.jpg -1", classes: "cat dog"},
	{name: "the same folder in each", files: "train/images/1.jpg test/images/2.jpg", want: "images/1.jpg 0", classes: "images"},
	{name: "Roboflow", files: "train/images/1.jpg train/labels/1.txt valid/images/2.jpg valid/labels/2.txt test/images/3.jpg data.yaml", want: "1.jpg -1", passed: `1 folder without an image, beside that of the images (first "train/labels")`},
	{name: "Roboflow, val", files: "train/images/1.jpg train/labels/1.txt valid/images/2.jpg valid/labels/2.txt", split: Val, want: "2.jpg -1", passed: `(first "valid/labels")`},
	{name: "YOLO", files: "images/1.jpg labels/1.txt classes.txt", want: "1.jpg -1", passed: `1 file with another extension (.txt) (first "classes.txt"); 1 folder without an image, beside that of the images (first "labels")`},
	{name: "YOLO, splits below", files: "images/train/1.jpg images/val/2.jpg labels/train/1.txt labels/val/2.txt", err: "open folder:DIR/images"},
	{name: "masks are pictures", files: "train/images/1.jpg train/masks/1.png test/images/2.jpg test/masks/2.png", want: "images/1.jpg 0, masks/1.png 1", classes: "images masks"},
	{name: "classes in images", files: "train/images/cat/1.jpg train/labels/cat/1.txt test/images/dog/2.jpg", want: "cat/1.jpg 0", classes: "cat dog", passed: `(first "train/labels")`},
	{name: "an empty class", files: "train/cat/1.jpg train/owl/x.txt test/cat/2.jpg", want: "cat/1.jpg 0", classes: "cat owl", passed: `1 class folder without an image (first "owl")`},
	{name: "images, an empty class and a loose picture", files: "train/images/1.jpg train/labels/1.txt train/2.jpg test/images/2.jpg", want: "2.jpg -1, images/1.jpg 0", classes: "images labels", passed: `1 class folder without an image (first "labels")`},
	{name: "digits, of which one is empty", files: "train/0/1.jpg train/1/x.txt test/0/2.jpg", want: "0/1.jpg 0", classes: "0 1", passed: `1 class folder without an image (first "1")`},
	{name: "Roboflow's classes", files: "train/1.jpg train/_classes.csv test/2.jpg", want: "1.jpg -1", passed: `1 list of labels, which is not read (first "_classes.csv")`},
	{name: "ImageNet's val without classes", files: "train/n01440764/1.JPEG val/ILSVRC2012_val_1.JPEG", split: Val, want: "ILSVRC2012_val_1.JPEG -1", classes: "n01440764"},

	// Splits below what is taken for classes.
	{name: "one folder too high", files: "chest_xray/train/a/1.jpg chest_xray/test/a/2.jpg", err: "open folder:DIR/chest_xray"},
	{name: "two folders too high", files: "ILSVRC/Data/CLS-LOC/train/a/1.jpg ILSVRC/Data/CLS-LOC/val/2.jpg ILSVRC/Annotations/a.xml", err: "open folder:DIR/ILSVRC/Data/CLS-LOC"},
	{name: "classes first", files: "bottle/train/good/1.png bottle/test/broken/2.png", err: "inside a class"},
	{name: "classes first, settled", files: "bottle/train/good/1.png bottle/test/broken/2.png", at: "?train=.", want: "bottle/test/broken/2.png 0, bottle/train/good/1.png 0", classes: "bottle"},
	{name: "only one split inside", files: "a/train/1.png b/train/2.png", want: "a/train/1.png 0, b/train/2.png 1", classes: "a b"},
	{name: "inside a split", files: "train/a/train/1.png train/a/val/2.png", err: "inside a class"},

	// Folders that the URI names.
	{name: "any name", files: "A/cat/1.jpg B/dog/2.jpg C/x/3.jpg", at: "?train=A&test=B", split: Test, want: "dog/2.jpg 1", classes: "cat dog", passed: "1 folder that is not one of the splits' (first \"C\")"},
	{name: "deeper", files: "x/y/cat/1.jpg x/z/dog/2.jpg", at: "?train=x/y&val=x/z", want: "cat/1.jpg 0", classes: "cat dog"},
	{name: "an alias", files: "A/cat/1.jpg B/dog/2.jpg", at: "?train=A&Validation=B", split: Val, want: "dog/2.jpg 1", classes: "cat dog"},
	{name: "escaped", files: "A&B/cat/1.jpg C%/dog/2.jpg", at: "?train=A%26B&test=C%25", want: "cat/1.jpg 0", classes: "cat dog"},
	{name: "a folder that is not there", files: "A/cat/1.jpg", at: "?train=B", err: "B: not found"},
	{name: "out of the tree", files: "A/cat/1.jpg", at: "?train=../A", err: "is not below the data set's folder"},
	{name: "one in the other", files: "A/cat/1.jpg", at: "?train=A&test=A/cat", err: "holds A/cat"},
	{name: "all and a part", files: "A/cat/1.jpg", at: "?train=.&test=A", err: "holds A"},
	{name: "twice", files: "A/cat/1.jpg", at: "?train=A&train=B", err: "train is both A and B"},
	{name: "no such split", files: "A/cat/1.jpg", at: "?foo=A", err: `a folder has no split "foo"`},
	{name: "no folder", files: "A/cat/1.jpg", at: "?train=", err: "names no folder"},
}

// Each layout is read for what it is, on a disk and in a bucket, with the same digest.
func TestFolderSplits(t *testing.T) {
	t.Run("disk", func(t *testing.T) { testFolderSplits(t, nil) })
	t.Run("bucket", func(t *testing.T) { testFolderSplits(t, storetest.Start(t)) })
}

func testFolderSplits(t *testing.T, srv *storetest.S3) {
	for i, c := range splitCases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string][]byte{}
			for _, f := range strings.Fields(c.files) {
				files[f] = []byte("bytes of " + f)
			}
			writeTree(t, dir, files)
			local := openSplit(t, dir, c)
			if srv == nil {
				return
			}
			remote := openSplit(t, srv.PutTree(fmt.Sprint("split", i), dir), c)
			if local != remote {
				t.Errorf("on a disk: %s\nin a bucket: %s", local, remote)
			}
		})
	}
}

// openSplit checks a case at a place, and gives the digest and the survey.
func openSplit(t *testing.T, place string, c splitCase) string {
	t.Helper()
	src, err := Open(context.Background(), "folder:"+place+c.at, Options{Split: c.split, CacheDir: t.TempDir()})
	if c.err != "" {
		if err == nil {
			src.Close()
			t.Fatal("no error")
		}
		checkOneLine(t, err)
		if !strings.Contains(err.Error(), strings.ReplaceAll(c.err, "DIR", place)) {
			t.Errorf("%v\nwant %q", err, c.err)
		}
		return strings.ReplaceAll(err.Error(), place, "DIR")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if got := strings.Join(keysOf(t, src), ", "); got != c.want {
		t.Errorf("%s\n got %s\nwant %s", place, got, c.want)
	}
	if got := strings.Join(src.Manifest().Classes, " "); got != c.classes {
		t.Errorf("%s: classes %q, want %q", place, got, c.classes)
	}
	survey := SurveyOf(src).String()
	if !strings.Contains(survey, c.passed) || c.passed == "" && survey != "" {
		t.Errorf("%s: %q, want %q", place, survey, c.passed)
	}
	return src.Manifest().Digest() + " " + survey
}

// A folder that is split by its names is the data set that it was where the URI says
// the same.
func TestNamedSplitsKeepTheDigest(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"train/cat/1.jpg": []byte("one"), "val/cat/2.jpg": []byte("two"), "val/dog/3.jpg": []byte("three")})
	for _, split := range []string{Train, Val, Test} {
		_, want := hashedAs(t, "folder:"+dir, split)
		uri := "folder:" + dir
		for _, s := range []string{"validation=val", "train=train"} {
			var err error
			if uri, err = WithSplitFolder(uri, s); err != nil {
				t.Fatal(err)
			}
		}
		if uri != "folder:"+dir+"?train=train&val=val" {
			t.Fatal(uri)
		}
		if _, got := hashedAs(t, uri, split); got != want {
			t.Errorf("%s: digest %s, without names %s", split, got, want)
		}
	}
}

func hashedAs(t *testing.T, uri, split string) (Survey, string) {
	t.Helper()
	src, err := Open(context.Background(), uri, Options{CacheDir: t.TempDir(), Split: split})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return SurveyOf(src), src.Manifest().Digest()
}

// A question mark may be part of a folder's name, and any sign of a split's folder.
func TestWithSplitFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "what?train=x")
	names := []string{"a&b", "50%", "why?", "x=y", "ü"}
	files := map[string][]byte{"cat/1.jpg": []byte("one")}
	for _, n := range names {
		files[n+"/1.jpg"] = []byte(n)
	}
	writeTree(t, dir, files)
	if got, _ := list(t, "folder:"+dir, Options{}); len(got) != 6 {
		t.Errorf("%q", got)
	}
	for _, n := range names {
		uri, err := WithSplitFolder("folder:"+dir, "train="+n)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := list(t, uri, Options{})
		same(t, uri, got, []string{"1.jpg -1"})
	}
	for _, c := range [][2]string{{"wds:x", "train=a"}, {"folder:x", "train"}, {"folder:x", "all=a"}, {"folder:x", "train=/a"}, {"folder:x?train=a", "test=a/b"}} {
		_, err := WithSplitFolder(c[0], c[1])
		if c[1] == "test=a/b" { // found where it is opened: a later flag may mend it
			_, err = Open(context.Background(), "folder:"+dir+"?train=a&test=a/b", Options{CacheDir: t.TempDir()})
		}
		errstest.Want(t, err, errs.ErrUsage)
		checkOneLine(t, err)
	}
}

// keysOf gives "key label" of every sample.
func keysOf(t *testing.T, src Source) []string {
	t.Helper()
	var out []string
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(context.Background(), id, &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(s.Key, " ", s.Label))
	}
	return out
}

// A data URI is made absolute, with what it says beside the place.
func TestAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("a?train=x", 0o755); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		"folder:d":                    "folder:" + dir + "/d",
		"folder:d/?train=../x&test=.": "folder:" + dir + "/d?train=../x&test=.",
		"folder:a?train=x":            "folder:" + dir + "/a?train=x",
		"wds:d/x-?.tar":               "wds:" + dir + "/d/x-?.tar",
		"wds:d/?.tar":                 "wds:" + dir + "/d/?.tar",
		"dtd:d?fold=3":                "dtd:" + dir + "/d?fold=3",
		"folder:s3://b/k?train=x":     "folder:s3://b/k?train=x",
		"fashion-mnist:":              "fashion-mnist:",
		"mix:sets.yaml":               "mix:" + dir + "/sets.yaml",
		"mix:1*folder:d?train=x+2*wds:{0..9}.tar": "mix:1*folder:" + dir + "/d?train=x+2*wds:" + dir + "/{0..9}.tar",
	} {
		if got, err := Absolute(uri); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", uri, got, err, want)
		}
	}
}
