package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
)

// childWait is how long a trainer has for its checkpoint once it is asked to stop.
const childWait = 2 * time.Minute

// statusEvery is how often the progress of a cell is printed.
const statusEvery = 30 * time.Second

// sweepBroker is where a sweep's batches come from: an embedded broker that the trainers reach
// over loopback, with workers in this process, or the farm's.
type sweepBroker struct {
	args  []string // for the trainers
	work  func(ctx context.Context) error
	drop  func(ctx context.Context, run string) error
	close func() error
}

// openSweepBroker starts broker and workers, or stands for the farm's. The caller closes it.
func openSweepBroker(ctx context.Context, f sweepFlags, args []string, report func(string)) (*sweepBroker, error) {
	b := &sweepBroker{
		args: args, close: func() error { return nil },
		work: func(context.Context) error { return nil },
		drop: func(context.Context, string) error { return nil }, // a farm's runs belong to its people
	}
	if f.at.URL != "" && f.workers == 0 {
		return b, nil
	}
	var js jetstream.JetStream
	if f.at.URL == "" {
		e, err := access.Embed(ctx, "resslt sweep", broker.Options{Listen: "127.0.0.1:0"}, report)
		if err != nil {
			return nil, err
		}
		js, b.close = e.JetStream, e.Close
		b.args = []string{"--nats", e.URL(), "--token-file", e.TokenFile()}
		b.drop = func(ctx context.Context, run string) error { return runs.Delete(ctx, js, run) }
	} else {
		nc, remote, err := f.at.Connect(ctx, "resslt sweep", broker.RoleWorker, report)
		if err != nil {
			return nil, err
		}
		js, b.close = remote, func() error { nc.Close(); return nil }
	}
	w, err := newSweepWorker(js, f.workers, report)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.work = w.Serve
	return b, nil
}

func newSweepWorker(js jetstream.JetStream, workers int, report func(string)) (*worker.Worker, error) {
	shelf := pipeline.NewShelf() // the cells' data are the same, often
	return worker.New(js, worker.Options{
		Workers: workers, Engines: augment.EngineNames(),
		Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
			return shelf.Open(ctx, rec, nil, ingest.Options{Warn: cli.Warn}, nil, func(pipeline.Headway) { worker.Progress(ctx) })
		},
		Report: func(err error) { report("worker: " + cli.Line(err)) },
	})
}

// trainCells trains what is not done, f.parallel cells at a time, those of one stream
// together. A cell that fails does not keep the others from being trained; the error names it.
func trainCells(ctx context.Context, f sweepFlags, args []string, book *sweepBook, stderr io.Writer) (err error) {
	todo := book.todo()
	if len(todo) == 0 {
		return nil
	}
	var mu sync.Mutex
	report := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(stderr, line)
	}
	b, err := openSweepBroker(ctx, f, args, report)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	wctx, stopWork := context.WithCancel(context.WithoutCancel(ctx)) // trainers end before workers
	var work errgroup.Group
	work.Go(func() error { return b.work(wctx) })
	defer func() {
		stopWork()
		err = errors.Join(err, work.Wait())
	}()

	return eachCell(ctx, todo, f.parallel,
		func(c *sweepCell) error { return trainCell(ctx, f, b.args, book, c, report) },
		func(run string) error { return b.drop(ctx, run) },
		errs.New("sweep", f.out, "run the same command again to continue",
			errs.Because(errs.ErrInterrupted, "trainers have written their checkpoints")))
}

