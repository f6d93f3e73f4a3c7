package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/observe"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
)

func newRunCommand() *cobra.Command {
	var f sessionFlags
	workers := cores.Count()
	var listen string
	c := &cobra.Command{
		Use:   "run",
		Short: "pre-train and evaluate in one process: workers, broker and trainer together",
		Example: `  resslt run --recipe quickstart
  resslt run --recipe quickstart --data folder:my/images --set image_size=32
  resslt run --recipe cifar10 --data cifar10:data/cifar10 --out runs/c10 --resume
  resslt run --recipe cifar10 --listen 127.0.0.1:4222     # and augmentd beside it, to help`,
		RunE: func(c *cobra.Command, _ []string) error { return runAll(c, f, workers, listen) },
	}
	f.register(c)
	c.Flags().IntVar(&workers, "workers", workers, "images rendered at once")
	c.Flags().StringVar(&listen, "listen", "", "`address` of the broker for augmentd workers beside this process; its token is NATS_TOKEN where that is set, else made (default: it listens on nothing)")
	return c
}

// runName is the run's name in the embedded broker, which holds no other.
const runName = "run"

func runAll(c *cobra.Command, f sessionFlags, workers int, listen string) error {
	ctx := c.Context()
	if err := refuseRanks("resslt run"); err != nil {
		return err
	}
	if workers < 1 {
		return errs.New("--workers", fmt.Sprint(workers), "give 1 or more", errs.ErrUsage)
	}
	if f.record == "stream" {
		return errs.New("", "--record stream", "give --record pixels", errs.Because(errs.ErrUsage, "the broker in this process does not outlive the run"))
	}
	s, err := openSession(ctx, c, f, nil)
	if err != nil {
		return err
	}
	defer s.close()
	if s.trained() {
		return s.evaluateOnly(ctx)
	}
	res, stats, err := s.trainEmbedded(ctx, workers, listen)
	if err != nil {
		return err
	}
	res.Summary.ChunksRedelivered = stats.Redelivered
	return s.conclude(ctx, res)
}

// reachable names this machine where a URL has "any address", which for others is none.
func reachable(broker string) string {
	u, err := url.Parse(broker)
	if err != nil || !net.ParseIP(u.Hostname()).IsUnspecified() {
		return broker
	}
	host, err := os.Hostname()
	if err != nil {
		return broker
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

// trainEmbedded trains with broker and workers in this process. Where the broker
// listens, workers elsewhere may help.
func (s *session) trainEmbedded(ctx context.Context, workers int, listen string) (res *train.Result, stats runs.WorkerStats, err error) {
	store, err := os.MkdirTemp("", "resslt-broker-")
	if err != nil {
		return nil, stats, errs.New("make folder for", "the broker", "set TMPDIR to a writable folder", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	defer os.RemoveAll(store)
	o := broker.Options{StoreDir: store, Listen: listen}
	if listen != "" {
		o.Token = os.Getenv("NATS_TOKEN")
	}
	embedded, err := broker.Start(o)
	if err != nil {
		return nil, stats, err
	}
	defer func() { err = errors.Join(err, embedded.Close()) }()
	if at := embedded.URL(); at != "" {
		login := "--token-file " + filepath.Join(store, broker.TokenName)
		if o.Token != "" {
			login = "with the NATS_TOKEN of this environment, which is now this broker's token"
		}
		fmt.Fprintf(s.stderr, "the broker listens: augmentd --nats %s %s\n", reachable(at), login)
	}
	nc, js, err := broker.Connect(ctx, broker.ConnectOptions{Broker: embedded, Name: "resslt run"})
	if err != nil {
		return nil, stats, err
	}
	defer nc.Close()
	run, err := s.open(ctx, js, runName)
	if err != nil {
		return nil, stats, err
	}
	stages := observe.NewStages(s.monitor.registry)
	worker, err := worker.New(stages.JetStream(js), worker.Options{
		Name: "embedded", Workers: workers, Engines: augment.EngineNames(),
		Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
			return s.openSource(ctx, rec, stages)
		},
		Report: func(err error) { fmt.Fprintln(s.stderr, "worker: "+cli.Line(err)) },
	})
	if err != nil {
		return nil, stats, err
	}
	engine, err := augment.EngineByName(s.spec.Engine)
	if err != nil {
		return nil, stats, err
	}
	s.engineTier = augment.Kernels(engine)
	observe.Worker(s.monitor.registry, worker, workers)
	g, gctx := errgroup.WithContext(ctx)
	wctx, stopWorker := context.WithCancel(gctx)
	g.Go(func() error { return worker.ServeRun(wctx, runName) })
	g.Go(func() error {
		defer stopWorker()
		var err error
		res, err = s.train(gctx, run, "the workers in this process")
		return err
	})
	if err := g.Wait(); err != nil {
		if res != nil {
			res.Learner.Free()
		}
		return nil, stats, err
	}
	return res, worker.Stats(), nil
}
