package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
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
	// Open gives what is needed to serve a run. Its error refuses the run.
	Open func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error)
	// Report receives what does not stop the worker: runs refused, tasks sent
	// back. It is called from several goroutines. Nil: nothing is reported.
	Report func(error)
	// Grace is how long a chunk that is being made may go on when the worker is
	// stopped; default 20 s. Then its task goes back to the queue.
	Grace time.Duration
	// GiveUp is for a worker that has no others beside it: how long it may make nothing of
	// its run, because its store is away, before ServeRun returns why. What no try can cure
	// (missing, denied) it returns at once. 0: others may do better, and it waits.
	GiveUp time.Duration
	// Discover is how often Serve looks for deleted runs, and for new ones that it
	// had no notice of; default 5 s.
	Discover time.Duration
	// Heartbeat is how often c.<run>.worker.<name> is written; default 5 s.
	Heartbeat time.Duration
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
	if o.Grace == 0 {
		o.Grace = 20 * time.Second
	}
	if o.Discover == 0 {
		o.Discover = 5 * time.Second
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 5 * time.Second
	}
	return o
}

// Validate reports whether the options can be used; it returns ErrUsage.
func (o Options) Validate() error {
	switch {
	case o.Open == nil:
		return errs.New("worker", "Open", "say how a run's data is opened", errs.ErrUsage)
	case o.Workers < 0 || o.Grace < 0 || o.Discover < 0 || o.Heartbeat < 0:
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
	turns turns
	total counters
}

// New makes a worker. It returns ErrUsage for options that cannot be.
func New(js jetstream.JetStream, o Options) (*Worker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.applyDefaults()
	return &Worker{js: js, opts: o, registry: newRegistry(o.Report)}, nil
}

// Stats are the worker's counts over all runs since it was made.
func (w *Worker) Stats() runs.WorkerStats { return w.total.stats() }

// Name is the worker's name in heartbeats.
func (w *Worker) Name() string { return w.opts.Name }

// Serve makes chunks of every run of the broker that it can serve, and of new ones
// as they are opened. Runs that have tasks waiting get equal shares of the worker's
// time; what one leaves unused goes to the others. It returns nil when ctx ends and the chunks in hand are
// published or their tasks given back. Runs that it refuses go to Report, and so
// does a broker that does not answer: each when it changes, not each time it is
// found so.
func (w *Worker) Serve(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		w.seek(gctx)
		return nil
	})
	w.start(g, gctx, func(sv *serving, err error) error {
		w.refuse(sv, err)
		return nil
	})
	return w.finish(g)
}

// ServeRun makes chunks of one run. It returns nil when ctx ends; an error that
// refuses the run: ErrNotFound, ErrMismatch (engine, data set, order), what Open
// returned, ErrDeterminism, and with GiveUp what the store has against every sample.
func (w *Worker) ServeRun(ctx context.Context, name string) error {
	run, err := runs.Lookup(ctx, w.js, name)
	if err == nil {
		err = w.admit(ctx, run)
	}
	if ctx.Err() != nil && err != nil {
		return nil //nolint:nilerr // it was stopped before it had begun
	}
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	w.start(g, gctx, func(_ *serving, err error) error { return err })
	return w.finish(g)
}

// start launches heartbeat and makers in g. refuse is called when a run must not
// be served any more; what it returns ends them all.
func (w *Worker) start(g *errgroup.Group, ctx context.Context, refuse func(*serving, error) error) {
	g.Go(func() error {
		for {
			done := link.Sleep(ctx, w.opts.Heartbeat) != nil
			for _, sv := range w.runs() {
				w.heartbeat(sv)
			}
			if done {
				return nil //nolint:nilerr // ctx has ended, as it should
			}
		}
	})
	for i := range w.opts.Workers {
		g.Go(func() error { return w.loop(ctx, i, refuse) })
	}
}

func (w *Worker) finish(g *errgroup.Group) error {
	err := g.Wait()
	for _, sv := range w.runs() {
		w.heartbeat(sv) // the counts that it ends with
		w.drop(sv)
	}
	return err
}

// seek looks for new and deleted runs until ctx ends: when one is opened, and now
// and then for those that it had no notice of.
func (w *Worker) seek(ctx context.Context) {
	opened := make(chan *nats.Msg, 64) // more at once are one reason to look
	if sub, err := w.js.Conn().ChanSubscribe(schemas.AnyOptions, opened); err == nil {
		defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	}
	for {
		if err := w.discover(ctx); ctx.Err() == nil {
			w.notify("", err)
		}
		t := time.NewTimer(w.opts.Discover)
		select {
		case <-opened:
			// The consumer of the run's tasks is made just after its options.
			_ = link.Sleep(ctx, openedWait)
			for len(opened) > 0 {
				<-opened
			}
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// openedWait lets notices of runs come together.
const openedWait = 50 * time.Millisecond

// discover admits runs that are new and drops those that are gone.
func (w *Worker) discover(ctx context.Context) error {
	lctx, cancel := link.WhileConnected(ctx, w.js.Conn(), link.PassTimeout)
	found, err := runs.List(lctx, w.js)
	cancel()
	if err != nil && (found == nil || errors.Is(err, errs.ErrUnavailable)) {
		return err // the broker is away: the runs that are not listed may well be there
	}
	live := map[string]bool{}
	for _, run := range found {
		live[run.Info.Digest+run.Name] = true
	}
	for _, sv := range w.runs() {
		if !live[sv.run.Info.Digest+sv.run.Name] {
			w.drop(sv)
		}
	}
	w.forget(found)
	for _, run := range found {
		if aerr := w.admit(ctx, run); aerr != nil && ctx.Err() == nil {
			w.notify(run.Name, aerr)
		}
	}
	return err
}

// admit begins to serve a run, unless it was refused lately.
func (w *Worker) admit(ctx context.Context, run *runs.Run) error {
	if !w.isNew(run) {
		return nil
	}
	if e := run.Info.Spec.Engine; len(w.opts.Engines) > 0 && !slices.Contains(w.opts.Engines, e) {
		return w.ban(run, errs.New("serve run", run.Name, "run a worker that has engine "+e,
			errs.Because(errs.ErrMismatch, fmt.Sprintf("it needs engine %q, this worker has %q", e, w.opts.Engines))))
	}
	src, err := w.opts.Open(ctx, &run.Info)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return w.ban(run, err)
	}
	w.add(&serving{run: run, source: src, refs: 1, began: time.Now().UTC()})
	return nil
}

// refuse stops serving a run.
func (w *Worker) refuse(sv *serving, why error) {
	w.notify(sv.run.Name, w.ban(sv.run, why))
	w.drop(sv)
}

// heartbeat writes the worker's heartbeat for a run. A beat that does not arrive is
// followed by another, so its error does not matter.
func (w *Worker) heartbeat(sv *serving) {
	b := runs.Heartbeat{Worker: w.opts.Name, Workers: w.opts.Workers, Began: sv.began, Time: time.Now().UTC(), WorkerStats: sv.stats()}
	b.Trouble, b.SentBack, b.Failed = sv.troubles()
	body, err := b.Encode()
	if err != nil {
		w.opts.Report(err)
		return
	}
	_ = w.js.Conn().PublishMsg(&nats.Msg{Subject: schemas.WorkerSubject(sv.run.Name, w.opts.Name), Data: body})
}
