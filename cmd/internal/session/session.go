package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/online"
	"resslt/cmd/internal/version"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/torch"
)

// Run trains as the options say, or continues where an earlier session stopped, and finishes
// the run. Where ctx ends it returns ErrInterrupted, after a checkpoint if a step was made.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	c, err := newConsole(&o)
	if err != nil {
		return err
	}
	g := newGroup(&o)
	if g.Rank > 0 {
		return follow(ctx, &o, g, c.ofRank(g.Rank))
	}
	return lead(ctx, &o, g, c)
}

// closing closes something at a function's end.
func closing(err *error, close func() error) { *err = errors.Join(*err, close()) }

// leader is the process that trains alone, or rank 0 of several: it holds the folder, tells
// subscribers of the run's events, and finishes the run. All of it is set when it is made.
type leader struct {
	*console
	opts    *Options
	group   *group
	began   time.Time
	source  source
	metrics *metrics
	page    *page
	folder  *Folder
	plan    *Plan

	replaced *replaced
	names    *names
	scored   func(online.Scores) // tells the subscribers a score; set before they start
}

// lead makes the leader and runs its session.
func lead(ctx context.Context, o *Options, g *group, c *console) (err error) {
	began := time.Now()
	defer g.free()
	src, err := openSource(ctx, o, c)
	if err != nil {
		return err
	}
	defer closing(&err, src.close)
	p, err := newPlan(o)
	if err != nil {
		return err
	}
	m, err := serveMetrics(o.Observe, c.log)
	if err != nil {
		return err
	}
	defer func() {
		if merr := m.close(); merr != nil { // the weights do not depend on it
			c.warn(merr)
		}
	}()
	folder, err := LockFolder(p.Out)
	if err != nil {
		return err
	}
	defer closing(&err, folder.Close)
	page, err := servePage(o, p.Out, m, c)
	if err != nil {
		return err
	}
	defer func() {
		if perr := page.close(); perr != nil { // nor on this
			c.warn(perr)
		}
	}()
	err = p.decide(ctx, o, src, g.cores(), cli.Progress(c.stderr, "indexing"))
	for _, w := range slices.Concat(p.LocalWarnings, p.Warnings) {
		c.print(w)
	}
	if err != nil {
		return err
	}
	if line := p.Opened(); line != "" {
		c.print(line)
	}
	l := &leader{
		console: c, opts: o, group: g, began: began, source: src, metrics: m, page: page, folder: folder, plan: p,
		replaced: newReplaced(p.Recipe.KeepCheckpoints + 1), names: &names{plan: p},
	}
	res, subs, err := l.result(ctx)
	if err != nil {
		return err
	}
	return l.finish(ctx, res, subs)
}

// result trains, or takes the checkpoint of an earlier session that has.
func (l *leader) result(ctx context.Context) (*train.Result, subscribers, error) {
	if l.plan.Trained() {
		if complete, err := l.source.complete(ctx, l.plan); err != nil {
			return nil, nil, err
		} else if complete {
			return l.reload(ctx)
		}
	}
	if err := l.source.connect(ctx); err != nil {
		return nil, nil, err
	}
	if !l.plan.Trained() {
		if _, err := l.group.join(ctx, l.plan.Recipe.Device, nil); err != nil {
			return nil, nil, err
		}
	}
	return l.train(ctx)
}

// sinks are the subscribers to the run's events, in the order in which they are told.
var sinks = []sink{auditing, checking, recording, naming, showing, watching, plotting, progressing, reporting, tracking, scoring}

