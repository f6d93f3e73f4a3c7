package ingest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

func TestConformance(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) { conformance(t, f) })
	}
}

// conformance is what every Source must do.
func conformance(t *testing.T, f fixture) {
	ctx := context.Background()
	dir, opt := t.TempDir(), Options{CacheDir: t.TempDir()}
	f.write(t, dir)
	open := func(t *testing.T, dir string, opt Options) Source {
		t.Helper()
		src, err := f.open(ctx, dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close() })
		return src
	}

	t.Run("samples", func(t *testing.T) {
		src := open(t, dir, opt)
		m := src.Manifest()
		if src.Len() != int64(len(f.want)) || m.Samples != src.Len() {
			t.Fatalf("Len %d, manifest %d, want %d", src.Len(), m.Samples, len(f.want))
		}
		if len(m.Classes) != f.names {
			t.Errorf("classes %q, want %d", m.Classes, f.names)
		}
		var inShards int64
		for _, s := range m.Shards {
			inShards += s.Samples
			if len(s.SHA256) != 64 || filepath.IsAbs(s.Name) {
				t.Errorf("shard %+v", s)
			}
		}
		if inShards != m.Samples {
			t.Errorf("shards hold %d samples of %d", inShards, m.Samples)
		}
		keys := map[string]bool{}
		for id, want := range f.want {
			var got schemas.Sample
			if err := src.Read(ctx, int64(id), &got); err != nil {
				t.Fatal(err)
			}
			if got.ID != int64(id) || got.Label != want.Label || got.Encoding != want.Encoding ||
				got.Width != want.Width || got.Height != want.Height || !bytes.Equal(got.Data, want.Data) {
				t.Errorf("sample %d (%s) is label %d, encoding %d, %d×%d, %d bytes; want label %d, encoding %d, %d×%d, %d bytes",
					id, got.Key, got.Label, got.Encoding, got.Width, got.Height, len(got.Data),
					want.Label, want.Encoding, want.Width, want.Height, len(want.Data))
			}
			if got.Key == "" || keys[got.Key] {
				t.Errorf("key %q is empty or not its own", got.Key)
			}
			keys[got.Key] = true
		}
	})

	t.Run("reads share no memory", func(t *testing.T) {
		src := open(t, dir, opt)
		var a, b schemas.Sample
		for _, s := range []*schemas.Sample{&a, &b} {
			if err := src.Read(ctx, 0, s); err != nil {
				t.Fatal(err)
			}
		}
		clear(a.Data)
		if !bytes.Equal(b.Data, f.want[0].Data) {
			t.Error("two reads share memory")
		}
		if err := src.Read(ctx, 0, &a); err != nil || !bytes.Equal(a.Data, f.want[0].Data) {
			t.Errorf("a read after its buffer was written to differs (%v)", err)
		}
		big := make([]byte, 0, 1<<20)
		c := schemas.Sample{Data: big}
		if err := src.Read(ctx, 0, &c); err != nil {
			t.Fatal(err)
		}
		if &c.Data[0] != &big[:1][0] {
			t.Error("capacity was not reused")
		}
	})

	t.Run("concurrent", func(t *testing.T) {
		src := open(t, dir, opt)
		var g errgroup.Group
		for w := range 8 {
			g.Go(func() error {
				var s schemas.Sample
				for i := range 200 {
					id := int64(i*(w+1)+w) % src.Len()
					if err := src.Read(ctx, id, &s); err != nil {
						return err
					}
					if s.ID != id || !bytes.Equal(s.Data, f.want[id].Data) {
						return errors.New("another sample's bytes")
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("errors", func(t *testing.T) {
		src := open(t, dir, opt)
		var s schemas.Sample
		spec := src.Manifest().Spec() // which has more ids than there are samples, of data with mates
		for _, id := range []int64{-1, spec.Samples * spec.Repeats(), 1 << 62} {
			if err := src.Read(ctx, id, &s); !errors.Is(err, errs.ErrNotFound) {
				t.Errorf("id %d: %v", id, err)
			}
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := src.Read(cancelled, 0, &s); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		for range 2 {
			if err := src.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if err := src.Read(ctx, 0, &s); !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
		small := opt
		small.MaxSampleBytes = 4
		if src, err := f.open(ctx, dir, small); err == nil {
			t.Cleanup(func() { src.Close() })
			if f.want[0].Encoding == schemas.Encoded {
				err = src.Read(ctx, 0, &s)
			} else {
				err = errs.ErrTooLarge // the shape of these is fixed by the format
			}
			if !errors.Is(err, errs.ErrTooLarge) {
				t.Errorf("over the cap: %v", err)
			}
		} else if !errors.Is(err, errs.ErrTooLarge) {
			t.Errorf("over the cap: %v", err)
		}
	})

	t.Run("identity", func(t *testing.T) {
		first := open(t, dir, opt).Manifest()
		if again := open(t, dir, opt).Manifest(); again.Digest() != first.Digest() {
			t.Error("digest differs on reopening")
		}
		elsewhere := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(elsewhere, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if other := open(t, elsewhere, opt).Manifest(); other.Digest() != first.Digest() {
			t.Errorf("digest differs under another path:\n%+v\n%+v", first, other)
		}
		one := opt
		one.Workers, one.CacheDir = 1, t.TempDir()
		if m := open(t, dir, one).Manifest(); m.Digest() != first.Digest() {
			t.Error("digest depends on the number of workers")
		}
		flip(t, filepath.Join(elsewhere, f.file), f.flip)
		src, err := f.open(ctx, elsewhere, opt)
		if err == nil {
			defer src.Close()
			if src.Manifest().Digest() == first.Digest() {
				t.Error("one byte changed, the digest did not")
			}
		} else if !errors.Is(err, errs.ErrCorrupt) || !strings.HasSuffix(f.file, ".gz") {
			t.Errorf("one image byte changed: %v", err)
		}
	})

	t.Run("verify", func(t *testing.T) {
		if strings.HasSuffix(f.file, ".gz") {
			t.Skip("a gzip file checks itself when it is opened")
		}
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(copied, f.file)
		age(t, path)
		src := open(t, copied, opt)
		rep, err := Verify(ctx, src, VerifyOptions{})
		if err != nil || len(rep.Damaged) != 0 || rep.Bytes != src.Manifest().Bytes() {
			t.Fatalf("sound data: %+v, %v", rep, err)
		}
		flip(t, path, f.flip)
		age(t, path) // size and time as before: bit rot
		rep, err = Verify(ctx, src, VerifyOptions{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Damaged) != 1 || filepath.Base(f.file) != filepath.Base(filepath.Join(rep.Damaged[0].Shard, rep.Damaged[0].File)) {
			t.Fatalf("damage reported: %+v", rep.Damaged)
		}
		if !errors.Is(rep.Damaged[0].Err, errs.ErrMismatch) {
			t.Errorf("damage is %v", rep.Damaged[0].Err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if rep, err = Verify(ctx, src, VerifyOptions{}); err != nil || len(rep.Damaged) != 1 || !errors.Is(rep.Damaged[0].Err, errs.ErrNotFound) {
			t.Errorf("file removed: %+v, %v", rep, err)
		}
	})

	t.Run("confirm", func(t *testing.T) { confirms(t, f, dir, opt) })

	t.Run("damaged", func(t *testing.T) {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(copied, f.file)
		b := readFile(t, path)
		if err := os.WriteFile(path, b[:len(b)-1], 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := f.open(ctx, copied, opt)
		if src != nil {
			src.Close()
		}
		if !errors.Is(err, f.short) {
			t.Errorf("last byte missing: %v", err)
		}
		checkOneLine(t, err)
		if f.short != nil && !strings.Contains(err.Error(), filepath.Base(f.file)) {
			t.Errorf("does not name the file: %v", err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		fresh := Options{CacheDir: t.TempDir()}
		if src, err := f.open(cancelled, dir, fresh); src != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled Open: %v", err)
		}
		if src, err := f.open(ctx, filepath.Join(copied, "nothing", "here"), opt); !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("missing folder: %v, %v", src, err)
		}
	})
}

// confirms checks that only bytes that were indexed can make a bad sample: those that
// changed with neither size nor time, which a decoder may refuse, are a fault.
func confirms(t *testing.T, f fixture, dir string, opt Options) {
	if strings.HasSuffix(f.file, ".gz") {
		t.Skip("a gzip file is in memory")
	}
	ctx, copied := context.Background(), t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(copied, f.file)
	age(t, path)
	faults := func(src Source) (changed, faults int) {
		var s schemas.Sample
		for id, want := range f.want {
			err := src.Read(ctx, int64(id), &s)
			if err == nil {
				if !bytes.Equal(s.Data, want.Data) {
					changed++
				}
				err = Confirm(ctx, src, &s)
			}
			if err == nil {
				continue
			}
			if faults++; schemas.AsBadSample(err) != nil {
				t.Errorf("a bad sample: %v", err)
			}
			checkOneLine(t, err)
		}
		return changed, faults
	}
	open := func() Source {
		src, err := f.open(ctx, copied, opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close() })
		return src
	}
	if changed, n := faults(open()); changed != 0 || n != 0 {
		t.Fatalf("sound data: %d samples changed, %d faults", changed, n)
	}
	if f.want[0].Encoding != schemas.Encoded {
		return // no decoder refuses raw pixels
	}
	src := open()
	flip(t, path, f.flip)
	age(t, path)
	if changed, n := faults(src); n == 0 || n < changed {
		t.Errorf("a flipped bit: %d samples changed, %d faults", changed, n)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	b := readFile(t, path)
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkOneLine holds errors to the house's rule: one line, with a hint.
func checkOneLine(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if s := err.Error(); strings.Contains(s, "\n") || !strings.Contains(s, "(hint: ") {
		t.Errorf("not one line with its hint: %q", s)
	}
}

func TestOpenRefuses(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		uri, split string
		want       error
		says       string
	}{
		{"nonsense", "", errs.ErrUsage, "no scheme"},
		{"s4://bucket", "", errs.ErrUsage, "unknown scheme"},
		{"folder:", "", errs.ErrUsage, "no folder"},
		{"folder:" + empty, "", errs.ErrNotFound, "no file ends in"},
		{"folder:" + empty, Test, errs.ErrNotFound, "no split test"},
		{"folder:" + empty, "nope", errs.ErrUsage, "nope"},
		{"cifar10:" + empty, Unlabeled, errs.ErrUsage, "no such split"},
		{"cifar10:" + empty, "", errs.ErrNotFound, "cifar-10-binary.tar.gz"},
		{"cifar100:" + empty, "", errs.ErrNotFound, "cifar-100-binary.tar.gz"},
		{"stl10:" + empty, TrainUnlabeled, errs.ErrNotFound, "stl10_binary.tar.gz"},
		{"mnist:" + empty, "", errs.ErrNotFound, "IDX"},
		{"fashion-mnist:" + filepath.Join(empty, "x"), "", errs.ErrNotFound, "install the Debian package dataset-fashion-mnist"},
		{"wds:", "", errs.ErrUsage, "no shards"},
		{"wds:" + filepath.Join(empty, "*.tar"), "", errs.ErrNotFound, "no such shard"},
		{"wds:" + empty, "", errs.ErrNotFound, "no such shard"},
	} {
		src, err := Open(context.Background(), c.uri, Options{Split: c.split, CacheDir: empty})
		if why := errstest.Differs(err, c.want, c.says); src != nil || why != "" {
			t.Errorf("%s (%s): opened as %v; %s", c.uri, c.split, src, why)
		}
		checkOneLine(t, err)
	}
	for _, o := range []Options{{MaxSampleBytes: -1}, {Workers: -1}} {
		if _, err := Open(context.Background(), "folder:"+empty, o); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if s := Schemes(); len(s) != len(formats) || !slices.ContainsFunc(s, func(s Scheme) bool { return strings.HasPrefix(s.Form, "folder:DIR") }) {
		t.Errorf("schemes %+v", s)
	}
}
