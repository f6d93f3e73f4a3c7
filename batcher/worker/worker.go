package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"resslt/batcher/held"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Options configure a Worker.
type Options struct {
	// Name in heartbeats and chunk headers: letters, digits, '-', '_'. Default
	// host, process and a random part.
	Name string
	// Workers is how many chunks are made at once; default one a CPU.
	Workers int
	// Engines that Open can give, as run specs name them. A run of another
	// engine is refused by name. Empty: any.
	Engines []string
	// Open gives what is needed to serve a run. Its error puts the run in quarantine. It may
	// call Progress with its context.
	Open func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error)
	// Report receives what does not stop the worker: runs in quarantine, chunks that failed.
	// It is called from several goroutines. Nil: nothing is reported.
	Report func(error)
	// Grace is how long a chunk that is being made may go on when the worker is
	// stopped; default 20 s. Then its task goes back to the queue.
	Grace time.Duration
	// Held, if set, keeps the rows of chunks in this process, where all that read its only run
	// are: the broker has their messages alone.
	Held *held.Store
	// GiveUp is for a worker that has no others beside it: how long it may make nothing of
	// its run, because its store is away, before ServeRun returns why. What no try can cure
	// (missing, denied) it returns at once. 0: others may do better, and it waits.
	GiveUp time.Duration
	// Discover is how often Serve looks for deleted runs, and for new ones that it
	// had no notice of; default 5 s.
	Discover time.Duration
	// Heartbeat is how often c.<run>.worker.<name> is written; default 5 s, and a third as often
	// where it has nothing new to say. A worker of many runs writes no more than ten in that time,
	// one run after the other.
	Heartbeat time.Duration

	// OpenTimeout is how long Open may go without Progress; default 2 min.
	OpenTimeout time.Duration
	// MakeTimeout is how long one sample may take; default 5 min.
	MakeTimeout time.Duration
	// PublishTimeout is how long a stream may refuse a chunk; default 30 s.
	PublishTimeout time.Duration
	// SlowAfter is how long one sample, or publishing, may hold one of Workers' slots; default
	// 10 s. Then the chunk goes on without one.
	SlowAfter time.Duration
	// Lull is after how long without a task Serve looks whether anybody still trains a run;
	// default 30 s.
	Lull time.Duration
}

