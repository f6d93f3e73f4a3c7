package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/augment"
	"resslt/augment/packed"
	"resslt/cmd/internal/packing"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/ingest/store/storetest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/backbone"
)

// needCodec skips in builds that make no packs.
func needCodec(t *testing.T) {
	t.Helper()
	if _, err := packing.NewCodec("dct", packing.Options{}); errors.Is(err, errs.ErrUnsupported) {
		t.Skip("built without cgo: packs are not made")
	}
}

// tarFiles are the members of a tar.
func tarFiles(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

// packedSets packs a folder of pictures of many kinds: as they are, and by the codec.
func packedSets(t *testing.T) (plain, dct string, summary packSummary) {
	t.Helper()
	needCodec(t)
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	for name, b := range tarFiles(t, "../../augment/packed/testdata/jpegs.tar") {
		write(t, filepath.Join(source, "many", name), b)
	}
	for name, b := range tarFiles(t, "../../augment/packed/testdata/odd.tar") {
		write(t, filepath.Join(source, "odd", name), b)
	}
	png, err := os.ReadFile("../../augment/testdata/parity/picture.png")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(source, "odd", "a.png"), png)
	plain, dct = filepath.Join(dir, "plain"), filepath.Join(dir, "dct")
	for out, codec := range map[string]string{plain: "", dct: "dct"} {
		text, err := shardsVerb(t, "pack", "--data", "folder:"+source, "--out", out, "--shard-size", "40kB", "--cache", t.TempDir(),
			"--workers", "3", "--check-every", "1", "--codec", codec, "--json")
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if codec != "" {
			lastJSON(t, text, &summary)
		}
	}
	return plain, dct, summary
}