// train makes the run's remaining steps. Everything that can fail for reasons outside the
// folder does so before an earlier run's files are set aside.
func (l *leader) train(ctx context.Context) (*train.Result, subscribers, error) {
	c := &consumer{
		plan: l.plan, trainer: l.opts.Trainer, part: l.group.part(), metrics: l.metrics,
		inTurn: func(_ string, open func(first bool) error) error { return l.group.announce(open(true)) },
	}
	run, err := l.source.begin(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	subs, err := subscribe(ctx, l, run, sinks)
	if err != nil {
		return nil, nil, err
	}
	l.scored = subs.scored
	gate := newGate(subs.recorder())
	c.recorder = gate
	stream, err := l.source.open(ctx, c)
	if err != nil {
		return nil, nil, errors.Join(err, subs.close())
	}
	res, err := l.consume(ctx, stream, subs, gate)
	err = errors.Join(err, stream.Close(), subs.close())
	if err == nil {
		var d delivery
		d, err = l.source.delivered(ctx)
		res.Summary.ChunksRedelivered, res.Summary.EngineTier = d.redelivered, d.engineTier
	}
	if err == nil {
		err = l.shorten(res)
	}
	res, err = resultOr(res, err)
	return res, subs, err
}

// resultOr gives the result, or frees it where there is an error.
func resultOr(res *train.Result, err error) (*train.Result, error) {
	if err != nil && res != nil {
		res.Learner.Free()
		res = nil
	}
	return res, err
}

// consume trains on what the stream hands out.
func (l *leader) consume(ctx context.Context, stream batches, subs subscribers, gate *gate) (*train.Result, error) {
	defer subs.ended()
	if err := l.begin(); err != nil {
		return nil, err
	}
	if err := subs.start(ctx); err != nil {
		return nil, err
	}
	gate.open()
	if l.plan.Resume != nil {
		l.print(fmt.Sprintf("resuming at step %d of %d", l.plan.From(), l.plan.Spec.Steps()))
	}
	res, err := train.Run(ctx, l.group.options(subs.options(train.Options{
		Recipe: l.plan.Recipe, Spec: &l.plan.Spec, Stream: stream, Out: l.plan.Out, Resume: l.plan.Resume, Provenance: l.provenance(),
		Ready: l.ready,
	})))
	if err != nil {
		l.group.free()
		subs.failed()
		return nil, err
	}
	if err := l.group.leave(); err != nil {
		return resultOr(res, err)
	}
	if err := stream.finish(ctx); err != nil {
		if ctx.Err() != nil {
			err = errs.New("end run", l.plan.Out, "continue with --resume", errs.Because(errs.ErrInterrupted, "training is done and saved"))
		}
		return resultOr(res, err)
	}
	s := stream.Stats()
	// The steps before a checkpoint had all their chunks, each once.
	res.Summary.ChunksPublished = l.plan.From()*int64(l.plan.Spec.Chunks()) + s.Chunks
	res.Summary.ChunksTombstoned, res.Summary.DigestMismatches = s.Tombstoned, s.DigestMismatches
	return res, nil
}

// begin sets an earlier run's files aside, prints the resolved recipe and writes it to the
// folder, with the data's manifest, once everything that a run needs is there.
func (l *leader) begin() error {
	l.folder.Use()
	if l.plan.Resume == nil {
		to, err := l.folder.setAside()
		if err != nil {
			return err
		}
		if to != "" {
			l.print("an earlier run's files are now in " + to)
		}
	}
	y := l.plan.Recipe.YAML()
	threads := threadLine(l.plan.Recipe.Threads, cores.For(l.group.cores(), os.LookupEnv))
	switch {
	case l.plain && l.opts.Verbose:
		fmt.Fprintf(l.stderr, "%s%s\n", y, threads)
	case l.plain:
		for _, line := range l.plan.brief() {
			l.print(line)
		}
		l.print(threads)
	default:
		l.log.Info("recipe", "yaml", string(y))
		l.log.Info(threads)
	}
	if l.plan.dataset != nil {
		if err := l.plan.dataset.Keep(l.plan.Out); err != nil {
			return err
		}
	}
	return durable.WriteFile(filepath.Join(l.plan.Out, recipeFile), y)
}

// ready prints what the run is going to take, once its networks are there.
func (l *leader) ready(n train.Needs) {
	resident := cli.RSS()
	if !l.plain {
		l.log.Info("needs", "resident_bytes", resident, "weights_bytes", n.Weights, "gradients_bytes", n.Gradients,
			"activations_bytes", n.Activations+n.Similarity, "checkpoint_bytes", n.Checkpoint)
		return
	}
	for _, line := range l.plan.needs(n, resident) {
		l.interject(line)
	}
}

// provenance says what makes this session's files.
func (l *leader) provenance() train.Provenance {
	host, err := os.Hostname()
	if err != nil {
		host = "" // nothing depends on it
	}
	return train.Provenance{Build: version.String(), Command: l.opts.Command, Host: host, Started: l.began.UTC().Format(time.RFC3339)}
}

// threadLine says how many threads libtorch has, why, and how they wait.
func threadLine(n int, usual cores.Threads) string {
	why := usual.Source
	if n != usual.Count {
		why = fmt.Sprintf("the recipe's; the default here is %d: %s", usual.Count, usual.Source)
	}
	return fmt.Sprintf("libtorch's threads: %d (%s), waiting: %s", n, why, torch.Waiting())
}

// reload takes the result from the last step's checkpoint: an earlier session was stopped in
// what comes after it. A log that it left open is closed.
func (l *leader) reload(ctx context.Context) (*train.Result, subscribers, error) {
	if err := l.begin(); err != nil {
		return nil, nil, err
	}
	subs, err := subscribe(ctx, l, nil, []sink{recording, watching, reporting, tracking})
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(subs.start(ctx), subs.close()); err != nil {
		return nil, nil, err
	}
	if err := l.replaced.load(l.plan.Out, l.plan.From()); err != nil {
		return nil, nil, err
	}
	l.metrics.enter(trained)
	l.print(fmt.Sprintf("resuming at step %d of %d", l.plan.From(), l.plan.Spec.Steps()))
	res, err := train.Run(ctx, train.Options{Recipe: l.plan.Recipe, Spec: &l.plan.Spec, Out: l.plan.Out, Resume: l.plan.Resume, Provenance: l.provenance()})
	if err != nil {
		return nil, nil, err
	}
	sum := &res.Summary
	sum.ChunksPublished = l.plan.Spec.Steps() * int64(l.plan.Spec.Chunks())
	was, err := train.ReadSummary(l.summaryFile())
	switch {
	case err == nil && was.StudentSHA256 == sum.StudentSHA256:
		sum.ImagesPerSecond, sum.DataWaitFraction, sum.EngineTier = was.ImagesPerSecond, was.DataWaitFraction, was.EngineTier
		sum.ChunksRedelivered, sum.ChunksTombstoned = was.ChunksRedelivered, was.ChunksTombstoned
		sum.DigestMismatches, sum.SamplesReplaced = was.DigestMismatches, was.SamplesReplaced
	case err != nil && !errors.Is(err, errs.ErrNotFound): // a session that was killed has written none
		res.Learner.Free()
		return nil, nil, err
	}
	return res, subs, nil
}
