package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// fileListTree is a small data set in the form in which the real one is distributed.
type fileListTree struct {
	scheme  string // with ?choice, after DIR
	choice  string
	split   string
	files   map[string][]byte
	want    []fileListWant // in the order of ids
	classes int
	image   string // one of the split's, for damage
	list    string // that names it
}

type fileListWant struct {
	key   string
	label int32
	marks string // '+', '0', '-' a class, in the order of vocClasses
}

func fileListTrees(t *testing.T) []fileListTree {
	t.Helper()
	jpg := func(i int) []byte { return jpegBytes(t, 4+i, 5) }
	mats := func(names ...string) map[string][]byte {
		m := map[string][]byte{}
		for _, n := range names {
			m[n] = readFile(t, "testdata/"+filepath.Base(n))
		}
		return m
	}
	with := func(m map[string][]byte, more map[string][]byte) map[string][]byte {
		maps.Copy(m, more)
		return m
	}
	caltech := map[string][]byte{}
	for i := range 32 {
		caltech[fmt.Sprintf("101_ObjectCategories/airplanes/image_%04d.jpg", i+1)] = jpg(i)
		caltech[fmt.Sprintf("101_ObjectCategories/BACKGROUND_Google/image_%04d.jpg", i+1)] = jpg(i + 1)
	}
	voc := map[string][]byte{
		"VOC2007/ImageSets/Main/trainval.txt": []byte("000005\n000007\n000009\n"),
		"VOC2007/Annotations/000005.xml":      vocXML("chair 0", "chair 1", "dog 1"),
		"VOC2007/Annotations/000007.xml":      vocXML("car 0"),
		"VOC2007/Annotations/000009.xml":      vocXML("person 0", "horse 0", "person 1"),
	}
	for i, id := range []string{"000005", "000007", "000009", "000011"} {
		voc["VOC2007/JPEGImages/"+id+".jpg"] = jpg(i)
	}
	marks := func(set string, unsure string) string {
		b := strings.Repeat("-", len(vocClasses))
		for i, c := range vocClasses {
			if slices.Contains(strings.Fields(set), c) {
				b = b[:i] + "+" + b[i+1:]
			}
			if slices.Contains(strings.Fields(unsure), c) {
				b = b[:i] + "0" + b[i+1:]
			}
		}
		return b
	}
	trees := []fileListTree{
		{
			scheme: "food101", split: Train, classes: 2, image: "food-101/images/pizza/7.jpg", list: "food-101/meta/train.txt",
			files: map[string][]byte{
				"food-101/meta/classes.txt": []byte("apple_pie\npizza\n"), "food-101/meta/train.txt": []byte("pizza/7\napple_pie/3\n"),
				"food-101/meta/test.txt": []byte("pizza/8\n"), "food-101/images/apple_pie/3.jpg": jpg(0),
				"food-101/images/pizza/7.jpg": jpg(1), "food-101/images/pizza/8.jpg": jpg(2),
			},
			want: []fileListWant{{key: "images/apple_pie/3.jpg"}, {key: "images/pizza/7.jpg", label: 1}},
		},
		{
			scheme: "cars", split: Train, classes: 3, image: "cars_train/00002.jpg", list: "devkit/cars_train_annos.mat",
			files: with(mats("devkit/cars_meta.mat", "devkit/cars_train_annos.mat"),
				map[string][]byte{"cars_train/00001.jpg": jpg(0), "cars_train/00002.jpg": jpg(1)}),
			want: []fileListWant{{key: "cars_train/00001.jpg", label: 2}, {key: "cars_train/00002.jpg", label: 0}},
		},
		{
			scheme: "cars", split: Test, classes: 3, image: "cars_test/00001.jpg", list: "cars_test_annos_withlabels.mat",
			files: with(mats("devkit/cars_meta.mat", "cars_test_annos_withlabels.mat"), map[string][]byte{"cars_test/00001.jpg": jpg(0)}),
			want:  []fileListWant{{key: "cars_test/00001.jpg", label: 1}},
		},
		{
			scheme: "dtd", choice: "?fold=2", split: TrainVal, classes: 2, image: "dtd/images/banded/banded_0005.jpg", list: "dtd/labels/val2.txt",
			files: map[string][]byte{
				"dtd/labels/train2.txt": []byte("zigzagged/zigzagged_0001.jpg\n"), "dtd/labels/val2.txt": []byte("banded/banded_0005.jpg\n"),
				"dtd/images/banded/banded_0005.jpg": jpg(0), "dtd/images/zigzagged/zigzagged_0001.jpg": jpg(1),
			},
			want: []fileListWant{{key: "images/banded/banded_0005.jpg"}, {key: "images/zigzagged/zigzagged_0001.jpg", label: 1}},
		},
		{
			scheme: "pets", split: Train, classes: 2, image: "images/Abyssinian_100.jpg", list: "annotations/trainval.txt",
			files: map[string][]byte{
				"annotations/trainval.txt":  []byte("#Image CLASS-ID SPECIES BREED ID\nAbyssinian_100 1 1 1\nAbyssinian_7 1 1 1\n"),
				"annotations/test.txt":      []byte("american_bulldog_1 2 2 1\n"),
				"images/Abyssinian_100.jpg": jpg(0), "images/Abyssinian_7.jpg": jpg(1), "images/american_bulldog_1.jpg": jpg(2),
			},
			want: []fileListWant{{key: "images/Abyssinian_100.jpg"}, {key: "images/Abyssinian_7.jpg"}},
		},
		{
			scheme: "flowers", split: TrainVal, classes: 102, image: "jpg/image_00005.jpg", list: "setid.mat",
			files: with(mats("imagelabels.mat", "setid.mat"), map[string][]byte{
				"jpg/image_00001.jpg": jpg(0), "jpg/image_00004.jpg": jpg(1), "jpg/image_00005.jpg": jpg(2),
			}),
			want: []fileListWant{{key: "jpg/image_00001.jpg", label: 76}, {key: "jpg/image_00004.jpg", label: 101}, {key: "jpg/image_00005.jpg", label: 4}},
		},
		{
			scheme: "aircraft", split: Test, classes: 2, image: "fgvc-aircraft-2013b/data/images/1514522.jpg", list: "fgvc-aircraft-2013b/data/images_variant_test.txt",
			files: map[string][]byte{
				"fgvc-aircraft-2013b/data/variants.txt":            []byte("707-320\nF/A-18\n"),
				"fgvc-aircraft-2013b/data/images_variant_test.txt": []byte("1514522 F/A-18\n0747566 707-320\n"),
				"fgvc-aircraft-2013b/data/images/1514522.jpg":      jpg(0), "fgvc-aircraft-2013b/data/images/0747566.jpg": jpg(1),
			},
			want: []fileListWant{{key: "images/0747566.jpg"}, {key: "images/1514522.jpg", label: 1}},
		},
		{scheme: "caltech101", choice: "?draw=3", split: Test, classes: 2, files: caltech},
		{
			scheme: "voc2007", split: TrainVal, classes: 20, image: "VOC2007/JPEGImages/000007.jpg", list: "VOC2007/ImageSets/Main/trainval.txt", files: voc,
			want: []fileListWant{
				{"JPEGImages/000005.jpg", schemas.NoLabel, marks("chair", "dog")},
				{"JPEGImages/000007.jpg", schemas.NoLabel, marks("car", "")},
				{"JPEGImages/000009.jpg", schemas.NoLabel, marks("person horse", "")},
			},
		},
	}
	return trees
}

