package supply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/held"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/observe"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
)

// DefaultStoreTimeout is how long a store may be away before a run in one process ends.
const DefaultStoreTimeout = 2 * time.Minute

// embeddedRun is the run's name in the embedded broker, which has no other.
const embeddedRun = "run"

// EmbeddedOptions configure a broker and a worker of this process.
type EmbeddedOptions struct {
	Name    string          // of the connection: the program and its verb
	Spec    schemas.RunSpec // of the batches
	Run     runs.Options
	Workers int    // images rendered at once
	Listen  string // address of the broker for workers elsewhere; "" for none
	// StoreTimeout is how long the data's store may be away before the worker fails, where no
	// other may help; 0: DefaultStoreTimeout.
	StoreTimeout time.Duration
	Plans        pipeline.Plans // recorded ones to render; nil: they are drawn
	Data         ingest.Source  // the run's, which the caller closes after the supply; nil: the worker opens them
	// Source opens what makes the chunks; nil: the data that the run names is read and drawn.
	Source   func(context.Context, *schemas.RunInfo) (produce.Source, error)
	Order    wire.Order           // of Source; nil: the spec's
	Registry *prometheus.Registry // receives the worker's metrics
	Print    func(line string)    // for people
}

// Embedded makes a run's batches in this process. Where its broker listens, workers elsewhere
// may help.
type Embedded struct {
	opts   EmbeddedOptions
	broker *access.Embedded // nil once closed
	run    *runs.Run
	held   *held.Store // rows of chunks that nobody else can ask for; nil where they are in the broker
	worker *worker.Worker
	tier   string // kernels of the worker's engine

	begin sync.Once
	work  context.Context // of the worker
	stop  context.CancelFunc
	ended chan struct{} // closed when the worker has ended

	working context.Context // its cause is why the worker has ended by itself
	fail    context.CancelCauseFunc
	told    atomic.Bool // that cause was given to somebody
}

// OpenEmbedded starts the broker, creates the run and prepares the worker, which works until
// ctx ends. The caller closes it.
func OpenEmbedded(ctx context.Context, o EmbeddedOptions) (_ *Embedded, err error) {
	e := &Embedded{opts: o, ended: make(chan struct{})}
	engines := []string{o.Spec.Engine} // the source's own
	if o.Source == nil {
		engine, err := augment.EngineByName(o.Spec.Engine)
		if err != nil {
			return nil, err
		}
		e.tier, engines = augment.Kernels(engine), augment.EngineNames()
	}
	e.work, e.stop = context.WithCancel(ctx)
	e.working, e.fail = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			e.stop()
			err = errors.Join(err, e.closeBroker())
		}
	}()
	if err := e.startBroker(ctx); err != nil {
		return nil, err
	}
	if e.run, err = runs.Open(ctx, e.broker.JetStream, embeddedRun, o.Spec, o.Run); err != nil {
		return nil, err
	}
	if e.alone() {
		e.held = held.New(e.run.Spec(), e.run.Options().MaxBytes)
	}
	stages := observe.NewStages(o.Registry)
	e.worker, err = worker.New(stages.JetStream(e.broker.JetStream), worker.Options{
		Name: "embedded", Workers: o.Workers, Engines: engines, GiveUp: e.giveUp(), Held: e.held,
		Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
			return e.openData(ctx, rec, stages)
		},
		Report: func(err error) { o.Print("worker: " + cli.Line(err)) },
	})
	if err != nil {
		return nil, err
	}
	observe.Worker(o.Registry, e.worker, o.Workers)
	return e, nil
}

// alone reports whether all that make and read chunks are in this process, and none are to stay
// behind: no other can reach the broker, and it keeps them in memory.
func (e *Embedded) alone() bool {
	return e.opts.Listen == "" && e.run.Options().Storage == runs.StorageMemory
}

// giveUp is how long the worker waits for its store: where others may help, until the trainer
// no longer waits for them.
func (e *Embedded) giveUp() time.Duration {
	if e.opts.Listen != "" {
		return 0
	}
	return cmp.Or(e.opts.StoreTimeout, DefaultStoreTimeout)
}

