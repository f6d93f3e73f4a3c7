package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/console"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/manual"
	"resslt/cmd/internal/observe"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/version"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// options are augmentd's flags.
type options struct {
	at      access.Flags
	run     string
	workers int
	data    []string
	cache   string
	grace   time.Duration
	opening time.Duration
	seen    observe.Flags
	form    console.Form
}

func newCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "augmentd --nats URL",
		Short: "a worker of the resslt farm: decodes images and renders their augmented views",
		Long: `augmentd takes tasks from every run whose data it can reach and publishes the
views as chunks. Every batch is a pure function of the run's spec, so workers may
join, leave and crash at any time: the trainer receives the same batches.`,
		Example: `  augmentd --nats nats://farm:4222
  augmentd --nats nats://farm:4222 --data folder:/mnt/imagenet --workers 16
  augmentd --nats tls://farm:4222 --tls-ca ca.pem --nkey worker.nk --metrics :9464 --log json`,
		Version: version.String(),
		RunE: func(c *cobra.Command, _ []string) error {
			o.form = console.FormOf(c.Flags())
			return serve(c.Context(), o, c.ErrOrStderr())
		},
	}
	cli.GlobalFlags(c)
	cli.OwnLog(c)
	f := c.Flags()
	o.at.Register(f, access.DefaultURL)
	f.StringVar(&o.run, "run", "", "serve only this run (default: every run)")
	f.IntVar(&o.workers, "workers", cores.Count(), "images rendered at once")
	f.StringArrayVar(&o.data, "data", nil, "data `URI` of a local copy, used for runs with its digest; may be repeated")
	f.StringVar(&o.cache, "cache", "", "`folder` for the data sets' indexes (default: in the user's cache folder)")
	f.DurationVar(&o.grace, "grace", 20*time.Second, "time that a stopping worker has to finish its chunks: more than a chunk takes, less than its supervisor's stop timeout")
	f.DurationVar(&o.opening, "open-timeout", 2*time.Minute, "how long a run's data may take to open, while less than a megabyte of it is read and fewer than 1,000 files are listed")
	cli.MayBeZero(f, "grace")
	o.seen.Register(f)
	c.AddCommand(manual.Command())
	return c
}

// serve works until ctx ends or the broker denies access. Chunks in progress when ctx
// ends have o.grace to finish; their tasks then go to other workers.
func serve(ctx context.Context, o options, stderr io.Writer) error {
	if o.workers < 1 {
		return errs.New("--workers", fmt.Sprint(o.workers), "give 1 or more", errs.ErrUsage)
	}
	if o.opening <= 0 || o.grace < 0 {
		return errs.New("", "--open-timeout and --grace", "give a second or more", errs.ErrUsage)
	}
	if err := augment.CheckEngines(); err != nil {
		return err
	}
	log, err := o.form.Logger(stderr)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	nc, js, err := connect(ctx, o, log, end)
	if err != nil {
		return err
	}
	defer nc.Close()

	registry := observe.NewRegistry()
	observe.Connection(registry, js)
	stages := observe.NewStages(registry)
	w, err := newWorker(o, js, stages, log)
	if err != nil {
		return err
	}
	observe.Worker(registry, w, o.workers)
	err = work(ctx, o, js, w, registry, log)
	s := w.Stats()
	log.Info("stopped", "chunks", s.Chunks, "samples", s.Samples, "replaced", s.Replaced, "redelivered", s.Redelivered)
	if cause := context.Cause(ctx); err == nil && errors.Is(cause, errs.ErrDenied) {
		return cause
	}
	return err
}

// connect opens the connection to the broker. end is called if the broker denies access
// later on.
func connect(ctx context.Context, o options, log *slog.Logger, end context.CancelCauseFunc) (*nats.Conn, jetstream.JetStream, error) {
	co, err := o.at.Options("augmentd", broker.RoleWorker)
	if err != nil {
		return nil, nil, err
	}
	co.Report = func(what string) { log.Warn(what) }
	co.Denied = func(err error) { end(err) } // a worker without permissions would wait for tasks for ever
	nc, js, err := broker.Connect(ctx, co)
	if err != nil {
		return nil, nil, err
	}
	nc.SetClosedHandler(func(nc *nats.Conn) {
		end(errs.New("broker", "", "check the credentials, then start again", errs.BecauseErr(errs.ErrDenied, nc.LastError())))
	})
	return nc, js, nil
}