// eachCell trains the cells, some at a time, and drops a run when the last cell of it has
// ended, however it ended: the next runs need the room. It returns every cell's error; where
// ctx ends, interrupted as well.
func eachCell(ctx context.Context, cells []*sweepCell, parallel int, train func(*sweepCell) error, drop func(run string) error, interrupted error) error {
	left := map[string]int{} // cells of a run that have not ended; guarded by mu
	for _, c := range cells {
		left[c.run]++
	}
	var (
		mu     sync.Mutex
		failed []error // guarded by mu
		g      errgroup.Group
	)
	g.SetLimit(parallel)
	for _, c := range cells {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := train(c)
			mu.Lock()
			left[c.run]--
			last := left[c.run] == 0
			mu.Unlock()
			if last && ctx.Err() == nil {
				err = errors.Join(err, drop(c.run))
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // its functions leave their errors in failed
	if ctx.Err() != nil {
		failed = append(failed, interrupted)
	}
	return errors.Join(failed...)
}

// trainCell trains one cell in a process of its own, to its summary.
func trainCell(ctx context.Context, f sweepFlags, connection []string, book *sweepBook, c *sweepCell, report func(string)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	dir := book.dir(c)
	fail := func(why error) error {
		return errs.New("train cell", c.ID, "see "+filepath.Join(dir, "train.log")+", then run the same command again",
			errs.BecauseErr(errs.ErrUnavailable, why))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return durable.Error(dir, err)
	}
	log, err := bounded.OpenFile(filepath.Join(dir, "train.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return durable.Error(dir, err)
	}
	defer log.Close() // every line was written
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	args := append([]string{
		"train", "--run", c.run, "--trainer", c.ID, "--recipe", c.Recipe, "--out", dir,
		"--priority", strconv.Itoa(f.priority), "--max-workers", strconv.Itoa(f.most),
	}, connection...)
	for _, s := range c.set {
		args = append(args, "--set", s)
	}
	if f.data != "" {
		args = append(args, "--data", f.data)
	}
	if canResume(dir, c) {
		args = append(args, "--resume")
	}
	child := exec.CommandContext(ctx, self, args...)
	if f.at.URL == "" { // the embedded broker: the environment names another
		child.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NATS_") })
	}
	last := &lastLine{to: log}
	child.Stdout, child.Stderr = log, last
	// Ctrl-C on a terminal goes to every process of the group. The trainers get it from here
	// alone, once: a second one would cut their checkpoints short.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	child.WaitDelay = childWait

	report(c.ID + ": begins")
	began := time.Now()
	done := make(chan struct{})
	var status sync.WaitGroup
	status.Go(func() {
		tick := time.NewTicker(statusEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				report(c.ID + ": " + last.get())
			case <-done:
				return
			}
		}
	})
	err = child.Run()
	close(done)
	status.Wait()
	var exit *exec.ExitError
	if ctx.Err() != nil && (!errors.As(err, &exit) || exit.ExitCode() == cli.Interrupted) {
		return ctx.Err()
	}
	if err != nil {
		err = fail(fmt.Errorf("%s (%w)", last.get(), err))
		report(cli.Line(err))
		return err
	}
	if err := book.finish(c); err != nil {
		return err
	}
	report(fmt.Sprintf("%s: done in %s", c.ID, time.Since(began).Round(time.Second)))
	return nil
}

// canResume reports whether the folder has a checkpoint of the cell as it is now.
func canResume(dir string, c *sweepCell) bool {
	if _, _, err := train.LatestCheckpoint(train.CheckpointDir(dir)); err != nil {
		return false
	}
	raw, err := bounded.ReadFile(filepath.Join(dir, "recipe.yaml"), boundedyaml.MaxBytes)
	return err == nil && bytes.Equal(raw, c.recipe.YAML())
}

// lastLine passes lines on and keeps the last.
type lastLine struct {
	to io.Writer

	mu   sync.Mutex
	line string // guarded by mu
}

func (l *lastLine) Write(p []byte) (int, error) {
	lines := strings.Split(strings.TrimSpace(string(p)), "\n")
	l.mu.Lock()
	if s := strings.TrimSpace(lines[len(lines)-1]); s != "" {
		l.line = s
	}
	l.mu.Unlock()
	return l.to.Write(p)
}

func (l *lastLine) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}
