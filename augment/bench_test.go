package augment

import (
	"testing"

	"resslt/augment/augmenttest"
	"resslt/schemas"
)

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
			rig.Render(samples[0], 0)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				rig.Render(samples[i%len(samples)], int64(i))
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
	benchmarkRender(b, "imagenet", augmenttest.Photos(b, "..", 64))
}
