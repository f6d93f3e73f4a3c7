package record

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"resslt/batcher/wire"
	"resslt/schemas"
)

// BenchmarkRecorder is what recording costs: time and bytes on disk a sample. Plans are as
// long as those of ImageNet's policies; three bytes of four are random.
func BenchmarkRecorder(b *testing.B) {
	for _, bc := range []struct {
		name   string
		pixels bool
	}{{"log", false}, {"pixels", true}} {
		b.Run(bc.name, func(b *testing.B) {
			m := newMaker()
			s := &m.run.Spec
			s.Dataset.Samples, s.BatchSize, s.StepsPerEpoch, s.Epochs = 1_281_167, 1024, 1251, 200
			s.Views[0].Size, s.Views[1].Size = 32, 32
			s.ChunkSamples = schemas.DefaultChunkSamples(s.SampleBytes(), s.BatchSize)
			m.run.Digest = s.Digest()
			dir := b.TempDir()
			o := m.options(dir, 0, Window{})
			if bc.pixels {
				o.Pixels.To = s.Steps()
			}
			r := newRecorder(b, o)
			r.opts.Order = nil // no tombstone comes
			rng := rand.New(rand.NewPCG(1, 2))
			// More steps than a batch of the log holds, or it would find them again.
			steps := make([][]*wire.Chunk, 1+2*batchRows/s.BatchSize)
			for i := range len(steps) * s.Chunks() {
				c := wire.NewChunk(s)
				c.Reset(s, 0, i%s.Chunks())
				for i := range c.Slots {
					c.Samples[i] = rng.Int64N(s.Dataset.Samples)
					c.Planned[i], c.Labels[i] = c.Samples[i], rng.Int32N(1000)
					for v, n := range []int{20, 42} {
						plan := make([]byte, n)
						for j := range plan {
							if plan[j] = byte(j); rng.IntN(4) > 0 {
								plan[j] = byte(rng.Uint32())
							}
						}
						c.Plans[v][i] = plan
					}
				}
				c.Digest = m.run.Digest
				steps[i/s.Chunks()] = append(steps[i/s.Chunks()], c)
			}
			step := int64(0)
			for b.Loop() {
				for _, c := range steps[step%int64(len(steps))] {
					c.Step = step
					if err := r.Chunk(b.Context(), c); err != nil {
						b.Fatal(err)
					}
				}
				if err := r.Step(step); err != nil {
					b.Fatal(err)
				}
				step++
			}
			b.StopTimer()
			closed(b, r)
			samples := float64(step) * float64(s.BatchSize)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/samples, "ns/sample")
			size := int64(0)
			paths, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range paths {
				info, err := os.Stat(p)
				if err != nil {
					b.Fatal(err)
				}
				size += info.Size()
			}
			b.ReportMetric(float64(size)/samples, "B/sample")
		})
	}
}
