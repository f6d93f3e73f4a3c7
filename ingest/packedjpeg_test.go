package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// packedSet is a folder with a tar of a picture and of what begins as a packed JPEG: this
// package decodes nothing.
func packedSet(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{
		"a.tar": tarBytes(t, tarFile{"1.png", pngBytes(t, 4, 4)}, tarFile{"1.cls", []byte("0")},
			tarFile{"2.rdct", []byte(sniff.PackedJPEG + "the rest")}, tarFile{"2.cls", []byte("1")}),
	})
	return dir
}

// Tars with packed JPEGs are another format than tars without: for manifests, specs and
// indexes.
func TestPackedFormat(t *testing.T) {
	dir, cache := packedSet(t), t.TempDir()
	ctx := context.Background()
	for _, again := range []bool{false, true} { // by the cached index, then
		src, err := Open(ctx, "wds:"+dir+"/a.tar", Options{CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		m := src.Manifest()
		if m.Format != "wds-dct" || !Packed(m.Format) || m.Spec().Format != "wds-dct" || m.Samples != 2 {
			t.Errorf("again %v: %+v", again, m)
		}
		var s schemas.Sample
		if err := src.Read(ctx, 1, &s); err != nil || s.Label != 1 || !strings.HasPrefix(string(s.Data), sniff.PackedJPEG) {
			t.Errorf("sample 1: %+v, %v", s, err)
		}
		if err := WriteManifest(src, filepath.Join(dir, "x"+manifestEnd)); err != nil {
			t.Fatal(err)
		}
		src.Close()
	}
	files, err := filepath.Glob(cache + "/*.idx")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	for _, index := range append(files, filepath.Join(dir, "x"+indexEnd)) {
		if b := readFile(t, index); !bytes.HasPrefix(b, []byte(packedMagic)) {
			t.Errorf("%s begins with %q: builds that can't decode packs would believe it", index, b[:16])
		}
	}
	mixed, err := Open(ctx, "mix:1*wds:"+dir+"/a.tar+1*wds:"+dir+"/a.tar", Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer mixed.Close()
	if m := mixed.Manifest(); !Packed(m.Format) || m.Format != "mix-dct" {
		t.Errorf("a mixture of them: %s", m.Format)
	}
	src, err := Open(ctx, "wds:"+dir+"/x"+manifestEnd, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.Manifest().Format != packedFormat {
		t.Errorf("by its manifest: %s", src.Manifest().Format)
	}
	var m map[string]any
	if err := json.Unmarshal(readFile(t, filepath.Join(dir, "x"+manifestEnd)), &m); err != nil || m["format"] != "wds-dct" {
		t.Errorf("the manifest says %v, %v", m["format"], err)
	}
}

// What an older build has cached of such tars lacks the packs: it is not believed.
func TestOlderIndexOfPacked(t *testing.T) {
	dir, cache := packedSet(t), t.TempDir()
	uri := "wds:" + dir + "/a.tar"
	want, _ := digestOf(t, uri, cache)
	opt := Options{CacheDir: cache}.applyDefaults()
	c := openCache(opt, "wds", dir+"/a.tar", Train)
	x := c.load()
	if x == nil {
		t.Fatal("no index")
	}
	old := newIndex()
	old.Built, old.Stamps = x.Built, x.Stamps
	part := x.ofShard(0)
	if err := part.appendRange(&x.columns, 0, 1); err != nil {
		t.Fatal(err)
	}
	part.passed = Survey{{Reason: passedImages, Count: 1, First: "2.rdct"}}
	shard := x.Shards[0]
	if err := old.addShard(shard, part); err != nil {
		t.Fatal(err)
	}
	old.Built += int64(10 * coarsestClock) // as if the tar was an old file: it is trusted otherwise
	c.store(old)
	if got, warned := digestOf(t, uri, cache); got != want || len(warned) > 0 {
		t.Errorf("digest %.12s, want %.12s; %v", got, want, warned)
	}
}

// In a folder a pack is no candidate.
func TestPackedInFolder(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"c/1.rdct": []byte(sniff.PackedJPEG), "c/2.png": pngBytes(t, 4, 4)})
	src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.Len() != 1 || !strings.Contains(SurveyOf(src).String(), "(.rdct)") {
		t.Errorf("%d samples, %s", src.Len(), SurveyOf(src))
	}
}

// upper is a Recoder that changes letters.
type upper struct{ closed *atomic.Int64 }

func (u upper) Recode(name string, file []byte) (Recoded, error) {
	if bytes.Contains(file, []byte("bad")) {
		return Recoded{}, errs.New("recode", name, "", errs.Because(errs.ErrCorrupt, "it is bad"))
	}
	return Recoded{Data: bytes.ToUpper(file), Size: int64(len(file))}, nil
}

func (u upper) Close() error { u.closed.Add(1); return nil }

// Pack's result does not depend on its workers, each of which closes its Recoder, also where
// one fails.
func TestPackRecodes(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{}
	for i := range 100 {
		files[string(rune('a'+i%26))+string(rune('a'+i/26))+".jpg"] = append([]byte{0xff, 0xd8, 0xff}, strings.Repeat("x", 10*i)...)
	}
	writeTree(t, dir, files)
	pack := func(workers int) (*Manifest, error) {
		src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		var made, closed atomic.Int64
		m, err := Pack(context.Background(), src, PackOptions{
			Dir: t.TempDir(), ShardBytes: 20000, Workers: workers,
			Recode: func() (Recoder, error) { made.Add(1); return upper{&closed}, nil },
		})
		if n := made.Load(); n != int64(workers) || n != closed.Load() {
			t.Errorf("%d Recoders for %d workers, %d closed", n, workers, closed.Load())
		}
		return m, err
	}
	one, err := pack(1)
	if err != nil {
		t.Fatal(err)
	}
	four, err := pack(4)
	if err != nil {
		t.Fatal(err)
	}
	if one.Samples != 100 || len(one.Shards) < 3 || one.Digest() != four.Digest() {
		t.Errorf("%+v, by four workers %+v", one, four)
	}
	files = map[string][]byte{"zz.jpg": []byte("\xff\xd8\xffbad")}
	writeTree(t, dir, files)
	if _, err := pack(3); !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("a bad file: %v", err)
	}
}
