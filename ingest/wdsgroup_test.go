package ingest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// linkMark begins the data of a tarFile that is written as a link.
const (
	hardMark = "hard link to "
	softMark = "symbolic link to "
)

// linkedTar is a tar of files and links.
func linkedTar(t testing.TB, format tar.Format, files ...tarFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Format: format, Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(f.data))}
		if to, ok := strings.CutPrefix(string(f.data), hardMark); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, to, 0
		} else if to, ok := strings.CutPrefix(string(f.data), softMark); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, to, 0
		} else if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		} else if string(f.data) == "FIFO" {
			h.Typeflag, h.Size = tar.TypeFifo, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(f.data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// members are files whose bytes are what follows the '=', or their name.
func members(names ...string) (out []tarFile) {
	for _, n := range names {
		name, data, ok := strings.Cut(n, "=")
		if !ok {
			data = name
		}
		out = append(out, tarFile{name, []byte(data)})
	}
	return out
}

// groupCases are members of a tar, and the samples that they make: "NAME LABEL", with the
// bytes if they are not the name, and what is passed over.
var groupCases = []struct {
	about   string
	members []tarFile
	fields  string // of the URI
	want    []string
	passed  string
	says    string // the error's text
}{
	{about: "plain", members: members("0.jpg", "0.cls=3", "1.cls=4", "1.jpg", "2.png"), want: []string{"0.jpg 3", "1.jpg 4", "2.png -1"}},
	{about: "AppleDouble", members: members("./._0.jpg", "./0.jpg", "./._0.cls", "./0.cls=1", "__MACOSX/0.jpg"), want: []string{"./0.jpg 1"}, passed: `3 AppleDouble members of macOS (._NAME) (first "./._0.cls")`},
	{
		about: "what ends no sample", members: members("0.jpg", ".hidden.jpg", "README", "__url__=u", "d/=", "fifo.jpg=FIFO", "0.cls=1"), want: []string{"0.jpg 1"},
		passed: `1 hidden member (first ".hidden.jpg"); 1 member about the shard (__NAME__) (first "__url__"); 1 member that is no file (first "fifo.jpg"); 1 member without an extension (first "README")`,
	},
	{about: "all images, then all labels", members: members("0.jpg", "1.jpg", "2.jpg", "0.cls=5", "1.cls=6"), want: []string{"0.jpg 5", "1.jpg 6", "2.jpg -1"}},
	{about: "all labels, then all images", members: members("0.cls=5", "1.cls=6", "1.jpg", "0.jpg"), want: []string{"1.jpg 6", "0.jpg 5"}},
	{about: "apart, keys in folders", members: members("a/0.jpg", "b/0.jpg", "b/0.cls=1", "a/0.cls=2"), want: []string{"a/0.jpg 2", "b/0.jpg 1"}},
	{about: "apart, and a key twice", members: members("0.jpg", "1.jpg", "0.jpg", "0.cls=5"), want: []string{"0.jpg -1", "1.jpg -1", "0.jpg 5"}},
	{about: "apart, and which is unknown", members: members("0.jpg", "1.jpg", "0.jpg", "1.cls=3", "0.cls=5"), says: "out of order"},
	{about: "a sample twice", members: members("0.jpg", "0.cls=1", "1.jpg", "1.cls=2", "0.jpg", "0.cls=3"), want: []string{"0.jpg 1", "1.jpg 2", "0.jpg 3"}},
	{about: "a label twice, apart", members: members("0.jpg", "0.cls=1", "1.jpg", "0.cls=3"), want: []string{"0.jpg 1", "1.jpg -1"}, passed: `1 label of a sample that has one (first "0.cls")`},
	{about: "labels without images", members: members("0.jpg", "0.cls=1", "9.cls=3", "9.txt", "8.json={}"), want: []string{"0.jpg 1"}, passed: `2 samples without an image (first "8.json")`},
	{
		about: "other members", members: members("0.jpg", "0.txt", "0.json={}", "0.cls=1", "1.txt", "1.jpg"), want: []string{"0.jpg 1", "1.jpg -1"},
		passed: `1 other member of samples (.json) (first "0.json"); 2 other members of samples (.txt) (first "0.txt")`,
	},
	{about: "upper case", members: members("0.JPG", "0.CLS=2"), want: []string{"0.JPG 2"}},
	{about: "dotted folders", members: members("a.b/0001.jpg", "a.b/0001.cls=1", "a.b/0002.jpg", "a.b/README"), want: []string{"a.b/0001.jpg 1", "a.b/0002.jpg -1"}, passed: `1 member without an extension (first "a.b/README")`},

	{about: "number forms", members: members("0.jpg", "0.cls=3.0", "1.jpg", "1.cls= 4\r\n", "2.jpg", "2.cls=\xef\xbb\xbf5", "3.jpg", "3.cls=-1", "4.jpg", "4.cls=007"), want: []string{"0.jpg 3", "1.jpg 4", "2.jpg 5", "3.jpg -1", "4.jpg 7"}},
	{about: "class names", members: members("0.jpg", "0.cls=dog", "1.jpg", "1.cls=cat\n", "2.jpg", "3.jpg", "3.cls=dog"), want: []string{"0.jpg dog", "1.jpg cat", "2.jpg -1", "3.jpg dog"}},
	{about: "names and numbers", members: members("0.jpg", "0.cls=dog", "1.jpg", "1.cls=7"), says: "both names and numbers"},
	{about: "label none", fields: "?label=none", members: members("0.jpg", "0.cls=dog", "1.jpg", "1.cls=7"), want: []string{"0.jpg -1", "1.jpg -1"}, passed: `2 other members of samples (.cls) (first "0.cls")`},
	{about: "class", members: members("0.jpg", "0.class=2"), want: []string{"0.jpg 2"}},
	{about: "cls before class", members: members("0.jpg", "0.class=2", "0.cls=3", "1.jpg", "1.class=3"), want: []string{"0.jpg 3", "1.jpg -1"}, passed: `2 other members of samples (.class) (first "0.class")`},
	{about: "empty images", members: members("0.jpg", "0.cls=1", "1.jpg=", "1.cls=2", "2.jpg=", "3.jpg=", "3.txt"), want: []string{"0.jpg 1"}, passed: `3 empty files (0 bytes) (first "1.jpg")`},
	{about: "an empty image beside another", fields: "?image=jpg;png", members: members("0.jpg=", "0.png", "0.cls=1", "1.jpg", "1.png="), want: []string{"0.png 1", "1.jpg -1"}, passed: `2 empty files (0 bytes) (first "0.jpg")`},
	{about: "an empty mask", members: members("0.jpg", "0.mask.png=", "0.cls=1"), want: []string{"0.jpg 1"}, passed: `1 picture beside the image of a sample (.png) (first "0.mask.png")`},
	{about: "nothing but empty images", members: members("0.jpg=", "0.cls=1"), passed: `1 empty file (0 bytes) (first "0.jpg")`},
	{about: "label that is none", members: members("0.jpg", "0.label=\x00\x01"), want: []string{"0.jpg -1"}, passed: `1 other member of samples (.label) (first "0.label")`},
	{about: "json", members: members("0.jpg", `0.json={"label": 3, "caption": "x"}`, "1.jpg", `1.json={"label": 4}`), want: []string{"0.jpg 3", "1.jpg 4"}},
	{about: "json, apart", members: members("0.jpg", "1.jpg", `0.json={"class": 3}`, `1.json={"class": 4}`), want: []string{"0.jpg 3", "1.jpg 4"}},
	{about: "json, a number before a name", members: members("0.jpg", `0.json={"label": "cat", "class_id": 3}`), want: []string{"0.jpg 3"}},
	{about: "json, a name", members: members("0.jpg", `0.json={"class": "cat"}`), want: []string{"0.jpg cat"}},
	{about: "json, a number as text", members: members("0.jpg", `0.json={"cls": "3"}`), want: []string{"0.jpg 3"}},
	{about: "json, another key", members: members("0.jpg", `0.json={"Kind": 3}`), want: []string{"0.jpg -1"}, passed: `1 other member of samples (.json) (first "0.json")`},
	{about: "json, another key, named", fields: "?label=json.Kind", members: members("0.jpg", `0.json={"Kind": 3}`), want: []string{"0.jpg 3"}},
	{about: "json, no label", members: members("0.jpg", `0.json={"label": [1,2], "class": null, "cls": {"a": 1}}`), want: []string{"0.jpg -1"}, passed: `1 other member of samples (.json) (first "0.json")`},
	{about: "json, true and false", members: members("0.jpg", `0.json={"label": true}`, "1.jpg", `1.json={"label": false}`), want: []string{"0.jpg 1", "1.jpg 0"}},
	{about: "json of Python", members: members("0.jpg", `0.json={"label": 3, "score": NaN, "a": -Infinity, "b\"": "NaN"}`), want: []string{"0.jpg 3"}},
	{about: "json, NaN is a label of none", members: members("0.jpg", `0.json={"label": NaN}`, "1.jpg", `1.json={"label": 2}`), want: []string{"0.jpg -1", "1.jpg 2"}, passed: `1 other member of samples (.json) (first "0.json")`},
	{about: "json, NaN in a name", members: members("0.jpg", `0.json={"label": "NaN Infinity", "x": NaN}`), want: []string{"0.jpg NaN Infinity"}},
	{about: "json beside cls", members: members("0.jpg", "0.cls=3", "1.jpg", `1.json={"label": 4}`, "2.jpg", "2.cls=5", `2.json={"label": 9}`), want: []string{"0.jpg 3", "1.jpg 4", "2.jpg 5"}, passed: `1 other member of samples (.json) (first "2.json")`},
	{about: "json that is none", members: members("0.jpg", `0.json={"label": 3`), want: []string{"0.jpg -1"}, passed: `1 other member of samples (.json) (first "0.json")`},
	{about: "a field named as the label", fields: "?label=y", members: members("0.jpg", "0.y=2", "0.cls=3"), want: []string{"0.jpg 2"}, passed: `1 other member of samples (.cls) (first "0.cls")`},
	{about: "a field that is no label", fields: "?label=txt", members: members("0.jpg", "0.txt=two\nlines"), says: "is no class"},

	{about: "input.jpg", members: members("0.input.jpg", "0.cls=1", "1.input.jpg", "1.cls=2"), want: []string{"0.input.jpg 1", "1.input.jpg 2"}},
	{about: "img", members: members("0.image", "0.cls=1"), want: []string{"0.image 1"}},
	{about: "mask", members: members("0.jpg", "0.mask.png", "0.cls=1", "1.seg.png", "1.jpg"), want: []string{"0.jpg 1", "1.jpg -1"}, passed: `2 pictures beside the image of a sample (.png) (first "0.mask.png")`},
	{about: "mask without its image", members: members("0.jpg", "0.mask.png", "1.mask.png"), want: []string{"0.jpg -1"}, passed: `1 picture beside the image of a sample (.png) (first "0.mask.png"); 1 sample without an image (first "1.mask.png")`},
	{about: "left and right", members: members("0.left.jpg", "0.right.jpg"), says: `?image=left.jpg`},
	{about: "left and right of other keys", members: members("0.left.jpg", "1.right.jpg"), says: `more than one picture may be the image`},
	{
		about: "left is named", fields: "?image=left.jpg", members: members("0.left.jpg", "0.right.jpg", "1.right.jpg"), want: []string{"0.left.jpg -1"},
		passed: `1 picture beside the image of a sample (.jpg) (first "0.right.jpg"); 1 sample without an image (first "1.right.jpg")`,
	},
	{about: "two bare pictures", members: members("0.jpg", "0.png"), says: `more than one picture has the key "0": "0.jpg" and "0.png"`},
	{about: "two bare pictures, apart", members: members("0.jpg", "1.jpg", "0.png", "1.png"), says: `more than one picture has the key "0"`},
	{about: "the first that is there", fields: "?image=png;jpg", members: members("0.jpg", "0.png", "1.jpg"), want: []string{"0.png -1", "1.jpg -1"}, passed: `1 picture beside the image of a sample (.jpg) (first "0.jpg")`},
	{about: "key with dots", members: members("a0.v2.jpg", "a0.v2.cls=1", "a1.v2.jpg", "a1.v2.cls=2"), want: []string{"a0.v2.jpg 1", "a1.v2.jpg 2"}},
	{about: "key with dots and a number", members: members("a0.v2.01.jpg", "a0.v2.01.cls=1", "a1.v3.2.jpg", "a1.v3.2.cls=2"), want: []string{"a0.v2.01.jpg 1", "a1.v3.2.jpg 2"}},
	{about: "one key by WebDataset's rule", members: members("a.0.jpg", "a.0.cls=1", "a.1.jpg", "a.1.cls=2"), says: `the key "a"`},

	{about: "hard link", members: members("0.jpg", "0.cls=3", "1.jpg="+hardMark+"0.jpg", "1.cls="+hardMark+"0.cls"), want: []string{"0.jpg 3", "1.jpg 3 0.jpg"}},
	{about: "hard link to what is no sample", members: members("blob/1", "1.jpg="+hardMark+"blob/1"), want: []string{"1.jpg -1 blob/1"}, passed: `1 member without an extension (first "blob/1")`},
	{about: "symbolic link", members: members("b/1.jpg="+softMark+"../a/0.jpg", "b/1.cls=1", "a/0.jpg", "a/0.cls=3"), want: []string{"b/1.jpg 1 a/0.jpg", "a/0.jpg 3"}},
	{
		about: "links to links, in a ring, out of the tar", members: members("0.jpg", "1.jpg="+softMark+"2.jpg", "2.jpg="+hardMark+"0.jpg", "3.jpg="+softMark+"4.jpg", "4.jpg="+softMark+"3.jpg", "5.jpg="+softMark+"/etc/passwd"),
		want: []string{"0.jpg -1", "1.jpg -1 0.jpg", "2.jpg -1 0.jpg"}, passed: `3 links to no member of the tar (first "3.jpg")`,
	},
	{about: "a label that links to no label", members: members("0.jpg", "x=3", "0.cls="+hardMark+"x"), says: "not read as a label"},
	{about: "empty tar", want: nil},
	{about: "no image at all", members: members("dataset.json={}", "__url__"), passed: `1 member about the shard (__NAME__) (first "__url__"); 1 sample without an image (first "dataset.json")`},
}

// One odd member must not take the labels of its shard.
func TestOddLabelOfTar(t *testing.T) {
	three := []string{"0.jpg", `0.json={"label": 3}`, "1.jpg", `1.json={"label": 4}`, "2.jpg"}
	for odd, why := range map[string]string{
		`2.json={"label": "unknown"}`: `"unknown" of "2.jpg"`,
		`2.json={"label": -100}`:      `label "label" of "2.json": "-100" is no class`,
		`2.json={"label": 3.5}`:       `label "label" of "2.json": "3.5" is no class`,
	} {
		dir := t.TempDir()
		writeTree(t, dir, map[string][]byte{"a.tar": tarBytes(t, members(append(three, odd)...)...)})
		_, err := Open(context.Background(), "wds:"+dir+"/a.tar", Options{CacheDir: t.TempDir()})
		errstest.Want(t, err, errs.ErrCorrupt, why, "?label=none")
	}
	for odd, why := range map[string]string{
		"2.cls=\x00\x00\x00\x01\x02\x03\x04\x05": `label of "2.cls": "\x00\x00\x00\x01\x02\x03\x04\x05" is no class`,
		"2.cls=caf\xe9":                          `is no class`,
		"2.cls=":                                 `label of "2.cls": "" is no class`,
		"2.cls= \n":                              `is no class`,
	} {
		dir := t.TempDir()
		writeTree(t, dir, map[string][]byte{"a.tar": tarBytes(t, members("0.jpg", "0.cls=1", "1.jpg", "1.cls=2", "2.jpg", odd)...)})
		_, err := Open(context.Background(), "wds:"+dir+"/a.tar", Options{CacheDir: t.TempDir()})
		errstest.Want(t, err, errs.ErrCorrupt, why, "?label=none", "?label=FIELD")
		src, err := Open(context.Background(), "wds:"+dir+"/a.tar?label=none", Options{CacheDir: t.TempDir()})
		if err != nil || src.Len() != 3 {
			t.Fatalf("%q: the hint: %v", odd, err)
		}
		src.Close()
	}
	for _, pair := range [][]string{ // one of each: which is the odd one cannot be said
		{`0.json={"label": 3}`, `1.json={"label": "cat"}`},
		{`0.json={"label": 3}`, `1.json={"label": [1]}`},
		{`0.json={"class_name": "cat"}`, `1.json={"class_name": 3}`},
		{"0.label=3", "1.label=\x00\x01"},
	} {
		dir := t.TempDir()
		writeTree(t, dir, map[string][]byte{"a.tar": tarBytes(t, members(append(pair, "0.jpg", "1.jpg")...)...)})
		_, err := Open(context.Background(), "wds:"+dir+"/a.tar", Options{CacheDir: t.TempDir()})
		errstest.Want(t, err, errs.ErrCorrupt, "?label=none")
	}
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"a.tar": tarBytes(t, members("0.jpg", "0.cls=1", "1.jpg", `1.json={"label": "cat"}`)...)})
	_, err := Open(context.Background(), "wds:"+dir+"/a.tar", Options{CacheDir: t.TempDir()})
	errstest.Want(t, err, errs.ErrCorrupt, "both names and numbers", "?label=none")
}