func newWorker(o options, js jetstream.JetStream, stages *observe.Stages, log *slog.Logger) (*worker.Worker, error) {
	shelf := pipeline.NewShelf()
	return worker.New(stages.JetStream(js), worker.Options{
		Workers: o.workers, Grace: o.grace, OpenTimeout: o.opening, Engines: augment.EngineNames(),
		Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
			src, err := shelf.Open(ctx, rec, o.data, ingest.Options{
				CacheDir: o.cache, Warn: func(why string) { log.Warn(why) }, Progress: cli.Progress(console.Lines(log), "indexing"),
			}, stages, headway(func() { worker.Progress(ctx) }))
			if err != nil {
				return nil, err
			}
			log.Info(pipeline.DescribeOpened(src))
			return returned{src}, nil
		},
		Report: func(err error) { log.Warn(cli.Line(err)) },
	})
}

// headway calls progress whenever the opening of data has come far enough to count: a store that
// gives a byte or a name a second makes no progress.
func headway(progress func()) func(pipeline.Headway) {
	var counted pipeline.Headway
	return func(now pipeline.Headway) {
		if now.Bytes-counted.Bytes >= progressBytes || now.Files-counted.Files >= progressFiles {
			counted = now
			progress()
		}
	}
}

// What is hashed of data that are being indexed, or listed before, until it counts as progress.
// A bucket gives the names of 1,000 files at a time.
const (
	progressBytes = 1 << 20
	progressFiles = 1000
)

// returned is a source whose memory goes back to the system when it is closed. Some data sets lie
// in memory; several that end together would otherwise stay in the process for minutes, until
// the runtime happens to collect them.
type returned struct{ produce.Source }

func (r returned) Close() error {
	err := r.Source.Close()
	time.AfterFunc(returnAfter, debug.FreeOSMemory) // when the caller has let go of it
	return err
}

const returnAfter = time.Second

// work runs the worker, the metrics and the log lines about them until ctx ends or one
// of them fails.
func work(ctx context.Context, o options, js jetstream.JetStream, w *worker.Worker, registry *prometheus.Registry, log *slog.Logger) error {
	nc := js.Conn()
	g, gctx := errgroup.WithContext(ctx)
	// The metrics stay up while the worker drains.
	watched, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	if o.seen.Metrics != "" {
		s, err := observe.Listen(o.seen.Metrics, registry, func() error { return ready(ctx, nc) }, log)
		if err != nil {
			return err
		}
		log.Info("metrics", "address", s.Addr())
		g.Go(func() error { return s.Serve(watched) })
	}
	log.Info("serving", "worker", w.Name(), "broker", nc.ConnectedUrlRedacted(), "workers", o.workers, "engines", augment.EngineNames())
	g.Go(func() error {
		defer done()
		if o.run != "" {
			return w.ServeRun(gctx, o.run)
		}
		return w.Serve(gctx)
	})
	g.Go(func() error { report(watched, log, w); return nil })
	if at, err := o.at.Options("augmentd", broker.RoleWorker); err == nil && access.Anonymous(at) {
		g.Go(func() error { sweep(watched, js, log); return nil })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-watched.Done():
		}
		if ctx.Err() != nil {
			log.Info("draining", "grace", o.grace.String())
		}
		return nil
	})
	return g.Wait()
}

// sweepEvery is how often abandoned runs are looked for, by one of the farm's workers.
const sweepEvery = 10 * time.Minute

// sweep puts abandoned runs to sleep, as long as there is work: in a farm without roles, where
// a worker may delete streams. Elsewhere the trainers do.
func sweep(ctx context.Context, js jetstream.JetStream, log *slog.Logger) {
	runs.KeepSwept(ctx, js, sweepEvery, func(slept []string, err error) {
		if len(slept) > 0 {
			log.Info("put to sleep", "runs", slept)
		}
		if err != nil && ctx.Err() == nil {
			log.Debug("not all runs could be looked at", "why", cli.Line(err))
		}
	})
}

// ready returns why the worker cannot work at the moment, nil if it can.
func ready(ctx context.Context, nc *nats.Conn) error {
	switch {
	case ctx.Err() != nil:
		return errs.New("augmentd", "", "ask another worker", errs.Because(errs.ErrUnavailable, "it is draining"))
	case !nc.IsConnected():
		return errs.New("augmentd", "", "check that the broker runs and is reachable", errs.Because(errs.ErrUnavailable, "it is not connected to its broker"))
	}
	return nil
}

// report logs the rate as long as there is work.
func report(ctx context.Context, log *slog.Logger, w *worker.Worker) {
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
