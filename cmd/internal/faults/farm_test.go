package faults

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/ingest/store"
	"resslt/schemas"

	"golang.org/x/sync/errgroup"
)

// age has a file be an old one: an index trusts no file that was written just now.
func age(t *testing.T, path string) {
	t.Helper()
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

// job is a run of one data set.
type job struct {
	uri      string
	cacheDir string // of indexes
	store    store.Options
	armed    func() // called when the worker has opened the data
}

// outcome is how it went.
type outcome struct {
	batches  []string // digests
	replaced int
	err      error
}

// spec is the run's: two epochs of batches of eight.
func (j *job) spec(ctx context.Context) (schemas.RunSpec, error) {
	src, err := ingest.Open(ctx, j.uri, j.options())
	if err != nil {
		return schemas.RunSpec{}, err
	}
	defer src.Close()
	policy, err := augment.Preset("small")
	if err != nil {
		return schemas.RunSpec{}, err
	}
	s := schemas.RunSpec{
		Version: schemas.SpecVersion, Dataset: src.Manifest().Spec(), Order: "global", Policy: policy.Canonical(),
		Engine: augment.DefaultEngine().Name(), Seed: 1, BatchSize: 8, Views: policy.ViewSpecs(),
		Epochs: 2, StepsPerEpoch: src.Len() / 8, ChunkSamples: 4, OnError: schemas.Replace,
	}
	return s, s.Validate()
}

func (j *job) options() ingest.Options {
	return ingest.Options{CacheDir: j.cacheDir, Store: j.store}
}

// run runs it in one process, as `resslt run` does, without the trainer.
func (j *job) run(ctx context.Context, dir string) outcome {
	spec, err := j.spec(ctx)
	if err != nil {
		return outcome{err: err}
	}
	b, err := broker.Start(broker.Options{StoreDir: dir})
	if err != nil {
		return outcome{err: err}
	}
	defer b.Close()
	nc, js, err := broker.Connect(ctx, broker.ConnectOptions{Broker: b})
	if err != nil {
		return outcome{err: err}
	}
	defer nc.Close()
	run, err := runs.Open(ctx, js, "r", spec, runs.Options{DataURI: j.uri, AckWait: 300 * time.Millisecond, MaxDeliver: 3})
	if err != nil {
		return outcome{err: err}
	}
	w, err := worker.New(js, worker.Options{
		Workers: 2, GiveUp: 2 * time.Second,
		Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
			src, err := pipeline.OpenSource(ctx, rec, nil, j.options())
			if err == nil && j.armed != nil {
				j.armed()
			}
			return src, err
		},
	})
	if err != nil {
		return outcome{err: err}
	}
	order, err := pipeline.Order(&spec)
	if err != nil {
		return outcome{err: err}
	}
	s, err := stream.Open(ctx, run, order, stream.Options{RepairAfter: 500 * time.Millisecond, StallTimeout: time.Minute})
	if err != nil {
		return outcome{err: err}
	}
	defer s.Close()
	var out outcome
	g, gctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(gctx)
	g.Go(func() error { return w.ServeRun(serving, "r") })
	g.Go(func() error {
		defer stop()
		for {
			batch, err := s.Next(gctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			h := sha256.New()
			fmt.Fprint(h, batch.Samples, batch.Labels)
			for _, px := range batch.Pixels {
				h.Write(px) // a hash never fails
			}
			out.batches = append(out.batches, fmt.Sprintf("%x", h.Sum(nil)))
			out.replaced += batch.Replaced
			batch.Release()
		}
	})
	out.err = g.Wait()
	return out
}