func TestSamplesOfTar(t *testing.T) {
	for _, c := range groupCases {
		for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
			t.Run(c.about+"/"+format.String(), func(t *testing.T) {
				b := linkedTar(t, format, c.members...)
				_, fields, err := cutFields("x.tar" + c.fields)
				if err != nil {
					t.Fatal(err)
				}
				got, _, err := scanTar(bytes.NewReader(b), int64(len(b)), fields)
				if c.says != "" {
					err = tarFault(context.Background(), "index", "x.tar", "", "", err)
					if !strings.Contains(fmt.Sprint(err), c.says) {
						t.Errorf("got %v, want %q", err, c.says)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				same(t, "samples", samplesIn(b, got), c.want)
				if s := strings.TrimPrefix(got.passed.String(), fmt.Sprintf("passed over %d: ", got.passed.Count())); s != c.passed {
					t.Errorf("passed over %s\nwant        %s", s, c.passed)
				}
			})
		}
	}
}

// samplesIn are the samples as groupCases write them.
func samplesIn(b []byte, c *columns) (out []string) {
	for i := range c.nameEnd {
		name, label := c.name(int64(i)), fmt.Sprint(c.labels[i])
		if c.labels[i] != schemas.NoLabel && c.classes != nil {
			label = c.classes[c.labels[i]]
		}
		s := name + " " + label
		if data := string(b[c.offsets[i] : c.offsets[i]+int64(c.sizes[i])]); data != name {
			s += " " + data
		}
		out = append(out, s)
	}
	return out
}

// Class names are numbered over all shards, and the same from the cache, by a list and
// from a published index.
func TestWDSClassNames(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{
		"train-000000.tar": tarBytes(t, members("0.jpg", "0.cls=dog", "1.jpg", "1.cls=ant")...),
		"train-000001.tar": tarBytes(t, members("0.jpg", "0.cls=cat", "1.jpg")...),
		"test-000000.tar":  tarBytes(t, members("0.jpg", "0.cls=dog")...),
	})
	check := func(uri, split string, classes []string, labels ...int32) {
		t.Helper()
		opt := Options{CacheDir: filepath.Join(dir, "cache"), Split: split}
		var digest string
		for range 2 { // built, then from the cache
			src, err := Open(ctx, uri, opt)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "classes", src.Manifest().Classes, classes)
			same(t, "labels", strings.Fields(fmt.Sprint(src.(*wdsSource).x.labels)), strings.Fields(fmt.Sprint(labels)))
			if d := src.Manifest().Digest(); digest != "" && d != digest {
				t.Error("the digest differs")
			} else {
				digest = d
			}
			if err := WriteManifest(src, filepath.Join(dir, "set", split+manifestEnd)); err != nil {
				t.Fatal(err)
			}
			src.Close()
		}
	}
	writeTree(t, dir, map[string][]byte{"set/x": nil})
	check("wds:"+dir, Train, []string{"ant", "cat", "dog"}, 2, 0, 1, -1)
	check("wds:"+dir, Test, []string{"ant", "cat", "dog"}, 2)
	check("wds:"+dir+"/{split}-*.tar", Test, []string{"ant", "cat", "dog"}, 2)
	check("wds:"+dir+"/t*.tar", Test, []string{"ant", "cat", "dog"}, 2)
	check("wds:"+dir+"/test-*.tar", Test, []string{"dog"}, 0) // nothing says that there are others
	list := []string{"cat", "dog", "ant", "emu"}
	writeTree(t, dir, map[string][]byte{classesFile: []byte(strings.Join(list, "\r\n") + "\n")})
	check("wds:"+dir, Train, list, 1, 2, 0, -1)
	check("wds:"+dir, Test, list, 1)

	// Published, beside the shards.
	for _, name := range []string{"train-000000.tar", "train-000001.tar"} {
		writeTree(t, filepath.Join(dir, "set"), map[string][]byte{name: readFile(t, filepath.Join(dir, name))})
	}
	check("wds:"+filepath.Join(dir, "set", "train"+manifestEnd), Train, list, 1, 2, 0, -1)
	check("wds:"+filepath.Join(dir, "set"), Train, list, 1, 2, 0, -1)

	for about, c := range map[string]struct {
		file, text, says string
		kind             error
	}{
		"a class that is not listed": {classesFile, "cat\ndog\n", "ant", errs.ErrMismatch},
		"a class twice":              {classesFile, "cat\ndog\nant\ncat\n", "listed twice", errs.ErrCorrupt},
		"numbers in another split":   {"test-000000.tar", string(tarBytes(t, members("0.jpg", "0.cls=3")...)), "test-000000.tar", errs.ErrCorrupt},
		"numbers in another shard":   {"train-000002.tar", string(tarBytes(t, members("0.jpg", "0.cls=3")...)), "train-000002.tar", errs.ErrCorrupt},
	} {
		t.Run(about, func(t *testing.T) {
			dir2 := t.TempDir()
			for _, name := range []string{"train-000000.tar", "train-000001.tar"} {
				writeTree(t, dir2, map[string][]byte{name: readFile(t, filepath.Join(dir, name))})
			}
			writeTree(t, dir2, map[string][]byte{c.file: []byte(c.text)})
			_, err := Open(ctx, "wds:"+dir2, Options{CacheDir: t.TempDir()})
			errstest.Want(t, err, c.kind, c.says, dir2)
		})
	}
}