func openSet(t *testing.T, uri string) ingest.Source {
	t.Helper()
	src, err := ingest.Open(t.Context(), uri, ingest.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func TestPackedShards(t *testing.T) {
	t.Parallel()
	plain, dct, summary := packedSets(t)
	r := summary.Recoded
	left := int64(0)
	for _, n := range r.Left {
		left += n
	}
	if r.Packed < 100 || r.Packed+left != summary.Samples || r.Checked != r.Packed || r.Left["PNG"] != 1 || r.BytesAfter < r.BytesBefore {
		t.Errorf("packed: %+v", r)
	}
	t.Logf("%+v", r)

	// Ids, labels and the samples of each shard are those of the plain pack.
	a, b := openSet(t, "wds:"+plain), openSet(t, "wds:"+dct)
	if a.Manifest().Format != "wds" || b.Manifest().Format != "wds-dct" || b.Manifest().Digest() != summary.Digest {
		t.Errorf("formats %s and %s, digest %s, want %s", a.Manifest().Format, b.Manifest().Format, b.Manifest().Digest(), summary.Digest)
	}
	if !slices.Equal(a.Manifest().ShardSamples(), b.Manifest().ShardSamples()) || !slices.Equal(a.Manifest().Classes, b.Manifest().Classes) || len(a.Manifest().Shards) < 3 {
		t.Errorf("shards %v and %v", a.Manifest().ShardSamples(), b.Manifest().ShardSamples())
	}
	packs := int64(0)
	var restorer packed.Restorer
	for id := range a.Len() {
		var x, y schemas.Sample
		if err := errors.Join(a.Read(t.Context(), id, &x), b.Read(t.Context(), id, &y)); err != nil {
			t.Fatal(err)
		}
		got := y.Data
		if packed.Is(y.Data) {
			packs++
			var err error
			if got, err = restorer.Restore(y.Data, packed.Limits{MaxPixels: 1e8, MaxBytes: 1 << 26, MaxSide: 65535}); err != nil {
				t.Fatalf("%s: %v", y.Key, err)
			}
		}
		if !bytes.Equal(x.Data, got) || x.Label != y.Label || strings.TrimSuffix(x.Key, filepath.Ext(x.Key)) != strings.TrimSuffix(y.Key, filepath.Ext(y.Key)) {
			t.Errorf("sample %d: %s, label %d; %s, label %d", id, x.Key, x.Label, y.Key, y.Label)
		}
	}
	if packs != r.Packed {
		t.Errorf("%d packs, the summary has %d", packs, r.Packed)
	}

	// Unpacked, they are the plain shards, byte for byte.
	back := t.TempDir()
	text, err := shardsVerb(t, "unpack", "--data", "wds:"+dct, "--out", back, "--shard-size", "40kB", "--json", "--cache", t.TempDir())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	files, err := filepath.Glob(filepath.Join(plain, "*"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		want, err1 := os.ReadFile(f)
		got, err2 := os.ReadFile(filepath.Join(back, filepath.Base(f)))
		if err1 != nil || err2 != nil || !bytes.Equal(want, got) {
			t.Errorf("%s differs once it was packed and unpacked (%v %v)", filepath.Base(f), err1, err2)
		}
	}

	// Packing what is packed changes nothing.
	again := t.TempDir()
	text, err = shardsVerb(t, "pack", "--data", "wds:"+dct, "--out", again, "--shard-size", "40kB", "--codec", "dct", "--json", "--cache", t.TempDir())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var second packSummary
	if lastJSON(t, text, &second); second.Digest != summary.Digest || second.Recoded.Kept != r.Packed {
		t.Errorf("packed again: %+v", second.Recoded)
	}
}

// Views of packed data are those of the plain data: by every engine, also of pictures that
// stay as they are, and of those that nobody can decode.
func TestPackedViews(t *testing.T) {
	t.Parallel()
	plain, dct, _ := packedSets(t)
	a, b := openSet(t, "wds:"+plain), openSet(t, "wds:"+dct)
	policy, err := pipeline.Policy("small", 32)
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{"turbo", "gift", "ref"} {
		views := func(src ingest.Source) (out []string) {
			e, err := pipeline.EngineOf(family, src.Manifest())
			if err != nil {
				t.Fatal(err)
			}
			r, err := augment.NewRenderer(e, policy)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			pixels := [][]byte{make([]byte, 3*32*32), make([]byte, 3*32*32)}
			for id := range src.Len() {
				var s schemas.Sample
				if err := src.Read(t.Context(), id, &s); err != nil {
					t.Fatal(err)
				}
				plans, err := r.Render(&s, augment.Key{Seed: 3, Sample: id}, pixels, nil)
				if bad := schemas.AsBadSample(err); bad != nil {
					out = append(out, "bad")
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, fmt.Sprintf("%x %x", plans, pixels))
			}
			return out
		}
		x, y := views(a), views(b)
		bad := 0
		for id := range x {
			if x[id] != y[id] {
				t.Errorf("%s: sample %d differs", family, id)
			}
			if x[id] == "bad" {
				bad++
			}
		}
		if bad == 0 || bad > len(x)/5 {
			t.Errorf("%s: %d of %d can't be decoded", family, bad, len(x))
		}
	}
	if _, err := pipeline.EngineOf("turbo/1", b.Manifest()); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("turbo/1 for packed data: %v", err)
	}
	for _, family := range []string{"turbo", "gift", "ref"} { // those of before see no picture in a pack, and say that it is not the picture's fault
		e, err := augment.EngineByFamily(family)
		if err != nil {
			t.Fatal(err)
		}
		var s schemas.Sample
		for id := int64(0); !packed.Is(s.Data); id++ {
			if err := b.Read(t.Context(), id, &s); err != nil {
				t.Fatal(err)
			}
		}
		p := e.NewPainter(augment.DefaultLimits)
		if _, _, err := p.Open(&s); !errors.Is(err, errs.ErrMismatch) || schemas.AsBadSample(err) != nil {
			t.Errorf("%s opens a pack: %v", e.Name(), err)
		}
		p.Close()
	}
}

// verify finds a pack that was damaged before it was stored, which no hash of a shard shows.
func TestVerifyRestoresPacks(t *testing.T) {
	t.Parallel()
	needCodec(t)
	source, dct, bad := t.TempDir(), t.TempDir(), t.TempDir()
	for i := range 4 {
		write(t, filepath.Join(source, fmt.Sprintf("%d.jpg", i)), jpegFile(t, 40, i+1))
	}
	if text, err := shardsVerb(t, "pack", "--data", "folder:"+source, "--out", dct, "--codec", "dct", "--cache", t.TempDir()); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if text, err := shardsVerb(t, "verify", "--data", "wds:"+dct, "--cache", t.TempDir()); err != nil || !strings.Contains(text, "4 packs restored") {
		t.Fatalf("%v\n%s", err, text)
	}
	members := tarFiles(t, filepath.Join(dct, "train-000000.tar"))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, name := range slices.Sorted(maps.Keys(members)) {
		data := members[name]
		if i == 2 {
			parts, err := packed.PartsOf(data)
			if err != nil {
				t.Fatal(err)
			}
			data[parts.Header] ^= 1 // of the coefficients or behind them
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bad, "x.tar"), b.Bytes())
	text, err := shardsVerb(t, "verify", "--data", "wds:"+bad, "--cache", t.TempDir())
	if !errors.Is(err, errs.ErrCorrupt) || !strings.Contains(text, "damaged") || !strings.Contains(text, "000000002.rdct") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := shardsVerb(t, "unpack", "--data", "wds:"+bad, "--out", t.TempDir(), "--cache", t.TempDir()); !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("unpacked: %v", err)
	}
}

// packedRunSets are small pictures, packed both ways, with manifest and index.
func packedRunSets(t *testing.T) (plain, dct string) {
	t.Helper()
	needCodec(t)
	dir := t.TempDir()
	for i := range 48 {
		write(t, filepath.Join(dir, "in", fmt.Sprint(i%3), fmt.Sprintf("%d.jpg", i)), jpegFile(t, 40+i, i+1))
	}
	plain, dct = filepath.Join(dir, "plain"), filepath.Join(dir, "dct")
	for out, codec := range map[string]string{plain: "", dct: "dct"} {
		for _, args := range [][]string{
			{"pack", "--data", "folder:" + filepath.Join(dir, "in"), "--out", out, "--codec", codec},
			{"index", "--data", "wds:" + out, "--manifest", filepath.Join(out, "train.manifest.json")},
		} {
			if text, err := shardsVerb(t, append(args, "--cache", t.TempDir())...); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
		}
	}
	return plain, dct
}

// A run on packed data is the run on the plain data: from a disk, from a web server by its
// manifest, and with a worker elsewhere.
func TestPackedRunIsThePlainRun(t *testing.T) {
	needTorch(t)
	t.Parallel()
	plain, dct := packedRunSets(t)
	args := func(verb, data string, more ...string) []string {
		a := append([]string{verb, "--recipe", "images", "--data", data, "--out", t.TempDir(), "--json"}, more...)
		for _, kv := range []string{"image_size=32", "epochs=2", "batch_size=8", "K=16", "width=8", "eval=[none]"} {
			a = append(a, "--set", kv)
		}
		return a
	}
	want := summaryOf(t, args("run", "wds:"+plain)...)
	same := func(what string, got train.Summary) {
		t.Helper()
		sameWeights(t, what, got, want)
		if got.ChunksTombstoned != 0 || !strings.HasSuffix(want.Engine, "/2") || !strings.HasSuffix(got.Engine, "/3") {
			t.Errorf("%s: %d tombstones, engines %s and %s", what, got.ChunksTombstoned, want.Engine, got.Engine)
		}
	}
	same("packed", summaryOf(t, args("run", "wds:"+dct)...))

	srv := storetest.StartWeb(t, true)
	uri := ""
	for _, name := range []string{"train-000000.tar", "train.index", "train.manifest.json"} { // the last is what is named
		b, err := os.ReadFile(filepath.Join(dct, name))
		if err != nil {
			t.Fatal(err)
		}
		uri = srv.Put("packed/"+name, b)
	}
	same("from a web server", summaryOf(t, args("run", "wds:"+uri, "--cache-bytes", "0")...))

	url := natsServer(t)
	start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
	same("by a farm", summaryOf(t, args("train", "wds:"+dct, "--nats", url)...))
}

// Verbs that open data themselves see no difference either.
func TestPackedVerbs(t *testing.T) {
	needTorch(t)
	t.Parallel()
	plain, dct := packedRunSets(t)
	dir := t.TempDir()
	b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	encoder := filepath.Join(dir, "e.safetensors")
	if err := train.SaveEncoder(encoder, b, train.EncoderInfo{Backbone: "resnet18", Width: 4, Stem: "small", ImageSize: 32, Std: [3]float64{1, 1, 1}}); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"embed":   {"embed", "--checkpoint", encoder, "--threads", "1", "--out", "OUT.npy"},
		"eval":    {"eval", "knn", "--checkpoint", encoder, "--threads", "1", "--eval-split", "train", "--k", "5", "--out", "-"},
		"inspect": {"inspect", "--policy", "small", "--count", "3", "--out", "OUT.png"}, // it prints names and engine
	} {
		var made [][]byte
		for i, data := range []string{plain, dct} {
			var out string
			run := slices.Clone(args)
			for k, a := range run {
				if strings.HasPrefix(a, "OUT") {
					out = filepath.Join(dir, fmt.Sprint(name, i, a[3:]))
					run[k] = out
				}
			}
			o := resslt(t, append(run, "--data", "wds:"+data)...)
			if o.code != 0 {
				t.Fatalf("%s: exit %d: %s", name, o.code, o.stderr)
			}
			text := strings.TrimSpace(o.stdout)
			b := []byte(text[:max(strings.LastIndex(text, "\n"), 0)]) // the last line has the time that it took
			if name == "embed" {
				var err error
				if b, err = os.ReadFile(out); err != nil {
					t.Fatal(err)
				}
			}
			made = append(made, b)
		}
		if !bytes.Equal(made[0], made[1]) {
			t.Errorf("%s differs", name)
		}
	}
}
