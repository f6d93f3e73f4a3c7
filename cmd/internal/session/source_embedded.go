package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/worker"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/observe"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
)

// embedded makes the batches in this process: a broker and a worker live as long as the
// stream. Where the broker listens, workers elsewhere may help.
type embedded struct {
	noBroker
	*console
	opts *Options

	broker *access.Embedded // nil before begin, and once closed
	run    *runs.Run
	worker *worker.Worker
	tier   string // kernels of the worker's engine
}

// embeddedRun is the run's name in the embedded broker, which has no other.
const embeddedRun = "run"

func (s *embedded) describe(*Plan) string {
	return "this process's workers"
}

// begin starts the broker, creates the run and prepares the worker.
func (s *embedded) begin(ctx context.Context, c *consumer) (*schemas.RunInfo, error) {
	engine, err := augment.EngineByName(c.plan.Spec.Engine)
	if err != nil {
		return nil, err
	}
	s.tier = augment.Kernels(engine)
	if err := s.startBroker(ctx); err != nil {
		return nil, err
	}
	if s.run, err = openRun(ctx, s.broker.JetStream, embeddedRun, s.opts, c.plan); err != nil {
		return nil, err
	}
	stages := observe.NewStages(c.metrics.registry)
	s.worker, err = worker.New(stages.JetStream(s.broker.JetStream), worker.Options{
		Name: "embedded", Workers: s.opts.Workers, Engines: augment.EngineNames(), GiveUp: s.giveUp(),
		Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
			return s.openData(ctx, rec, stages)
		},
		Report: func(err error) { s.print("worker: " + cli.Line(err)) },
	})
	if err != nil {
		return nil, err
	}
	observe.Worker(c.metrics.registry, s.worker, s.opts.Workers)
	return &s.run.Info, nil
}

// DefaultStoreTimeout is how long a store may be away before a run in one process ends.
const DefaultStoreTimeout = 2 * time.Minute

// giveUp is how long the worker waits for its store: where others may help, until the trainer
// no longer waits for them.
func (s *embedded) giveUp() time.Duration {
	if s.opts.Listen != "" {
		return 0
	}
	return cmp.Or(s.opts.StoreTimeout, DefaultStoreTimeout)
}

// startBroker starts the broker, and prints how workers elsewhere may help.
func (s *embedded) startBroker(ctx context.Context) (err error) {
	o := broker.Options{Listen: s.opts.Listen}
	if o.Listen != "" {
		o.Token = os.Getenv("NATS_TOKEN")
	}
	if s.broker, err = access.Embed(ctx, "resslt run", o, nil); err != nil {
		return err
	}
	if at := s.broker.URL(); at != "" {
		login := "--token-file " + s.broker.TokenFile()
		if o.Token != "" {
			login = "with the NATS_TOKEN of this environment, which is now this broker's token"
		}
		s.print(fmt.Sprintf("the broker listens: augmentd --nats %s %s", reachable(at), login))
	}
	return nil
}

// reachable names this machine where a URL has the unspecified address, which other machines
// cannot reach.
func reachable(at string) string {
	u, err := url.Parse(at)
	if err != nil || !net.ParseIP(u.Hostname()).IsUnspecified() {
		return at
	}
	host, err := os.Hostname()
	if err != nil {
		return at
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

// openData opens the data for the worker. Where a log is replayed its plans are rendered.
func (s *embedded) openData(ctx context.Context, rec *schemas.RunInfo, timer pipeline.Timer) (produce.Source, error) {
	src, err := pipeline.OpenTimedSource(ctx, rec, nil, ingest.Options{Warn: cli.Warn}, timer)
	if err != nil || s.recording == nil {
		return src, err
	}
	return pipeline.WithPlans(src, s.recording.Plans)
}

// open lets the worker begin and consumes what it makes.
func (s *embedded) open(ctx context.Context, c *consumer) (batches, error) {
	work, stop := context.WithCancel(ctx)
	out := &embeddedStream{source: s, stop: stop, ended: make(chan struct{})}
	var fail context.CancelCauseFunc
	out.working, fail = context.WithCancelCause(context.Background())
	go func() { // joined by Close
		defer close(out.ended)
		if err := s.worker.ServeRun(work, embeddedRun); err != nil {
			fail(err)
		}
	}()
	var err error
	if out.Stream, err = openStream(ctx, s.run, s.opts, c); err != nil {
		return nil, errors.Join(err, out.stopWorker())
	}
	c.metrics.connection(s.broker.JetStream)
	c.metrics.stream(s.run, out.Stream)
	return out, nil
}

func (s *embedded) delivered(context.Context) (delivery, error) {
	return delivery{redelivered: s.worker.Stats().Redelivered, engineTier: s.tier}, nil
}

func (s *embedded) close() error { return errors.Join(s.closeBroker(), s.noBroker.close()) }

func (s *embedded) closeBroker() error {
	if s.broker == nil {
		return nil
	}
	b := s.broker
	s.broker = nil
	return b.Close()
}

// embeddedStream ends when its worker fails: nobody else may be there to make the batches.
type embeddedStream struct {
	*stream.Stream
	source  *embedded
	stop    context.CancelFunc // of the worker
	working context.Context    // its cause is why the worker has ended by itself
	ended   chan struct{}      // closed when the worker has ended
	failed  bool               // Next has returned the worker's error
}

// Next is batcher.Stream's, and returns the worker's error where that has failed.
func (s *embeddedStream) Next(ctx context.Context) (*schemas.Batch, error) {
	if err := context.Cause(s.working); err != nil {
		s.failed = true
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.working, cancel)()
	b, err := s.Stream.Next(ctx)
	if cause := context.Cause(s.working); err != nil && cause != nil {
		s.failed = true
		err = cause
	}
	return b, err
}

func (s *embeddedStream) finish(context.Context) error { return nil }

// Close ends stream, worker and broker: what follows needs their memory and cores.
func (s *embeddedStream) Close() error {
	return errors.Join(s.Stream.Close(), s.stopWorker(), s.source.closeBroker())
}

// stopWorker waits for the worker's end, and gives its error unless Next has.
func (s *embeddedStream) stopWorker() error {
	s.stop()
	<-s.ended
	if s.failed {
		return nil
	}
	return context.Cause(s.working)
}
