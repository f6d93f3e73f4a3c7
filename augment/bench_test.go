package augment

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas"
)

// imagenetFiles are the first n pictures of the sample tar, or a skip.
func imagenetFiles(tb testing.TB, n int) [][]byte {
	tb.Helper()
	dir := os.Getenv("RESSLT_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(dir, "imagenet-sample-700.tar"))
	if err != nil {
		tb.Skipf("no sample of ImageNet (set RESSLT_DATA): %v", err)
	}
	defer f.Close()
	var out [][]byte
	for tr := tar.NewReader(f); len(out) < n; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && h.Size > 0 {
			b, err := io.ReadAll(tr)
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, b)
		}
	}
	return out
}

func benchmarkRender(b *testing.B, preset string, samples []*schemas.Sample) {
	p, err := Preset(preset)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range EngineNames() {
		b.Run(name, func(b *testing.B) {
			e, err := EngineByName(name)
			if err != nil {
				b.Fatal(err)
			}
			rig := newRig(b, e, p)
			rig.render(samples[0], 0)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				rig.render(samples[i%len(samples)], int64(i))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

// BenchmarkFashion is weak + strong 32×32 of a raw grey 28×28 sample.
func BenchmarkFashion(b *testing.B) {
	s := &schemas.Sample{Key: "raw", Encoding: schemas.RawGray, Width: 28, Height: 28, Data: make([]byte, 28*28)}
	for i := range s.Data {
		s.Data[i] = byte(i * i)
	}
	benchmarkRender(b, "small", []*schemas.Sample{s})
}

// BenchmarkCIFAR is weak + strong 32×32 of a raw RGB 32×32 sample.
func BenchmarkCIFAR(b *testing.B) {
	s := &schemas.Sample{Key: "raw", Encoding: schemas.RawRGB, Width: 32, Height: 32, Data: make([]byte, 3*32*32)}
	for i := range s.Data {
		s.Data[i] = byte(i * i)
	}
	benchmarkRender(b, "small", []*schemas.Sample{s})
}

// BenchmarkImageNet is weak + strong 224 of real JPEGs.
func BenchmarkImageNet(b *testing.B) {
	var samples []*schemas.Sample
	for i, data := range imagenetFiles(b, 64) {
		samples = append(samples, &schemas.Sample{ID: int64(i), Key: "jpeg", Data: data})
	}
	benchmarkRender(b, "imagenet", samples)
}
