package ingest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// Every format read out of a bucket is the data set that it is on a disk.
func TestRemoteIsTheSame(t *testing.T) {
	srv := storetest.Start(t)
	ctx := context.Background()
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			dir := t.TempDir()
			f.write(t, dir)
			local, err := f.open(ctx, dir, Options{CacheDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer local.Close()
			place := srv.PutTree(strings.ReplaceAll(f.name, " ", "-"), dir)
			for what, st := range map[string]store.Options{"cached": {CacheDir: t.TempDir()}, "by ranges": {CacheBytes: -1}} {
				opt := Options{CacheDir: t.TempDir(), Store: st}
				for range 2 { // the second time by the cached index
					src, err := f.open(ctx, place, opt)
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					defer src.Close()
					if got, want := src.Manifest().Digest(), local.Manifest().Digest(); got != want {
						t.Errorf("%s: digest %s, on a disk %s:\n%+v\n%+v", what, got, want, src.Manifest(), local.Manifest())
					}
					var s schemas.Sample
					for id, want := range f.want {
						if err := src.Read(ctx, int64(id), &s); err != nil {
							t.Fatalf("%s: %v", what, err)
						}
						if s.Label != want.Label || !bytes.Equal(s.Data, want.Data) {
							t.Errorf("%s: sample %d differs", what, id)
						}
					}
					if rep, err := Verify(ctx, src, VerifyOptions{}); err != nil || len(rep.Damaged) != 0 {
						t.Errorf("%s: verify: %+v, %v", what, rep, err)
					}
				}
			}
		})
	}
}

// remotePack packs eight images in four shards, with their index, and gives the
// local folder.
func remotePack(t *testing.T) (dir string, digest string) {
	t.Helper()
	ctx := context.Background()
	from, dir := t.TempDir(), t.TempDir()
	files := map[string][]byte{}
	for i := range 8 {
		files[string(rune('a'+i/4))+"/"+string(rune('0'+i))+".jpg"] = jpegBytes(t, 5+i, 6)
	}
	writeTree(t, from, files)
	src, err := Open(ctx, "folder:"+from, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	m, err := Pack(ctx, src, PackOptions{Dir: dir, ShardBytes: 5000})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Shards) < 3 {
		t.Fatalf("%d shards", len(m.Shards))
	}
	packed, err := Open(ctx, "wds:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	if err := WriteManifest(packed, filepath.Join(dir, "train.manifest.json")); err != nil {
		t.Fatal(err)
	}
	return dir, m.Digest()
}

