package batcher

import (
	"context"
	"testing"

	"resslt/schemas"
)

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
			server, err := StartBroker(BrokerOptions{StoreDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			nc, js, err := Connect(b.Context(), ConnectOptions{Broker: server})
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			spec := benchSpec()
			run, err := OpenRun(b.Context(), js, "bench", spec, RunOptions{Storage: storage})
			if err != nil {
				b.Fatal(err)
			}
			w, err := NewWorker(js, WorkerOptions{Workers: 2, Open: func(context.Context, *schemas.RunInfo) (Source, error) { return &stillMaker{spec}, nil }})
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