func vocXML(objects ...string) []byte {
	var b strings.Builder
	b.WriteString("<annotation>\n\t<folder>VOC2007</folder>\n\t<filename>x.jpg</filename>\n")
	for _, o := range objects {
		name, difficult, _ := strings.Cut(o, " ")
		fmt.Fprintf(&b, "\t<object>\n\t\t<name>%s</name>\n\t\t<difficult>%s</difficult>\n\t\t<bndbox><xmin>1</xmin></bndbox>\n"+
			"\t\t<part><name>head</name></part>\n\t</object>\n", name, difficult)
	}
	return []byte(b.String() + "</annotation>\n")
}

func (l fileListTree) open(dir string, cache string) (Source, error) {
	return Open(context.Background(), l.scheme+":"+dir+l.choice, Options{Split: l.split, CacheDir: cache})
}

func TestFileListSets(t *testing.T) {
	ctx := context.Background()
	for _, l := range fileListTrees(t) {
		t.Run(l.scheme+" "+l.split, func(t *testing.T) {
			dir, cache := t.TempDir(), t.TempDir()
			writeTree(t, dir, l.files)
			src, err := l.open(dir, cache)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			m := src.Manifest()
			if m.Format != l.scheme || m.Split != l.split || len(m.Classes) != l.classes {
				t.Errorf("manifest %+v", m)
			}
			if l.want == nil {
				return // Caltech-101 has a test of its own
			}
			if src.Len() != int64(len(l.want)) {
				t.Fatalf("%d samples, want %d", src.Len(), len(l.want))
			}
			var s schemas.Sample
			for id, want := range l.want {
				if err := src.Read(ctx, int64(id), &s); err != nil {
					t.Fatal(err)
				}
				if s.Key != want.key || s.Label != want.label {
					t.Errorf("sample %d is %s of class %d, want %s of %d", id, s.Key, s.Label, want.key, want.label)
				}
				ml, ok := src.(MultiLabel)
				if ok != (want.marks != "") {
					t.Fatalf("several labels: %v", ok)
				}
				if ok {
					got := ""
					for _, v := range ml.Marks(int64(id)) {
						got += string("-0+"[v+1])
					}
					if got != want.marks || ml.Marks(-1) != nil || ml.Marks(src.Len()) != nil {
						t.Errorf("sample %d has marks %s, want %s", id, got, want.marks)
					}
				}
			}

			t.Run("image missing", func(t *testing.T) {
				if err := os.Remove(filepath.Join(dir, l.image)); err != nil {
					t.Fatal(err)
				}
				_, err := l.open(dir, cache)
				if !errors.Is(err, errs.ErrNotFound) || !strings.Contains(err.Error(), filepath.Base(l.image)) || !strings.Contains(err.Error(), filepath.Base(l.list)) {
					t.Errorf("does not name both sides: %v", err)
				}
				checkOneLine(t, err)
			})
			t.Run("list missing", func(t *testing.T) {
				if err := os.Remove(filepath.Join(dir, l.list)); err != nil {
					t.Fatal(err)
				}
				_, err := l.open(dir, cache)
				if !errors.Is(err, errs.ErrNotFound) || !strings.Contains(err.Error(), filepath.Base(l.list)) {
					t.Errorf("does not name the list: %v", err)
				}
				checkOneLine(t, err)
			})
		})
	}
}