func TestRemoteShards(t *testing.T) {
	srv := storetest.Start(t)
	ctx := context.Background()
	dir, digest := remotePack(t)
	place := srv.PutTree("shards", dir)
	web := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer web.Close()
	for _, uri := range []string{
		"wds:" + place, "wds:" + place + "/", "wds:" + place + "/train-*.tar", "wds:" + place + "/{split}-*.tar",
		"wds:" + place + "/train.manifest.json", "wds:" + web.URL, "wds:" + web.URL + "/train.manifest.json",
		"wds:file://" + dir, "wds:" + dir + "/train.manifest.json",
	} {
		opt := Options{CacheDir: t.TempDir(), Store: store.Options{CacheDir: t.TempDir(), Attempts: 3}}
		before := srv.Gets()
		src, err := Open(ctx, uri, opt)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if got := src.Manifest().Digest(); got != digest {
			t.Errorf("%s: digest %s, want %s", uri, got, digest)
		}
		if read := srv.Gets() - before; strings.HasSuffix(uri, "manifest.json") && strings.Contains(uri, "s3:") && read > 2 {
			t.Errorf("%s: %d objects were read to open it", uri, read)
		}
		var s schemas.Sample
		for id := range src.Len() {
			if err := src.Read(ctx, id, &s); err != nil {
				t.Errorf("%s: %v", uri, err)
			}
		}
		src.Close()
	}
	brace := "wds:" + web.URL + "/train-{000000..000001}.tar"
	src, err := Open(ctx, brace, Options{CacheDir: t.TempDir(), Store: store.Options{CacheDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	src.Close()
}

func TestRemoteRefuses(t *testing.T) {
	srv := storetest.Start(t)
	ctx := context.Background()
	dir, _ := remotePack(t)
	place := srv.PutTree("shards", dir)
	web := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer web.Close()
	index := readFile(t, filepath.Join(dir, "train.index"))
	srv.PutTree("other", dir)
	srv.Put("other/train.index", index[:len(index)-1])
	srv.PutTree("gap", dir)
	srv.Put("gap/train.manifest.json", bytes.Replace(readFile(t, filepath.Join(dir, "train.manifest.json")), []byte("train-000000.tar"), []byte("../x-000000.tar"), 1))
	for _, c := range []struct {
		uri  string
		want error
		says string
	}{
		{"wds:" + web.URL + "/*.tar", errs.ErrUnsupported, "no listing"},
		{"wds:" + web.URL + "/train-{000000..000009}.tar", errs.ErrNotFound, "train-00000"},
		{"wds:" + place + "/none-*.tar", errs.ErrNotFound, "no such shard"},
		{"wds:s3://data/nothing", errs.ErrNotFound, "train.manifest.json"},
		{"wds:s3://data/other/train.manifest.json", errs.ErrCorrupt, "train.index"},
		{"wds:s3://data/gap/train.manifest.json", errs.ErrCorrupt, "is not in its folder"},
		{"folder:" + web.URL, errs.ErrUnsupported, "no listing"},
		{"folder:s3://data/nothing", errs.ErrNotFound, "no file ends in"},
		{"pets:s3://data/nothing", errs.ErrNotFound, "annotations"},
		{"cifar10:" + web.URL, errs.ErrNotFound, "data_batch_1.bin"},
		{"mnist:s3://nowhere/x", errs.ErrNotFound, "train-images"},
	} {
		src, err := Open(ctx, c.uri, Options{CacheDir: t.TempDir(), Store: store.Options{CacheDir: t.TempDir(), Attempts: 2}})
		if why := errstest.Differs(err, c.want, c.says); src != nil || why != "" {
			t.Errorf("%s: opened as %v; %s", c.uri, src, why)
		}
		checkOneLine(t, err)
	}
}

// A shard that is replaced under a run is refused; one that differs from the
// manifest is found when it is fetched, and one that is truncated.
func TestRemoteShardReplaced(t *testing.T) {
	srv := storetest.Start(t)
	ctx := context.Background()
	dir, _ := remotePack(t)
	place := srv.PutTree("shards", dir)
	open := func() Source {
		src, err := Open(ctx, "wds:"+place+"/train.manifest.json", Options{CacheDir: t.TempDir(), Store: store.Options{CacheDir: t.TempDir()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close() })
		return src
	}
	shard := readFile(t, filepath.Join(dir, "train-000000.tar"))
	other := bytes.Clone(shard)
	other[tarBlock+40] ^= 1
	src := open()
	srv.Put("shards/train-000000.tar", other)
	var s schemas.Sample
	err := src.Read(ctx, 0, &s)
	if !errors.Is(err, errs.ErrMismatch) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a changed byte: %v", err)
	}
	checkOneLine(t, err)
	srv.Put("shards/train-000000.tar", shard[:len(shard)-tarBlock])
	err = open().Read(ctx, 0, &s)
	if !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("a truncated shard: %v", err)
	}
	checkOneLine(t, err)
	srv.Put("shards/train-000000.tar", shard)
	if err := open().Read(ctx, 0, &s); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

func TestWriteManifestRefuses(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"a/1.jpg": jpegBytes(t, 3, 3)})
	src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := WriteManifest(src, filepath.Join(dir, "train.manifest.json")); !errors.Is(err, errs.ErrUnsupported) {
		t.Errorf("of a folder: %v", err)
	}
	packed, _ := remotePack(t)
	wds, err := Open(context.Background(), "wds:"+packed, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer wds.Close()
	if err := WriteManifest(wds, filepath.Join(dir, "train.json")); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("another name: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "train.json")); err == nil {
		t.Error("it was written")
	}
}
