package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

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
