package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// transportBench are the flags of `resslt bench transport`.
type transportBench struct {
	at      access.Flags
	storage string
	size    int
	views   int
	batch   int
	seconds float64
	workers int
	json    bool
}

// transportResult is what `resslt bench transport --json` prints.
type transportResult struct {
	MBPerSecond     float64 `json:"mb_per_second"`      // 10⁶ bytes of chunk bodies, worker to trainer
	CPUSecondsPerGB float64 `json:"cpu_seconds_per_gb"` // of this process: the embedded broker is in it, a separate one is not
	ChunkBytes      int64   `json:"chunk_bytes"`        // mean
	Storage         string  `json:"storage"`
}

func newBenchTransportCommand() *cobra.Command {
	var o transportBench
	cmd := &cobra.Command{
		Use:   "transport",
		Short: "Measure batches through the broker: tasks, chunks, digests, assembly",
		Long: `Measure the way from a worker to the trainer without decoding or drawing: tasks
are issued, workers answer with ready-made pixels, chunks are encoded, stored,
verified and assembled, as in training. The broker is embedded unless --nats
names another.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := o.run(cmd.Context())
			if err != nil {
				return err
			}
			if o.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(res)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%.0f MB/s, %.2f CPU seconds a GB, chunks of %.2f MB, %s storage\n",
				res.MBPerSecond, res.CPUSecondsPerGB, float64(res.ChunkBytes)/1e6, res.Storage)
			return err
		},
	}
	f := cmd.Flags()
	o.at.Register(f, "")
	f.StringVar(&o.storage, "storage", "memory", "where the broker keeps chunks: memory or file")
	cli.Choices(f, storages, "storage")
	f.IntVar(&o.size, "view-size", 224, "side of a view, pixels")
	f.IntVar(&o.views, "views", 2, "views a sample")
	f.IntVar(&o.batch, "batch", 256, "samples a batch")
	f.Float64Var(&o.seconds, "seconds", 5, "how long to measure")
	f.IntVar(&o.workers, "workers", 2, "chunks made at once")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

// spec is a run of ready-made pixels, long enough that no measurement ends it.
func (o *transportBench) spec() (schemas.RunSpec, error) {
	s := schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "bench", Format: "bench", Split: "train", Samples: int64(o.batch)},
		Order:   "global", Policy: "{}", Engine: "bench/1",
		BatchSize: o.batch, Epochs: 1 << 40, StepsPerEpoch: 1, OnError: schemas.Fail,
	}
	for v := range o.views {
		role := schemas.Student
		if v == 0 {
			role = schemas.Teacher
		}
		s.Views = append(s.Views, schemas.ViewSpec{Name: fmt.Sprintf("view%d", v), Role: role, Size: o.size})
	}
	s.ChunkSamples = schemas.DefaultChunkSamples(s.SampleBytes(), s.BatchSize)
	return s, s.Validate()
}

func (o *transportBench) run(ctx context.Context) (res *transportResult, err error) {
	spec, err := o.spec()
	if err != nil {
		return nil, err
	}
	if o.seconds <= 0 || o.workers < 1 {
		return nil, errs.New("bench transport", "--seconds, --workers", "give more than 0", errs.ErrUsage)
	}
	js, closeBroker, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer closeBroker()
	name := fmt.Sprintf("bench-%d", os.Getpid())
	run, err := runs.Open(ctx, js, name, spec, runs.Options{Storage: runs.Storage(o.storage)})
	if err != nil {
		return nil, err
	}
	defer func() {
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if derr := runs.Delete(dctx, js, name); err == nil {
			err = derr
		}
	}()
	open := func(context.Context, *schemas.RunInfo) (produce.Source, error) { return &readyPixels{}, nil }
	err = served(ctx, js, run, readyOrder{}, o.workers, open, func(ctx context.Context, s *stream.Stream) (err error) {
		res, err = o.measure(ctx, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// openSource opens a run's samples for a worker.
type openSource func(context.Context, *schemas.RunInfo) (produce.Source, error)

// served gives use a stream of the run, while a worker in this process makes its chunks.
func served(ctx context.Context, js jetstream.JetStream, run *runs.Run, order wire.Order, workers int, open openSource, use func(context.Context, *stream.Stream) error) error {
	w, err := worker.New(js, worker.Options{Workers: workers, Grace: time.Second, Open: open})
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	wctx, stop := context.WithCancel(gctx)
	g.Go(func() error { return w.ServeRun(wctx, run.Name) })
	g.Go(func() error {
		defer stop()
		s, err := stream.Open(gctx, run, order, stream.Options{})
		if err != nil {
			return err
		}
		err = use(gctx, s)
		if cerr := s.Close(); err == nil {
			err = cerr
		}
		return err
	})
	return g.Wait()
}

// measure consumes batches: three to warm up, then for as long as --seconds says.
func (o *transportBench) measure(ctx context.Context, s *stream.Stream) (*transportResult, error) {
	next := func() error {
		b, err := s.Next(ctx)
		if err == nil {
			b.Release()
		}
		return err
	}
	for range 3 {
		if err := next(); err != nil {
			return nil, err
		}
	}
	before, cpu, start := s.Stats(), cli.CPUTime(), time.Now()
	for time.Since(start).Seconds() < o.seconds {
		if err := next(); err != nil {
			return nil, err
		}
	}
	after, wall := s.Stats(), time.Since(start).Seconds()
	bytes, chunks := float64(after.Bytes-before.Bytes), after.Chunks-before.Chunks
	if chunks == 0 {
		return nil, errs.New("bench transport", "--seconds", "give more time", errs.Because(errs.ErrUsage, "no chunk arrived"))
	}
	return &transportResult{
		MBPerSecond: bytes / wall / 1e6, CPUSecondsPerGB: (cli.CPUTime() - cpu).Seconds() / (bytes / 1e9),
		ChunkBytes: int64(bytes) / chunks, Storage: o.storage,
	}, nil
}

// connect reaches the broker that --nats names, or an embedded one.
func (o *transportBench) connect(ctx context.Context) (js jetstream.JetStream, done func(), err error) {
	// It is worker and trainer at once, so it wants a user who may do everything.
	co, err := o.at.Options("resslt bench", broker.RoleOwner)
	if err != nil {
		return nil, nil, err
	}
	if co.URL == "" {
		return embeddedBroker(ctx)
	}
	nc, js, err := broker.Connect(ctx, co)
	if err != nil {
		return nil, nil, err
	}
	return js, nc.Close, nil
}

// embeddedBroker is a broker in this process, until done.
func embeddedBroker(ctx context.Context) (js jetstream.JetStream, done func(), err error) {
	b, err := access.Embed(ctx, "resslt bench", broker.Options{}, nil)
	if err != nil {
		return nil, nil, err
	}
	return b.JetStream, func() { _ = b.Close() }, nil // the figures are taken
}

// readyPixels makes nothing: the views stay as they are, so that only transport is
// measured. It is Source and Maker in one.
type readyPixels struct{}

func (*readyPixels) Order() wire.Order                { return readyOrder{} }
func (*readyPixels) NewMaker() (produce.Maker, error) { return &readyPixels{}, nil }
func (*readyPixels) Close() error                     { return nil }
func (*readyPixels) Make(_ context.Context, row wire.TaskRow, _, plans [][]byte) (produce.Made, error) {
	for v := range plans {
		plans[v] = append(plans[v][:0], make([]byte, 64)...) // about a plan's size
	}
	return produce.Made{Label: int32(row.Sample % 10)}, nil
}

// readyOrder visits samples in the order of their ids.
type readyOrder struct{}

func (readyOrder) At(_, index int64) int64 { return index }