func (o Options) applyDefaults() Options {
	if o.Name == "" {
		o.Name = defaultWorkerName()
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	for _, d := range []struct {
		of *time.Duration
		is time.Duration
	}{
		{&o.Grace, 20 * time.Second},
		{&o.Discover, 5 * time.Second},
		{&o.Heartbeat, 5 * time.Second},
		{&o.OpenTimeout, 2 * time.Minute},
		{&o.MakeTimeout, 5 * time.Minute},
		{&o.PublishTimeout, 30 * time.Second},
		{&o.SlowAfter, 10 * time.Second},
		{&o.Lull, 30 * time.Second},
	} {
		if *d.of == 0 {
			*d.of = d.is
		}
	}
	return o
}

// Validate reports whether the options can be used; it returns ErrUsage.
func (o Options) Validate() error {
	switch {
	case o.Open == nil:
		return errs.New("worker", "Open", "say how a run's data is opened", errs.ErrUsage)
	case min(o.Grace, o.Discover, o.Heartbeat, o.OpenTimeout, o.MakeTimeout, o.PublishTimeout, o.SlowAfter, o.Lull) < 0 || o.Workers < 0:
		return errs.New("worker", "options", "give 0 for the default, or more", errs.Because(errs.ErrUsage, "a number is negative"))
	case o.Name != "" && schemas.CheckRunName(o.Name) != nil:
		return errs.New("worker name", fmt.Sprintf("%q", o.Name), "use 1 to 64 of letters, digits, '-' and '_'", errs.ErrUsage)
	}
	return nil
}

func defaultWorkerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host" // the random part distinguishes workers
	}
	host = strings.Map(func(r rune) rune {
		if (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, host)
	var b [3]byte
	rand.Read(b[:]) // never fails, says its documentation
	return fmt.Sprintf("%.32s-%d-%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

// Worker makes chunks: it takes tasks from the runs' queues, has them made, and
// publishes each once. Serve and ServeRun may be called once at a time.
type Worker struct {
	js   jetstream.JetStream
	opts Options
	registry
	turns   turns
	total   counters
	crew    crew
	lobby   *lobby
	begun   bool          // it has looked for runs; seek's
	sought  chan struct{} // capacity 1: runs are to be looked for now
	reading chan struct{} // holds one for each keeper that reads from the broker
	proofs  chan struct{} // holds one for each run that is proving itself, for proofPatience
}

// New makes a worker. It returns ErrUsage for options that cannot be.
func New(js jetstream.JetStream, o Options) (*Worker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.applyDefaults()
	w := &Worker{js: js, opts: o, registry: newRegistry(o.Report), sought: make(chan struct{}, 1), proofs: make(chan struct{}, max(4, o.Workers)), reading: make(chan struct{}, reads)}
	w.lobby = newLobby(w)
	return w, nil
}

// Stats are the worker's counts over all runs since it was made.
func (w *Worker) Stats() runs.WorkerStats { return w.total.stats() }

// Name is the worker's name in heartbeats.
func (w *Worker) Name() string { return w.opts.Name }

// Serve makes chunks of every run of the broker that it can serve, and of new ones
// as they are opened. Runs that have tasks waiting get shares of the worker's time by their
// priorities; what one leaves unused goes to the others. A run that fails is left alone for a
// while, which Report hears once, and the others do not notice. It returns nil when ctx ends and
// the chunks in hand are published or their tasks given back.
func (w *Worker) Serve(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		w.seek(gctx, func(bh *bulkhead) {
			g.Go(func() error { return w.keep(gctx, bh) })
		})
		return nil
	})
	return w.work(gctx, g)
}

// ServeRun makes chunks of one run. It returns nil when ctx ends; an error that
// refuses the run: ErrNotFound, ErrMismatch (engine, data set, order), what Open
// returned, ErrDeterminism, and with GiveUp what the store has against every sample.
func (w *Worker) ServeRun(ctx context.Context, name string) error {
	run, err := runs.Lookup(ctx, w.js, name)
	if ctx.Err() != nil && err != nil {
		return nil //nolint:nilerr // it was stopped before it had begun
	}
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	bh := w.admit(name)
	bh.run, bh.read, bh.life.trusted, bh.alone = run, time.Now(), true, true
	g.Go(func() error { return w.keep(gctx, bh) })
	g.Go(func() error {
		w.listen(gctx, func(opened string) {
			if opened == name {
				bh.notice()
			}
		})
		return nil
	})
	return w.work(gctx, g)
}

// work has the slots work until ctx ends, and returns when what they began has ended, or
// hangs for longer than Grace.
func (w *Worker) work(ctx context.Context, g *errgroup.Group) error {
	bctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beats sync.WaitGroup
	beats.Go(func() { w.beats(bctx) })
	for range w.opts.Workers {
		g.Go(func() error { w.loop(ctx); return nil })
	}
	err := g.Wait()
	w.lobby.close()
	if n := w.crew.wait(w.opts.Grace + hangWait); n > 0 {
		w.opts.Report(errs.New("stop worker", w.opts.Name, "see that the runs' stores answer",
			errs.Because(errs.ErrUnavailable, fmt.Sprintf("left %d of its goroutines, which hang", n))))
	}
	stop()
	beats.Wait()
	ectx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangWait)
	defer cancel()
	for _, bh := range w.known() {
		w.lastBeat(ectx, bh) // the counts that it ends with
		w.drop(bh)
	}
	w.crew.wait(hangWait)
	return err
}

// hangWait is how long what should end at once is waited for.
const hangWait = time.Second

// crew are goroutines that a foreign store may keep from ever ending.
type crew struct {
	mu   sync.Mutex
	n    int           // that run; guarded by mu
	none chan struct{} // closed when n falls to 0; nil where nobody waits; guarded by mu
}

func (c *crew) run(f func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	go func() {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.n--; c.n == 0 && c.none != nil {
				close(c.none)
				c.none = nil
			}
		}()
		f()
	}()
}

// wait waits until all have ended, or for so long, and returns how many have not.
func (c *crew) wait(limit time.Duration) int {
	c.mu.Lock()
	if c.n > 0 {
		if c.none == nil {
			c.none = make(chan struct{})
		}
		none := c.none
		c.mu.Unlock()
		select {
		case <-none:
		case <-time.After(limit):
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	return c.n
}
