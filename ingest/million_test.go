package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// linkFiles makes a folder of n files, hard links to a few: a million of their own would
// take 4 GB of most disks.
func linkFiles(t testing.TB, dir string, n int) {
	t.Helper()
	const each = 50_000 // links that a file may have
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		from := filepath.Join(dir, fmt.Sprintf("%d.bin", i/each))
		if i%each == 0 {
			if err := os.WriteFile(from, fmt.Append(nil, i), 0o644); err != nil {
				t.Fatal(err)
			}
			age(t, from)
		}
		if err := os.Link(from, filepath.Join(dir, "a", fmt.Sprintf("%09d.jpg", i*7919%n))); err != nil {
			t.Fatal(err)
		}
	}
}

// A folder is read in blocks, in the disk's order, and listed in that of the names.
func TestManyFilesInOneFolder(t *testing.T) {
	const n = 10_007 // some blocks, and not a whole number of them
	dir := t.TempDir()
	linkFiles(t, dir, n)
	src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for i, key := range keysOf(t, src) {
		if want := fmt.Sprintf("a/%09d.jpg 0", i); key != want {
			t.Fatalf("sample %d is %s, want %s", i, key, want)
		}
	}
	if src.Len() != n {
		t.Errorf("%d samples", src.Len())
	}
}

// BenchmarkOpenFolderMillion opens 1,000,000 files in one folder, once to index and hash
// them, then by the cached index: time, what is held of memory, and the most that is used
// meanwhile.
func BenchmarkOpenFolderMillion(b *testing.B) {
	const n = 1_000_000
	dir, cache := b.TempDir(), b.TempDir()
	linkFiles(b, dir, n)
	for _, name := range []string{"index", "cached"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: cache})
				if err != nil {
					b.Fatal(err)
				}
				if src.Len() != n {
					b.Fatalf("%d samples", src.Len())
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapSys)/1e6, "MB-heap")
				b.ReportMetric(float64(heap()-before)/n, "B/sample")
				runtime.KeepAlive(src)
				if err := src.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenMillion opens 1,000,000 samples in 1,000 shards by their published
// index: time, and what the open data set holds of memory.
func BenchmarkOpenMillion(b *testing.B) {
	const shards, per, size = 1000, 1000, 100 << 10
	dir := b.TempDir()
	x := newIndex()
	for s := range shards {
		c := &columns{}
		for i := range per {
			if err := c.addName(fmt.Appendf(nil, "%09d.jpg", s*per+i)); err != nil {
				b.Fatal(err)
			}
			c.sizes = append(c.sizes, size)
			c.labels = append(c.labels, int32(s))
			c.offsets = append(c.offsets, int64(i)*(size+tarBlock)+tarBlock)
		}
		name := fmt.Sprintf("train-%06d.tar", s)
		if err := x.addShard(Shard{Name: name, Bytes: per * (size + tarBlock), SHA256: fmt.Sprintf("%064d", s)}, c); err != nil {
			b.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Truncate(per * (size + tarBlock)); err != nil { // a hole: no bytes on the disk
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	m := &Manifest{Format: "wds", Split: Train, Samples: x.Samples, Shards: x.Shards}
	if err := WriteManifest(&wdsSource{manifest: m, shardFiles: &shardFiles{x: x}}, filepath.Join(dir, "train"+manifestEnd)); err != nil {
		b.Fatal(err)
	}
	x = nil
	var held uint64
	for b.Loop() {
		before := heap()
		src, err := Open(context.Background(), "wds:"+dir+"/train"+manifestEnd, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if src.Len() != shards*per {
			b.Fatalf("%d samples", src.Len())
		}
		held = heap() - before
		runtime.KeepAlive(src)
		if err := src.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(held)/(shards*per), "B/sample")
}
