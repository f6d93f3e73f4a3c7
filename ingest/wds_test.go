package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
)

func TestExpandBraces(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"a.tar", []string{"a.tar"}},
		{"s-{008..011}.tar", []string{"s-008.tar", "s-009.tar", "s-010.tar", "s-011.tar"}},
		{"{a,b}/{1..2}.tar", []string{"a/1.tar", "a/2.tar", "b/1.tar", "b/2.tar"}},
		{"{00..00}", []string{"00"}},
	} {
		got, err := expandBraces(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
		same(t, c.in, got, c.want)
	}
	for _, in := range []string{"{1..", "{2..1}", "{x}", "{0..99999999999999999999}", "{0..9999999}", "{000..999}{000..999}{000..999}", "{a,{b,c}}"} {
		if _, err := expandBraces(in); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestWDSGlobs(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{}
	for _, n := range []string{"train-000000", "train-000001", "test-000000", "sub/x"} {
		files[n+".tar"] = tarBytes(t, tarFile{filepath.Base(n) + ".jpg", []byte(n)})
	}
	writeTree(t, dir, files)
	train := []string{"train-000000.tar/train-000000.jpg -1", "train-000001.tar/train-000001.jpg -1"}
	test := []string{"test-000000.tar/test-000000.jpg -1"}
	for _, c := range []struct {
		glob, split string
		want        []string
		says        string
	}{
		{"", "", train, ""},
		{"", Test, test, ""},
		{"", Val, nil, "give one of its splits: test, train"},
		{"*.tar", "", train, ""}, // not both splits
		{"*.tar", Test, test, ""},
		{"test-*.tar", "", test, ""},
		{"test-*.tar", Test, test, ""},
		{"{train,test}-*.tar", "", append(slices.Clone(test), train...), ""}, // both are named
		{"{split}-*.tar", Test, test, ""},
		{"{split}-*.tar", "", train, ""},
		{"train-{000000..000001}.tar", "", train, ""},
		{"train-{000000..000002}.tar", "", nil, "train-000002.tar: not found"},
		{"train-*.tar", Test, nil, "not of test"},
		{"sub/*.tar", "", []string{"x.tar/x.jpg -1"}, ""},
		{"{sub/x,test-000000}.tar", "", []string{"sub/x.tar/x.jpg -1", test[0]}, ""},
	} {
		uri := "wds:" + dir + "/" + c.glob
		if c.says == "" {
			got, _ := list(t, uri, Options{Split: c.split})
			same(t, c.glob+" "+c.split, got, c.want)
			continue
		}
		_, err := Open(context.Background(), uri, Options{Split: c.split, CacheDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v, want %q", c.glob, c.split, err, c.says)
		}
		checkOneLine(t, err)
	}
	writeTree(t, dir, map[string][]byte{"y.tar.gz": gzipBytes(t, files["sub/x.tar"])})
	if _, err := Open(context.Background(), "wds:"+dir+"/y.tar.gz", Options{CacheDir: t.TempDir()}); !errors.Is(err, errs.ErrUnsupported) {
		t.Errorf("compressed: %v", err)
	}
}

// Every bad shard is named, not only the first.
func TestWDSReportsAllBadShards(t *testing.T) {
	dir := t.TempDir()
	good := tarBytes(t, tarFile{"1.jpg", make([]byte, 3000)})
	writeTree(t, dir, map[string][]byte{"a.tar": good, "b.tar": good[:700], "c.tar": good, "d.tar": good[:100]})
	_, err := Open(context.Background(), "wds:"+dir+"/*.tar", Options{CacheDir: t.TempDir()})
	if !errors.Is(err, errs.ErrCorrupt) || !strings.Contains(err.Error(), "b.tar") || !strings.Contains(err.Error(), "d.tar") {
		t.Errorf("got %v", err)
	}
	checkOneLine(t, err)
}

func TestWDSShardReplacedAfterOpen(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"a.tar": tarBytes(t, tarFile{"1.jpg", []byte("old")})})
	src, err := Open(context.Background(), "wds:"+dir+"/a.tar", Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	writeTree(t, dir, map[string][]byte{"a.tar": tarBytes(t, tarFile{"1.jpg", []byte("new")})})
	var s schemas.Sample
	if err := src.Read(context.Background(), 0, &s); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("got %q, %v", s.Data, err)
	}
}

// More shards than may stay open.
func TestWDSManyShards(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{}
	const n = maxOpenShards + 20
	for i := range n {
		files[fmt.Sprintf("s-%06d.tar", i)] = tarBytes(t, tarFile{"x.jpg", fmt.Append(nil, i)})
	}
	writeTree(t, dir, files)
	src, err := Open(context.Background(), "wds:"+dir+fmt.Sprintf("/s-{%06d..%06d}.tar", 0, n-1), Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var s schemas.Sample
	for range 2 {
		for id := range int64(n) {
			if err := src.Read(context.Background(), id, &s); err != nil || string(s.Data) != fmt.Sprint(id) {
				t.Fatalf("sample %d is %q, %v", id, s.Data, err)
			}
		}
	}
	if open := len(src.(*wdsSource).open); open != maxOpenShards {
		t.Errorf("%d shards are open", open)
	}
}

func TestPack(t *testing.T) {
	ctx := context.Background()
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			from, opt := t.TempDir(), Options{CacheDir: t.TempDir()}
			f.write(t, from)
			src, err := f.open(ctx, from, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			a, b := t.TempDir(), t.TempDir()
			m, err := Pack(ctx, src, PackOptions{Dir: a, ShardBytes: 8192})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Pack(ctx, src, PackOptions{Dir: b, ShardBytes: 8192}); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(a)
			if err != nil || len(entries) != len(m.Shards)+1 {
				t.Fatalf("%d shards, folder holds %v, %v", len(m.Shards), entries, err)
			}
			for _, e := range entries {
				if !bytes.Equal(readFile(t, filepath.Join(a, e.Name())), readFile(t, filepath.Join(b, e.Name()))) {
					t.Errorf("%s differs between two packs of the same data", e.Name())
				}
			}
			back, err := Open(ctx, "wds:"+a, Options{Split: m.Split, CacheDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if back.Manifest().Digest() != m.Digest() {
				t.Errorf("Pack said\n%+v\nopened as\n%+v", m, back.Manifest())
			}
			same(t, "classes", back.Manifest().Classes, src.Manifest().Classes)
			if back.Len() != src.Len() {
				t.Fatalf("%d samples of %d", back.Len(), src.Len())
			}
			for _, s := range m.Shards {
				if s.Samples > 1 && s.Bytes > 8192 {
					t.Errorf("shard %+v is over 8192 bytes", s)
				}
			}
			var got, want schemas.Sample
			for id := range src.Len() {
				if err := errors.Join(src.Read(ctx, id, &want), back.Read(ctx, id, &got)); err != nil {
					t.Fatal(err)
				}
				if got.Label != want.Label {
					t.Errorf("sample %d has label %d, want %d", id, got.Label, want.Label)
				}
				if want.Encoding == schemas.Encoded {
					if !bytes.Equal(got.Data, want.Data) {
						t.Errorf("sample %d (%s) was changed", id, got.Key)
					}
				} else if p := pixels(t, got.Data, want.Encoding); !bytes.Equal(p, want.Data) {
					t.Errorf("sample %d: PNG holds other pixels", id)
				}
			}
		})
	}
}

// pixels decodes a PNG to what the raw source holds.
func pixels(t *testing.T, b []byte, as schemas.Encoding) (out []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			out = append(out, byte(r>>8))
			if as == schemas.RawRGB {
				out = append(out, byte(g>>8), byte(b>>8))
			}
		}
	}
	return out
}

