package batcher

import (
	"context"
	"testing"

	"resslt/schemas"
)

// benchSpec has chunks of 2.1 MB: seven samples of two 224×224 views.
func benchSpec() schemas.RunSpec {
	s := testSpec()
	s.Views = []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 224}, {Name: "strong", Role: schemas.Student, Size: 224}}
	s.Dataset.Samples, s.BatchSize, s.StepsPerEpoch, s.Epochs = 70, 70, 1, 1<<40
	s.ChunkSamples = schemas.DefaultChunkSamples(s.SampleBytes(), s.BatchSize)
	return s
}

// stillMaker leaves the pixels as they are.
type stillMaker struct{ spec schemas.RunSpec }

func (m *stillMaker) Make(_ context.Context, _ TaskRow, _, plans [][]byte) (Made, error) {
	for v := range plans {
		plans[v] = append(plans[v][:0], 1, 2, 3, 4)
	}
	return Made{}, nil
}
func (m *stillMaker) Order() Order             { return strideOrder{m.spec.Dataset.Samples} }
func (m *stillMaker) NewMaker() (Maker, error) { return m, nil }
func (m *stillMaker) Close() error             { return nil }

func BenchmarkDigest(b *testing.B) {
	body := make([]byte, schemas.TargetChunkBytes)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		digest(body)
	}
}

func BenchmarkEncode(b *testing.B) {
	spec := benchSpec()
	c := NewChunk(&spec)
	c.Reset(&spec, 0, 0)
	enc := NewEncoder(&spec)
	for b.Loop() {
		body, err := enc.Encode(c)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(body)))
	}
}

// BenchmarkDecode parses without the digest, which BenchmarkDigest measures.
func BenchmarkDecode(b *testing.B) {
	spec := benchSpec()
	c := NewChunk(&spec)
	c.Reset(&spec, 0, 0)
	body, err := NewEncoder(&spec).Encode(c)
	if err != nil {
		b.Fatal(err)
	}
	dec, err := NewDecoder(&spec)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := dec.fill(&Chunk{}, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssemble(b *testing.B) {
	spec := benchSpec()
	a, c := NewAssembler(&spec, 0), NewChunk(&spec)
	bytes := spec.SampleBytes() * spec.BatchSize
	b.SetBytes(int64(bytes))
	for step := int64(0); b.Loop(); step++ {
		for i := range spec.Chunks() {
			c.Reset(&spec, step, i)
			c.Digest = "d"
			if _, err := a.Add(c); err != nil {
				b.Fatal(err)
			}
		}
		batch, err := a.Take(step)
		if err != nil {
			b.Fatal(err)
		}
		batch.Release()
	}
}

// BenchmarkStream is the whole way of a batch through the embedded broker.
func BenchmarkStream(b *testing.B) {
	for _, storage := range []Storage{StorageMemory, StorageFile} {
		b.Run(string(storage), func(b *testing.B) {
			broker, err := StartBroker(BrokerOptions{StoreDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Close()
			nc, js, err := Connect(b.Context(), ConnectOptions{Broker: broker})
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			spec := benchSpec()
			run, err := OpenRun(b.Context(), js, "bench", spec, RunOptions{Storage: storage})
			if err != nil {
				b.Fatal(err)
			}
			w, err := NewWorker(js, WorkerOptions{Workers: 2, Open: func(context.Context, *schemas.RunRecord) (Source, error) { return &stillMaker{spec}, nil }})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- w.ServeRun(ctx, "bench") }()
			s, err := OpenStream(b.Context(), run, strideOrder{70}, StreamOptions{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(spec.SampleBytes() * spec.BatchSize))
			for b.Loop() {
				batch, err := s.Next(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				batch.Release()
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
