package batcher_test

import (
	"context"
	"fmt"
	"os"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/schemas"
)

// grey is a data set of 20 samples, whose views are plain: sample 3 is three parts black.
type grey struct{}

func (grey) Order() wire.Order                { return grey{} }
func (grey) At(_, index int64) int64          { return index }
func (grey) NewMaker() (produce.Maker, error) { return grey{}, nil }
func (grey) Close() error                     { return nil }

func (grey) Make(_ context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	for v := range dst {
		for i := range dst[v] {
			dst[v][i] = byte(row.Sample)
		}
		plans[v] = plans[v][:0]
	}
	return produce.Made{Label: schemas.NoLabel}, nil
}

// A whole farm in one process: a broker, a run in it, a worker, and a trainer's stream.
func Example() {
	if err := farm(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// step 0: samples [0 1 2 3], first pixels 0 1 2 3
	// step 1: samples [4 5 6 7], first pixels 4 5 6 7
}

func farm(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := broker.Start(broker.Options{StoreDir: dir})
	if err != nil {
		return err
	}
	defer b.Close()
	nc, js, err := broker.Connect(ctx, broker.ConnectOptions{Broker: b})
	if err != nil {
		return err
	}
	defer nc.Close()

	run, err := runs.Open(ctx, js, "example", schemas.RunSpec{
		Version: schemas.SpecVersion, Dataset: schemas.DatasetSpec{Digest: "d0", Format: "grey", Split: "train", Samples: 20},
		Order: "global", Policy: "{}", Engine: "grey/1", BatchSize: 4, Epochs: 1, StepsPerEpoch: 2, ChunkSamples: 4, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 2}, {Name: "strong", Role: schemas.Student, Size: 2}},
	}, runs.Options{})
	if err != nil {
		return err
	}
	serve(ctx, js, run) // see package worker
	s, err := stream.Open(ctx, run, grey{}, stream.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for range 2 {
		batch, err := s.Next(ctx)
		if err != nil {
			return err
		}
		px, row := batch.Pixels[0], batch.Views[0].Bytes()
		fmt.Printf("step %d: samples %v, first pixels %d %d %d %d\n", batch.Step, batch.Samples, px[0], px[row], px[2*row], px[3*row])
		batch.Release()
	}
	return nil
}