// Shards whose samples would be read in different ways are refused; the way is part of
// the digest.
func TestWDSReading(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{
		"both/a.tar":  tarBytes(t, members("0.jpg", "0.png")...),
		"mixed/a.tar": tarBytes(t, members("0.jpg")...),
		"mixed/b.tar": tarBytes(t, members("0.input.jpg")...),
		"mixed/c.tar": tarBytes(t, members("0.txt")...),
		"label/a.tar": tarBytes(t, members("0.jpg", "0.cls=1", `0.json={"label": 2}`)...),
		"plain/a.tar": tarBytes(t, members("0.jpg", "0.cls=1", "0.txt")...),
	})
	digests := map[string]string{}
	for _, c := range []struct {
		uri, reading string
		kind         error
		says         string
	}{
		{"both/a.tar?image=jpg", "image=jpg", nil, ""},
		{"both/a.tar?image=png", "image=png", nil, ""},
		{"both/a.tar", "", errs.ErrUsage, "?image="},
		{"mixed", "", errs.ErrUsage, "b.tar"},
		{"mixed/?.tar?image=input.jpg;jpg", "image=input.jpg;jpg", nil, ""},
		{"label", "", nil, ""},
		{"label?label=json.label", "label=json.label", nil, ""},
		{"label?label=json.none", "", errs.ErrNotFound, "no sample has a label in json.none"},
		{"label?image=webp", "", errs.ErrNotFound, "1 sample without an image"},
		{"label?label=", "", errs.ErrUsage, "names no image or label"},
		{"label?image=jpg&color=red", "", errs.ErrUsage, "names no image or label"},
		{"label?image=jpg;;png", "", errs.ErrUsage, "empty field"},
		{"plain", "", nil, ""},
	} {
		src, err := Open(ctx, "wds:"+dir+"/"+c.uri, Options{CacheDir: filepath.Join(dir, "cache")})
		if c.kind != nil {
			if why := errstest.Differs(err, c.kind, c.says); why != "" {
				t.Errorf("%s: %s", c.uri, why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.uri, err)
			continue
		}
		if got := src.Manifest().Reading; got != c.reading {
			t.Errorf("%s: read as %q", c.uri, got)
		}
		if other := digests[src.Manifest().Digest()]; other != "" {
			t.Errorf("%s has the digest of %s", c.uri, other)
		}
		digests[src.Manifest().Digest()] = c.uri
		src.Close()
	}
}