// Shuffled shards hold every sample once, in the order that the seed says.
func TestPackShuffled(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	files := map[string][]byte{}
	for i := range 40 {
		files[fmt.Sprintf("%d/%02d.jpg", i/10, i)] = append([]byte{0xff, 0xd8, 0xff}, byte(i))
	}
	writeTree(t, dir, files)
	from, err := Open(ctx, "folder:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	out := t.TempDir()
	if _, err := Pack(ctx, from, PackOptions{Dir: out, Shuffle: true, Seed: 5}); err != nil {
		t.Fatal(err)
	}
	to, err := Open(ctx, "wds:"+out, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	order := NewOrder(5, from.Len())
	var a, b schemas.Sample
	for id := range to.Len() {
		if err := errors.Join(to.Read(ctx, id, &a), from.Read(ctx, order.At(0, id), &b)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Data, b.Data) || a.Label != b.Label {
			t.Fatalf("sample %d is %v of class %d, want %v of %d", id, a.Data, a.Label, b.Data, b.Label)
		}
	}
}

func TestPackRefusesAndCleansUp(t *testing.T) {
	ctx := context.Background()
	from, cacheDir := t.TempDir(), t.TempDir()
	writeTree(t, from, map[string][]byte{"a/1.jpg": jpegBytes(t, 8, 8), "a/2.jpg": jpegBytes(t, 9, 8)})
	src, err := Open(ctx, "folder:"+from, Options{CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	out := t.TempDir()
	small := PackOptions{Dir: out, ShardBytes: 1}
	for _, o := range []PackOptions{{}, {Dir: out, Prefix: "../x"}, {Dir: out, ShardBytes: -1}} {
		if _, err := Pack(ctx, src, o); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%+v: %v", o, err)
		}
	}

	// Interrupted after the first shard: nothing may be left.
	cancelled, cancel := context.WithCancel(ctx)
	o := small
	o.Progress = func(done, _ int64) {
		if done == 1 {
			cancel()
		}
	}
	if _, err := Pack(cancelled, src, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if entries, _ := os.ReadDir(out); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}

	if _, err := Pack(ctx, src, small); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(ctx, src, small); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("a second pack: %v", err)
	}
	// Overwriting with fewer shards leaves none of the old ones.
	whole := PackOptions{Dir: out, Overwrite: true}
	if m, err := Pack(ctx, src, whole); err != nil || len(m.Shards) != 1 {
		t.Fatalf("overwrite: %+v, %v", m, err)
	}
	shards, _ := filepath.Glob(filepath.Join(out, "*.tar"))
	same(t, "shards", shards, []string{filepath.Join(out, "train-000000.tar")})

	packed, err := Open(ctx, "wds:"+out, Options{CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	if _, err := Pack(ctx, packed, whole); !errors.Is(err, errs.ErrUsage) || !slices.Equal(shards, []string{filepath.Join(out, "train-000000.tar")}) {
		t.Errorf("packing onto itself: %v", err)
	}
	if _, err := os.Stat(shards[0]); err != nil {
		t.Errorf("packing onto itself removed the data: %v", err)
	}
}

// What the sidecar says about shards is checked, and missing ones are noticed.
func TestSidecar(t *testing.T) {
	ctx := context.Background()
	from := t.TempDir()
	writeTree(t, from, map[string][]byte{"a/1.jpg": jpegBytes(t, 8, 8), "b/2.jpg": jpegBytes(t, 9, 8)})
	src, err := Open(ctx, "folder:"+from, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	pack := func() string {
		dir := t.TempDir()
		if _, err := Pack(ctx, src, PackOptions{Dir: dir, ShardBytes: 1}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	open := func(uri string) (Source, error) {
		s, err := Open(ctx, uri, Options{CacheDir: t.TempDir()})
		if err == nil {
			t.Cleanup(func() { s.Close() })
		}
		checkOneLine(t, err)
		return s, err
	}

	// A copy that was damaged on the way, and indexed for the first time here.
	dir := pack()
	flip(t, filepath.Join(dir, "train-000001.tar"), tarBlock+30)
	s, err := open("wds:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Verify(ctx, s, VerifyOptions{})
	if err != nil || len(rep.Damaged) != 1 || rep.Damaged[0].Shard != "train-000001.tar" {
		t.Errorf("verify: %+v, %v", rep, err)
	}

	dir = pack()
	if err := os.Remove(filepath.Join(dir, "train-000000.tar")); err != nil {
		t.Fatal(err)
	}
	if _, err := open("wds:" + dir); !errors.Is(err, errs.ErrNotFound) || !strings.Contains(err.Error(), "train-000000.tar") {
		t.Errorf("a shard is missing: %v", err)
	}
	if s, err := open("wds:" + dir + "/train-*.tar"); err != nil || s.Len() != 1 {
		t.Errorf("a part that is asked for by a glob: %v", err)
	}

	side := filepath.Join(dir, "train.manifest.json")
	for _, bad := range []string{"{", `{"format":"x","split":"train"}`, `{"format":"wds","split":"train","classes":["only a"]}`} {
		if err := os.WriteFile(side, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := open("wds:" + dir + "/train-*.tar"); !errors.Is(err, errs.ErrCorrupt) {
			t.Errorf("sidecar %s: %v", bad, err)
		}
	}
}
