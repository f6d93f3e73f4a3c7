package ingest

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// ilsvrcFiles are the official archives, three classes small.
func ilsvrcFiles(t testing.TB, train []schemas.Sample) map[string][]byte {
	t.Helper()
	class := func(name string, images ...[]byte) tarFile {
		var m []tarFile
		for i, b := range images {
			m = append(m, tarFile{name + "_" + string(rune('1'+i)) + ".JPEG", b})
		}
		return tarFile{name + ".tar", tarBytes(t, m...)}
	}
	return map[string][]byte{
		// Out of order, as the set's is not: classes are sorted all the same.
		ilsvrcTrain: tarBytes(t, class("n02000000", train[2].Data), class("n01000000", train[0].Data, train[1].Data)),
		ilsvrcVal: tarBytes(t, tarFile{"ILSVRC2012_val_00000001.JPEG", train[2].Data}, tarFile{"ILSVRC2012_val_00000002.JPEG", train[0].Data},
			tarFile{"ILSVRC2012_val_00000003.JPEG", train[1].Data}),
	}
}

func TestILSVRCVal(t *testing.T) {
	ctx := context.Background()
	images := []schemas.Sample{{Data: []byte("\xff\xd8\xff one")}, {Data: []byte("\xff\xd8\xff two")}, {Data: []byte("\xff\xd8\xff three")}}
	truth, meta := []byte("1\n2\n2\n"), readFile(t, "testdata/meta.mat")
	kit := gzipBytes(t, tarBytes(t, tarFile{ilsvrcKit + "/readme.txt", []byte("x")}, tarFile{ilsvrcKit + "/data/" + ilsvrcMeta, meta},
		tarFile{ilsvrcKit + "/data/" + ilsvrcTruth, truth}))
	var digests []string
	for _, more := range []map[string][]byte{
		{ilsvrcKit + ".tar.gz": kit},
		{ilsvrcKit + "/data/" + ilsvrcMeta: meta, ilsvrcKit + "/data/" + ilsvrcTruth: truth},
		{ilsvrcKit + "/data/" + ilsvrcMeta: meta, ilsvrcKit + "/data/" + ilsvrcTruth: []byte("1\n2\n1\n")},
	} {
		dir, opt := t.TempDir(), Options{Split: Test, CacheDir: t.TempDir()}
		writeTree(t, dir, ilsvrcFiles(t, images))
		writeTree(t, dir, more)
		for range 2 { // the second time by the cached index
			src, err := Open(ctx, "imagenet-tar:"+dir, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if got := strings.Join(src.Manifest().Classes, " "); got != "n01000000 n02000000" || src.Len() != 3 {
				t.Fatalf("%d images of classes %s", src.Len(), got)
			}
			var s schemas.Sample
			for id, want := range []int32{1, 0} { // the devkit's 1 is n02000000
				if err := src.Read(ctx, int64(id), &s); err != nil || s.Label != want {
					t.Errorf("image %d is of class %d, %v; want %d", id, s.Label, err, want)
				}
			}
			if rep, err := Verify(ctx, src, VerifyOptions{}); err != nil || len(rep.Damaged) != 0 {
				t.Errorf("verify: %+v, %v", rep, err)
			}
			digests = append(digests, src.Manifest().Digest())
		}
	}
	if digests[0] != digests[1] || digests[0] != digests[2] || digests[0] == digests[4] {
		t.Errorf("digests packed, unpacked and of other labels: %q", digests)
	}
}

func TestILSVRCRefuses(t *testing.T) {
	images := []schemas.Sample{{Data: []byte("\xff\xd8\xff one")}, {Data: []byte("\xff\xd8\xff two")}, {Data: []byte("\xff\xd8\xff three")}}
	meta := readFile(t, "testdata/meta.mat")
	truth := ilsvrcKit + "/data/" + ilsvrcTruth
	for name, c := range map[string]struct {
		split string
		files map[string][]byte
		want  error
		says  string
	}{
		"no devkit":      {Test, nil, errs.ErrNotFound, ilsvrcTruth},
		"other number":   {Test, map[string][]byte{ilsvrcKit + "/data/meta.mat": meta, truth: []byte("1\n9\n1\n")}, errs.ErrCorrupt, `line 2 is "9"`},
		"too few":        {Test, map[string][]byte{ilsvrcKit + "/data/meta.mat": meta, truth: []byte("1\n1\n")}, errs.ErrCorrupt, "val_00000003"},
		"other kit":      {Test, map[string][]byte{ilsvrcKit + ".tar.gz": gzipBytes(t, tarBytes(t))}, errs.ErrCorrupt, "lacks"},
		"flat train tar": {Train, map[string][]byte{ilsvrcTrain: tarBytes(t, tarFile{"a.JPEG", []byte("x")})}, errs.ErrNotFound, "no class tars"},
		"twice": {Train, map[string][]byte{ilsvrcTrain: tarBytes(t, tarFile{"n1.tar", tarBytes(t, tarFile{"a.JPEG", []byte("x")})},
			tarFile{"n1.tar", tarBytes(t)})}, errs.ErrCorrupt, "twice"},
		"inner truncated": {
			Train,
			map[string][]byte{ilsvrcTrain: tarBytes(t, tarFile{"n1.tar", tarBytes(t, tarFile{"a.JPEG", bytes.Repeat([]byte("x"), 2000)})[:1024]})},
			errs.ErrCorrupt, "n1.tar",
		},
	} {
		dir := t.TempDir()
		writeTree(t, dir, ilsvrcFiles(t, images))
		writeTree(t, dir, c.files)
		src, err := Open(context.Background(), "imagenet-tar:"+dir, Options{Split: c.split, CacheDir: t.TempDir()})
		if why := errstest.Differs(err, c.want, c.says); src != nil || why != "" {
			t.Errorf("%s: opened as %v; %s", name, src, why)
		}
		checkOneLine(t, err)
	}
	if _, err := Open(context.Background(), "imagenet-tar:"+filepath.Join(t.TempDir(), "x.tar"), Options{CacheDir: t.TempDir()}); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("nothing there: %v", err)
	}
}
