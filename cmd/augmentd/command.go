package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/batcher"
	"resslt/cmd/internal/broker"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
)

// options are augmentd's flags.
type options struct {
	at      broker.Flags
	run     string
	workers int
	data    []string
	cache   string
	grace   time.Duration
}

func newCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "augmentd --nats URL",
		Short: "a worker of the resslt farm: decodes images and draws their augmented views",
		Long: `augmentd takes tasks of every run whose data it can reach and publishes the
views as chunks. Every batch is a pure function of the run's spec, so workers
may come, go and die at any time: the trainer gets the same batches.`,
		Example: `  augmentd --nats nats://farm:4222
  augmentd --nats nats://farm:4222 --data folder:/mnt/imagenet --workers 16`,
		Version: cli.Version(),
		RunE:    func(c *cobra.Command, _ []string) error { return serve(c.Context(), o, c.ErrOrStderr()) },
	}
	f := c.Flags()
	o.at.Register(f, broker.DefaultURL)
	f.StringVar(&o.run, "run", "", "serve this run alone (default: every run)")
	f.IntVar(&o.workers, "workers", runtime.NumCPU(), "images rendered at once")
	f.StringArrayVar(&o.data, "data", nil, "data `URI` of this machine's copy, used for runs of its digest; may be repeated")
	f.StringVar(&o.cache, "cache", "", "`folder` of the data sets' indexes (default: under the user's cache)")
	f.DurationVar(&o.grace, "grace", 20*time.Second, "time that a stopping worker has for its last chunk")
	return c
}

func serve(ctx context.Context, o options, stderr io.Writer) error {
	if o.workers < 1 {
		return schemas.E("--workers", fmt.Sprint(o.workers), "give 1 or more", schemas.ErrUsage)
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	nc, js, err := o.at.Connect(ctx, "augmentd", batcher.RoleWorker, func(what string) { log.Warn(what) })
	if err != nil {
		return err
	}
	defer nc.Close()
	w, err := batcher.NewWorker(js, batcher.WorkerOptions{
		Workers: o.workers, Grace: o.grace, Engines: augment.EngineNames(),
		Open: func(ctx context.Context, rec *schemas.RunRecord) (batcher.Source, error) {
			return pipeline.OpenSource(ctx, rec, o.data, ingest.Options{CacheDir: o.cache, Progress: cli.Progress(stderr, "indexing")})
		},
		Report: func(err error) { log.Warn(cli.Line(err)) },
	})
	if err != nil {
		return err
	}
	log.Info("serving", "broker", nc.ConnectedUrlRedacted(), "workers", o.workers, "engines", augment.EngineNames())
	g, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	g.Go(func() error {
		defer cancel() // ends the reports
		if o.run != "" {
			return w.ServeRun(ctx, o.run)
		}
		return w.Serve(ctx)
	})
	g.Go(func() error { report(ctx, log, w); return nil })
	err = g.Wait()
	s := w.Stats()
	log.Info("stopped", "chunks", s.Chunks, "samples", s.Samples, "replaced", s.Replaced, "redelivered", s.Redelivered)
	return err
}

// report logs the rate while there is work.
func report(ctx context.Context, log *slog.Logger, w *batcher.Worker) {
	const every = 10 * time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := w.Stats()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := w.Stats()
		if n := now.Samples - last.Samples; n > 0 {
			log.Info("rate", "samples_per_second", int64(float64(n)/every.Seconds()), "chunks", now.Chunks, "replaced", now.Replaced)
		}
		last = now
	}
}
