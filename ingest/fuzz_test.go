package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas"
	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
)

// FuzzIndex: an index whose check sum is right, and nothing else need be.
func FuzzIndex(f *testing.F) {
	for _, folder := range []bool{false, true} {
		x := newIndex()
		c := &columns{sizes: []uint32{1}, labels: []int32{0}}
		if folder {
			c.mtimes, c.sums = []int64{1}, make([][sumSize]byte, 1)
		} else {
			c.offsets = []int64{512}
			x.Stamps = []stamp{{Size: 1024}}
		}
		if err := errors.Join(c.addName([]byte("1.jpg")), x.addShard(Shard{Name: "a"}, c)); err != nil {
			f.Fatal(err)
		}
		path := filepath.Join(f.TempDir(), "x.idx")
		if err := (&cache{key: "k"}).write(path, x); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		b := append(bytes.Clone(body), sum[:]...)
		boundedtest.Allocates(t, 1<<20, 500, len(b), func() {
			x, err := parseIndex(b)
			if err != nil {
				if !errors.Is(err, errs.ErrCorrupt) {
					t.Errorf("an error of no kind: %v", err)
				}
				return
			}
			for id := range x.Samples {
				_, _ = x.name(id), x.Shards[x.shardOf(id)]
			}
			_ = x.survey()
		})
	})
}

// FuzzManifest: a manifest next to a shard and without an index.
func FuzzManifest(f *testing.F) {
	shard := tarBytes(f, tarFile{"1.jpg", []byte("image")}, tarFile{"1.cls", []byte("0")})
	m := Manifest{Format: "wds", Split: Train, Samples: 1, Classes: []string{"a"}, Shards: []Shard{{Name: "x-000000.tar", Samples: 1, Bytes: int64(len(shard)), SHA256: hexSum(sha256.Sum256(shard))}}}
	raw, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format":"wds","split":"train","samples":-1,"shards":[{"name":"../x"}]}`))
	f.Add([]byte(`{"format":"wds","split":"train","shards":[{"name":"x-000000.tar","samples":9223372036854775807,"bytes":-1}]}`))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x-000000.tar"), shard, 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		place := filepath.Join(dir, "x.manifest.json")
		if err := os.WriteFile(place, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		boundedtest.Allocates(t, 16<<20, 500, len(raw), func() {
			for _, uri := range []string{"wds:" + place, "wds:" + filepath.Join(dir, "x-000000.tar")} {
				src, err := Open(context.Background(), uri, Options{CacheDir: dir, Workers: 1})
				var e *errs.Error
				if err != nil {
					if !errors.As(err, &e) {
						t.Errorf("an error of no kind: %v", err)
					}
					continue
				}
				var s schemas.Sample
				for id := range min(src.Len(), 4) {
					_ = src.Read(context.Background(), id, &s) // a shard that is not there
				}
				src.Close()
			}
		})
	})
}

func FuzzBraces(f *testing.F) {
	for _, s := range []string{"x-{000..012}.tar", "{a,b}/{0..9}{0..9}", "{,}{,}{,}", "{0..1048575}", "{9..0}", "{{a,b}}", "{99999999999999999999..0}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, glob string) {
		boundedtest.Allocates(t, 2<<30, 0, 0, func() {
			if names, err := expandBraces(glob); err == nil && len(names) > maxBraceShards {
				t.Errorf("%d names", len(names))
			}
		})
	})
}

// FuzzFileList: a list of Food-101, whose lists name classes and files.
func FuzzFileList(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"food-101/meta/classes.txt", "food-101/images/pizza/7.jpg"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("pizza\n"), 0o644)); err != nil {
			f.Fatal(err)
		}
	}
	for _, s := range []string{"pizza/7\n", "pizza/7\npizza/7\n", "pizza/../pizza/7\n", "pizza/7\r\n\n", "\x00/7\n", "pizza/" + string(bytes.Repeat([]byte("a"), 5000))} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		if err := os.WriteFile(filepath.Join(dir, "food-101/meta/train.txt"), list, 0o644); err != nil {
			t.Fatal(err)
		}
		boundedtest.Allocates(t, 4<<20, 1000, len(list), func() {
			src, err := Open(context.Background(), "food101:"+dir, Options{CacheDir: dir, Workers: 1})
			if err != nil {
				var e *errs.Error
				if !errors.As(err, &e) {
					t.Errorf("an error of no kind: %v", err)
				}
				return
			}
			src.Close()
		})
	})
}

// A list of mates is anything: it opens, and each id below the spec's is a sample or has an error of a kind, or
// it is refused.
func FuzzMates(f *testing.F) {
	shard := tarBytes(f, tarFile{"1.jpg", []byte("image")}, tarFile{"1.cls", []byte("0")}, tarFile{"2.jpg", []byte("another")}, tarFile{"2.cls", []byte("1")})
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x-000000.tar"), shard, 0o644); err != nil {
		f.Fatal(err)
	}
	f.Add(npy(f, "<i4", []int64{1, 0}, 1))
	f.Add(npy(f, "<i8", []int64{1, 1, 0, 0}, 2))
	f.Add(npy(f, "<i8", []int64{-1, 1 << 40}, 1))
	f.Add([]byte("\x93NUMPY\x01\x00\xff\xff{'descr': '<i4', 'fortran_order': False, 'shape': (999999999999999999, 999999999), }\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list := filepath.Join(dir, "near.npy")
		if err := os.WriteFile(list, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		// FuzzManifest's bound: a set of the same kind lies under the list.
		boundedtest.Allocates(t, 16<<20, 500, len(raw), func() {
			src, err := Open(context.Background(), "mates:"+list+"+wds:"+filepath.Join(dir, "x-000000.tar"), Options{CacheDir: dir, Workers: 1})
			var e *errs.Error
			if err != nil {
				if !errors.As(err, &e) {
					t.Errorf("an error of no kind: %v", err)
				}
				return
			}
			defer src.Close()
			spec := src.Manifest().Spec()
			for id := range spec.Samples * spec.Repeats() {
				var s schemas.Sample
				if err := src.Read(context.Background(), id, &s); err == nil && s.ID != id || err != nil && !errors.As(err, &e) {
					t.Errorf("sample %d is %d: %v", id, s.ID, err)
				}
			}
		})
	})
}