// What is no tar is named by what it is, whatever it is called, with the command that
// makes one of it.
func TestNoTar(t *testing.T) {
	good := tarBytes(t, members("0.jpg")...)
	for _, c := range []struct {
		name string
		data []byte
		says []string
	}{
		{"a.tar", gzipBytes(t, good), []string{"gzip", "gzip -dc '", "a.tar' > '", "a.plain.tar'"}},
		{"a.tar.gz", gzipBytes(t, good), []string{"gzip", "a.tar.gz' > '", "a.tar'"}},
		{"it's.tgz", gzipBytes(t, good), []string{`it'\''s.tgz' > '`, `it'\''s.tar'`}},
		{"a.tar.zst", []byte("\x28\xb5\x2f\xfd" + strings.Repeat("x", 600)), []string{"zstd -dc"}},
		{"a.tar", []byte("\xfd7zXZ\x00" + strings.Repeat("x", 600)), []string{"xz -dc"}},
		{"a.tar", []byte("BZh9" + strings.Repeat("x", 600)), []string{"bzip2 -dc"}},
		{"a.tar", []byte("\x04\x22\x4d\x18" + strings.Repeat("x", 600)), []string{"lz4 -dc"}},
		{"a.tar", []byte("PK\x03\x04" + strings.Repeat("x", 600)), []string{"zip archive"}},
		{"a.tar", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), []string{"Git LFS pointer", "git lfs pull"}},
		{"a.tar", []byte("\n<!DOCTYPE html><html>" + strings.Repeat("x", 600)), []string{"HTML page"}},
		{"a.tar", append([]byte("\xff\xd8\xff\xe0"), make([]byte, 600)...), []string{"a JPEG image, not a tar"}},
		{"a.tar", []byte("PAR1" + strings.Repeat("x", 600)), []string{"a Parquet file", "parquet:FILE"}},
		{"a.tar", []byte("\x1f\x9d\x90" + strings.Repeat("x", 600)), []string{"compress-compressed", "uncompress -c"}},
	} {
		dir := t.TempDir()
		writeTree(t, dir, map[string][]byte{c.name: c.data})
		for _, uri := range []string{"wds:" + filepath.Join(dir, c.name), "wds:" + dir} {
			_, err := Open(context.Background(), uri, Options{CacheDir: t.TempDir()})
			if why := errstest.Differs(err, errs.ErrUnsupported, c.says...); why != "" {
				t.Errorf("%s: %s", c.name, why)
			}
		}
	}
	// A plain tar may be called anything, and begin with a member of any name.
	for _, name := range []string{"a.tar.gz", "a.tar"} {
		dir := t.TempDir()
		writeTree(t, dir, map[string][]byte{name: tarBytes(t, members("BZh.jpg")...)})
		got, _ := list(t, "wds:"+filepath.Join(dir, name), Options{})
		same(t, name, got, []string{name + "/BZh.jpg -1"})
	}
}