// Caltech-101's draws: 30 a class train, the others test, another draw another.
func TestCaltechDraws(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	for _, l := range fileListTrees(t) {
		if l.scheme == "caltech101" {
			writeTree(t, dir, l.files)
		}
	}
	keys := func(split, choice string) []string {
		src, err := Open(context.Background(), "caltech101:"+dir+choice, Options{Split: split, CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		var s schemas.Sample
		var out []string
		for id := range src.Len() {
			if err := src.Read(context.Background(), id, &s); err != nil {
				t.Fatal(err)
			}
			out = append(out, s.Key)
		}
		return out
	}
	train, test := keys(Train, ""), keys(Test, "")
	if len(train) != 60 || len(test) != 4 {
		t.Fatalf("%d train, %d test", len(train), len(test))
	}
	for _, k := range test {
		if slices.Contains(train, k) {
			t.Errorf("%s is in both splits", k)
		}
	}
	if again := keys(Test, "?draw=0"); !slices.Equal(again, test) {
		t.Errorf("draw 0 is %v, then %v", test, again)
	}
	if other := keys(Test, "?draw=1"); slices.Equal(other, test) {
		t.Error("draw 1 is draw 0")
	}
}

// A changed label is another data set, though every image is as it was.
func TestFileListDigestCoversLabels(t *testing.T) {
	for _, c := range []struct{ scheme, file, from, to string }{
		{"food101", "food-101/meta/classes.txt", "apple_pie\npizza", "pizza\napple_pie"},
		{"voc2007", "VOC2007/Annotations/000007.xml", "<difficult>0", "<difficult>1"},
	} {
		dir, cache := t.TempDir(), t.TempDir()
		trees := fileListTrees(t)
		l := trees[slices.IndexFunc(trees, func(l fileListTree) bool { return l.scheme == c.scheme })]
		writeTree(t, dir, l.files)
		digest := func() string {
			src, err := l.open(dir, cache)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			return src.Manifest().Digest()
		}
		before := digest()
		l.files[c.file] = []byte(strings.Replace(string(l.files[c.file]), c.from, c.to, 1))
		writeTree(t, dir, map[string][]byte{c.file: l.files[c.file]})
		if digest() == before {
			t.Errorf("%s: another label, the same digest", c.scheme)
		}
	}
}

func TestFileListRefuses(t *testing.T) {
	trees := fileListTrees(t)
	for _, c := range []struct {
		scheme, choice, file, text string
		want                       error
		says                       string
	}{
		{"dtd", "?fold=11", "", "", errs.ErrUsage, `fold is "11"`},
		{"dtd", "?size=3", "", "", errs.ErrUsage, `no parameter "size"`},
		{"caltech101", "?draw=x", "", "", errs.ErrUsage, `draw is "x"`},
		{"food101", "", "food-101/meta/train.txt", "pizza/7\npasta/3\n", errs.ErrCorrupt, `train.txt:2 names class "pasta"`},
		{"food101", "", "food-101/meta/train.txt", "pizza/7\npizza/7\n", errs.ErrCorrupt, "train.txt:1 and by"},
		{"food101", "", "food-101/meta/train.txt", "pizza/../pizza/../../../x\n", errs.ErrCorrupt, "none of the"},
		{"dtd", "?fold=2", "dtd/labels/train2.txt", "banded/../../../../etc/passwd\n", errs.ErrCorrupt, "names"},
		{"pets", "", "annotations/trainval.txt", "Abyssinian_100 one 1 1\n", errs.ErrCorrupt, "trainval.txt:1"},
		{"pets", "", "annotations/trainval.txt", "Abyssinian_100 2 1 1\n", errs.ErrCorrupt, "elsewhere"},
		{"voc2007", "", "VOC2007/Annotations/000005.xml", "<annotation><object>", errs.ErrCorrupt, "000005.xml"},
		{"voc2007", "", "VOC2007/Annotations/000005.xml", string(vocXML("unicorn 0")), errs.ErrCorrupt, "unicorn"},
		{"flowers", "", "setid.mat", "no mat-file", errs.ErrCorrupt, "setid.mat"},
		{"cars", "", "devkit/cars_train_annos.mat", string(readFile(t, "testdata/setid.mat")), errs.ErrCorrupt, "no variable annotations"},
	} {
		l := trees[slices.IndexFunc(trees, func(l fileListTree) bool { return l.scheme == c.scheme })]
		dir := t.TempDir()
		writeTree(t, dir, l.files)
		if c.file != "" {
			writeTree(t, dir, map[string][]byte{c.file: []byte(c.text)})
		}
		l.choice = c.choice
		src, err := l.open(dir, t.TempDir())
		if why := errstest.Differs(err, c.want, c.says); src != nil || why != "" {
			t.Errorf("%s%s %s: opened as %v; %s", c.scheme, c.choice, c.file, src, why)
		}
		checkOneLine(t, err)
	}
}

func FuzzParseVOC(f *testing.F) {
	f.Add(vocXML("chair 0", "dog 1"))
	f.Add([]byte("<annotation><object><difficult>2</difficult></object></annotation>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedtest.Allocates(t, 1<<20, 500, len(b), func() {
			if _, err := parseVOC(b); err != nil && !errors.Is(err, errs.ErrCorrupt) && !errors.Is(err, errs.ErrTooLarge) {
				t.Fatalf("an error of no kind: %v", err)
			}
		})
	})
}
