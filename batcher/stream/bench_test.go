package stream

import (
	"context"
	"testing"

	"resslt/batcher/assemble"
	"resslt/batcher/broker"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// stillMaker leaves the pixels as they are.
type stillMaker struct{ spec schemas.RunSpec }

func (m *stillMaker) Make(_ context.Context, _ wire.TaskRow, _, plans [][]byte) (produce.Made, error) {
	for v := range plans {
		plans[v] = append(plans[v][:0], 1, 2, 3, 4)
	}
	return produce.Made{}, nil
}

func (m *stillMaker) Order() wire.Order                { return fixture.StrideOrder{N: m.spec.Dataset.Samples} }
func (m *stillMaker) NewMaker() (produce.Maker, error) { return m, nil }
func (m *stillMaker) Close() error                     { return nil }

func BenchmarkAssemble(b *testing.B) {
	spec := fixture.LargeSpec()
	a, c := assemble.New(&spec, assemble.Options{}), wire.NewChunk(&spec)
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
	for _, storage := range []runs.Storage{runs.StorageMemory, runs.StorageFile} {
		b.Run(string(storage), func(b *testing.B) {
			server, err := broker.Start(broker.Options{StoreDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			nc, js, err := broker.Connect(b.Context(), broker.ConnectOptions{Broker: server})
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			spec := fixture.LargeSpec()
			run, err := runs.Open(b.Context(), js, "bench", spec, runs.Options{Storage: storage})
			if err != nil {
				b.Fatal(err)
			}
			w, err := worker.New(js, worker.Options{Workers: 2, Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) { return &stillMaker{spec}, nil }})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- w.ServeRun(ctx, "bench") }()
			s, err := Open(b.Context(), run, fixture.StrideOrder{N: 70}, Options{})
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
