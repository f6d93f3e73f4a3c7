package ingest

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas"
)

// realData is the folder of real images: $RESSLT_DATA, or ../shared/data beside
// the repository.
func realData(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("RESSLT_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared", "data")
		}
	}
	return "data"
}

func imagenetSample(t testing.TB) string {
	t.Helper()
	path := filepath.Join(realData(t), "imagenet-sample-700.tar")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no real images: set RESSLT_DATA to a folder that holds %s", filepath.Base(path))
	}
	return path
}

// 700 real ImageNet JPEGs, out of a tar that another tool wrote.
func TestImageNetTar(t *testing.T) {
	ctx := context.Background()
	src, err := Open(ctx, "wds:"+imagenetSample(t), Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.Len() != 700 {
		t.Fatalf("%d samples", src.Len())
	}
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(ctx, id, &s); err != nil {
			t.Fatal(err)
		}
		if _, err := jpeg.DecodeConfig(bytes.NewReader(s.Data)); err != nil {
			t.Errorf("%s does not begin as a JPEG: %v", s.Key, err)
		}
		if !bytes.Contains(s.Data[len(s.Data)-64:], []byte{0xff, 0xd9}) {
			t.Errorf("%s does not end as a JPEG", s.Key)
		}
	}
}

func BenchmarkReadImageNetTar(b *testing.B) {
	ctx := context.Background()
	src, err := Open(ctx, "wds:"+imagenetSample(b), Options{CacheDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	order := NewOrder(1, src.Len())
	var s schemas.Sample
	var bytes int64
	b.ReportAllocs()
	for i := range int64(b.N) {
		if err := src.Read(ctx, order.At(i/src.Len(), i%src.Len()), &s); err != nil {
			b.Fatal(err)
		}
		bytes += int64(len(s.Data))
	}
	b.SetBytes(bytes / int64(b.N))
}

// BenchmarkOpenFolder opens a folder of 20,000 files whose index is cached.
func BenchmarkOpenFolder(b *testing.B) {
	dir, cache := b.TempDir(), b.TempDir()
	const n = 20_000
	for c := range 20 {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint(c)), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint(i%20), fmt.Sprintf("n%08d.JPEG", i))
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			b.Fatal(err)
		}
		age(b, path)
	}
	open := func() {
		src, err := Open(context.Background(), "folder:"+dir, Options{CacheDir: cache})
		if err != nil {
			b.Fatal(err)
		}
		src.Close()
	}
	open() // builds the index
	for b.Loop() {
		open()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/file")
}