// startBroker starts the broker, and prints how workers elsewhere may help.
func (e *Embedded) startBroker(ctx context.Context) (err error) {
	o := broker.Options{Listen: e.opts.Listen}
	if o.Listen != "" {
		o.Token = os.Getenv("NATS_TOKEN")
	}
	if e.broker, err = access.Embed(ctx, e.opts.Name, o, nil); err != nil {
		return err
	}
	if at := e.broker.URL(); at != "" {
		login := "--token-file " + e.broker.TokenFile()
		if o.Token != "" {
			login = "with the NATS_TOKEN of this environment, which is now this broker's token"
		}
		e.opts.Print(fmt.Sprintf("the broker listens: augmentd --nats %s %s", reachable(at), login))
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
func (e *Embedded) openData(ctx context.Context, rec *schemas.RunInfo, timer pipeline.Timer) (produce.Source, error) {
	if e.opts.Source != nil {
		return e.opts.Source(ctx, rec)
	}
	var src produce.Source
	var err error
	if e.opts.Data != nil {
		src, err = pipeline.LentSource(ctx, rec, e.opts.Data, timer)
	} else {
		src, err = pipeline.OpenTimedSource(ctx, rec, nil, ingest.Options{Warn: cli.Warn}, timer)
	}
	if err != nil || e.opts.Plans == nil {
		return src, err
	}
	return pipeline.WithPlans(src, e.opts.Plans)
}

// Run is the run in the broker.
func (e *Embedded) Run() *runs.Run { return e.run }

// Tier names the kernels of the worker's engine.
func (e *Embedded) Tier() string { return e.tier }

// Redelivered counts the tasks that were given out again, in the whole run.
func (e *Embedded) Redelivered() int64 { return e.worker.Stats().Redelivered }

// Failed is closed when the worker has ended by itself, and Cause says why.
func (e *Embedded) Failed() <-chan struct{} { return e.working.Done() }

// Cause is why the worker has ended by itself; Close does not repeat it.
func (e *Embedded) Cause() error {
	err := context.Cause(e.working)
	e.told.Store(e.told.Load() || err != nil)
	return err
}

// Open lets the worker begin and opens a stream of what it makes. The stream ends when the
// worker fails: nobody else may be there to make the batches.
func (e *Embedded) Open(ctx context.Context, o stream.Options) (Stream, error) {
	e.begin.Do(e.start)
	o.Held = e.held
	s, err := openStream(ctx, e.run, e.opts.Order, o)
	if err != nil {
		return nil, err
	}
	return &embeddedStream{Stream: s, of: e}, nil
}

// start starts the worker; Close joins it.
func (e *Embedded) start() {
	go func() {
		defer close(e.ended)
		if err := e.worker.ServeRun(e.work, embeddedRun); err != nil {
			e.fail(err)
		}
	}()
}

// Close stops the worker, waits for its end and stops the broker. It gives the worker's error,
// unless a stream has. It may be called again.
func (e *Embedded) Close() error {
	e.begin.Do(func() { close(e.ended) }) // it never worked
	e.stop()
	<-e.ended
	var err error
	if e.told.CompareAndSwap(false, true) {
		err = context.Cause(e.working)
	}
	return errors.Join(err, e.closeBroker())
}

func (e *Embedded) closeBroker() error {
	if e.broker == nil {
		return nil
	}
	b := e.broker
	e.broker = nil
	return b.Close()
}

// embeddedStream ends when its worker fails.
type embeddedStream struct {
	*stream.Stream
	of *Embedded
}

// Next is stream.Stream's, and returns the worker's error where that has failed.
func (s *embeddedStream) Next(ctx context.Context) (*schemas.Batch, error) {
	if err := context.Cause(s.of.working); err != nil {
		s.of.told.Store(true)
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.of.working, cancel)()
	b, err := s.Stream.Next(ctx)
	if cause := context.Cause(s.of.working); err != nil && cause != nil {
		s.of.told.Store(true)
		err = cause
	}
	return b, err
}
