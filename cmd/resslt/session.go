package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"resslt/batcher/record"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/observe"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/eval"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// sessionFlags are the flags that `run` and `train` share.
type sessionFlags struct {
	recipe, data, out string
	record            string
	set               []string
	resume, json      bool
	seen              observe.Flags
	ranks             *ranks // of `train`; nil: one process
}

func (f *sessionFlags) register(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.recipe, "recipe", "quickstart", "embedded recipe or a YAML `file`")
	p.StringVar(&f.data, "data", "", "data `URI` in place of the recipe's: "+schemeList())
	p.StringArrayVar(&f.set, "set", nil, "override a recipe field, `key=value`; may be repeated")
	p.StringVar(&f.out, "out", "", "`folder` for checkpoints, weights and summary.json (default runs/RECIPE)")
	registerRecord(p, &f.record)
	p.BoolVar(&f.resume, "resume", false, "go on from the newest checkpoint in --out")
	p.BoolVar(&f.json, "json", false, "print the summary as one JSON object, the last line of standard output")
	f.seen.Register(p)
}

// transportFlags are the limits of a run's transport; zero is batcher's default.
type transportFlags struct {
	trainer, storage                            string
	window, audit                               int64
	lease, ackWait, brokerTimeout, stallTimeout time.Duration
}

func (f *transportFlags) register(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.trainer, "trainer", "trainer", "this trainer's `name`: several may share a run, each under its own")
	p.DurationVar(&f.lease, "lease", stream.DefaultLeaseTerm, "after so long a silence of this trainer the others of the run go on without it")
	p.Int64Var(&f.window, "window", 0, "`steps` that workers may make ahead (default as many as fit 512 MiB, 2 to 64)")
	p.StringVar(&f.storage, "storage", string(runs.StorageMemory), "where the broker keeps the batches that are not taken yet: memory or file")
	p.Int64Var(&f.audit, "audit", 0, "make one in `N` chunks again on this machine, and stop where a worker made other bytes (0: none)")
	p.DurationVar(&f.ackWait, "ack-wait", runs.DefaultAckWait, "after so long a silence of its worker a task is given to another")
	p.DurationVar(&f.brokerTimeout, "broker-timeout", stream.DefaultBrokerTimeout, "how long the broker may be away before the trainer saves and stops")
	p.DurationVar(&f.stallTimeout, "stall-timeout", stream.DefaultStallTimeout, "how long no batch may come before the trainer saves and stops")
}

func schemeList() string {
	var forms []string
	for _, s := range ingest.Schemes() {
		forms = append(forms, s.Form)
	}
	return strings.Join(forms, ", ")
}

// session is one run's trainer: everything but who makes the batches.
type session struct {
	sessionFlags
	stdout, stderr io.Writer
	began          time.Time
	recipe         *recipe.Recipe
	resume         *train.Checkpoint
	spec           schemas.RunSpec
	engineTier     string // of the workers in this process; "" without one
	limits         transportFlags
	recording      recording
	replay         *replay  // nil: the batches are made, not recorded
	held           *os.File // the folder's lock
	log            *slog.Logger
	monitor        *monitor
	js             jetstream.JetStream // set by open
}

// openSession resolves the recipe, finds the checkpoint to resume from, indexes
// the data, makes the run spec and takes the folder. What can be found wrong is
// found here, before an earlier run's files are touched. The caller closes the
// session. from, if not nil, is where recorded batches come from: then no data is needed.
func openSession(ctx context.Context, c *cobra.Command, f sessionFlags, from *replay) (_ *session, err error) {
	s := &session{sessionFlags: f, replay: from, stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(), began: time.Now()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.log, err = f.seen.Logger(s.stderr); err != nil {
		return nil, err
	}
	if f.ranks.follows() {
		s.stdout, s.stderr, f.seen.Metrics = io.Discard, f.ranks.voice(s.stderr), ""
		s.log = s.log.With("rank", f.ranks.at.Rank)
	}
	if !f.seen.Plain() {
		s.stderr = observe.Lines(s.log)
	}
	r, err := recipe.Load(f.recipe)
	if err != nil {
		return nil, err
	}
	if s.monitor, err = newMonitor(f.seen, s.log); err != nil {
		return nil, err
	}
	if s.out == "" {
		s.out = filepath.Join("runs", r.Name)
	}
	if !f.ranks.follows() {
		if err := s.lock(); err != nil {
			return nil, err
		}
	}
	if f.resume {
		if err := refused(s.out); err != nil {
			return nil, err
		}
		if r, err = s.findCheckpoint(r.Name, c.Flags().Changed("recipe")); err != nil {
			return nil, err
		}
	}
	if err := overrideOn(r, f.data, f.set, f.ranks.cores()); err != nil {
		return nil, err
	}
	if r.Data, err = pipeline.Absolute(r.Data); err != nil {
		return nil, err
	}
	s.recipe = r
	if err := torch.Open(""); err != nil {
		return nil, err
	}
	if err := train.Check(r); err != nil {
		return nil, err
	}
	if err := s.resolveSpec(ctx); err != nil {
		return nil, err
	}
	if s.recording, err = parseRecord(f.record, s.spec.Steps()); err != nil {
		return nil, err
	}
	if s.resume != nil && s.resume.RunDigest != s.spec.Digest() {
		return nil, errs.New("resume from", s.out, "resume with the recipe, data and engine of the run, or start over without --resume",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("its batches are of run %.12s, these settings make run %.12s", s.resume.RunDigest, s.spec.Digest())))
	}
	s.warn()
	return s, nil
}

// resolveSpec finds which batches the recipe asks for: of the data set, or of the record.
func (s *session) resolveSpec(ctx context.Context) (err error) {
	if s.replay != nil {
		s.spec, err = pipeline.ReplaySpec(s.recipe, &s.replay.run.Spec)
		return err
	}
	o := ingest.Options{Split: s.recipe.Split}
	if !s.ranks.follows() {
		o.Progress = cli.Progress(s.stderr, "indexing")
	}
	src, err := ingest.Open(ctx, s.recipe.Data, o)
	if err != nil {
		return err
	}
	defer src.Close()
	s.spec, err = pipeline.Spec(s.recipe, src.Manifest())
	return err
}

// warn says what is allowed and yet likely to be a mistake. The recipe is every rank's,
// and rank 0 speaks of it.
func (s *session) warn() {
	if !s.ranks.follows() {
		for _, w := range s.recipe.Warnings() {
			fmt.Fprintln(s.stderr, "warning: "+w)
		}
	}
	if s.resume == nil {
		return
	}
	if was, err := recipe.ParseResolved("", []byte(s.resume.Recipe)); err == nil && !s.ranks.follows() {
		if changed := s.recipe.Changed(was); len(changed) > 0 {
			fmt.Fprintln(s.stderr, "warning: changed since the checkpoint, so the weights will be others: "+strings.Join(changed, ", "))
		}
	}
	if info, err := torch.Info(); err == nil && info.TorchVersion != s.resume.Torch {
		fmt.Fprintf(s.stderr, "warning: the checkpoint was made with libtorch %s, this is %s: the weights will differ in their last bits\n", s.resume.Torch, info.TorchVersion)
	}
}

// lock makes the folder and takes it for this process.
func (s *session) lock() (err error) {
	s.held, err = lockFolder(s.out)
	return err
}

// lockFolder makes a folder and takes it for this process: two in one folder would
// overwrite each other's files. Closing the file gives it back.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, folderError(dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, folderError(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errs.New("use folder", dir, "wait for it to end or choose another --out", errs.Because(errs.ErrUsage, "another run is writing there"))
	}
	return f, nil
}

func folderError(dir string, err error) error {
	return errs.New("use folder", dir, "choose another --out", errs.BecauseErr(errs.ErrUnavailable, err))
}

// close gives the folder back.
func (s *session) close() {
	s.ranks.free()
	if s.monitor != nil {
		if err := s.monitor.close(); err != nil { // the weights are none the worse for it
			fmt.Fprintln(s.stderr, "warning: "+cli.Line(err))
		}
	}
	if s.held != nil {
		s.held.Close() // and with it the lock
	}
}

// findCheckpoint finds the newest checkpoint and gives the recipe that it was
// made with, which is the one that counts.
func (s *session) findCheckpoint(name string, named bool) (*recipe.Recipe, error) {
	c, damaged, err := train.LatestCheckpoint(train.CheckpointDir(s.out))
	if err != nil {
		return nil, err
	}
	for _, d := range damaged {
		fmt.Fprintln(s.stderr, "passing over: "+cli.Line(d))
	}
	s.resume = c
	r, err := recipe.ParseResolved(filepath.Join(s.out, "recipe.yaml"), []byte(c.Recipe))
	if err != nil {
		return nil, err
	}
	if named && r.Name != name {
		return nil, errs.New("resume from", s.out, "name the run's own recipe or another --out",
			errs.Because(errs.ErrUsage, fmt.Sprintf("it is a run of recipe %s, not %s", r.Name, name)))
	}
	return r, nil
}

// runFiles are what a run leaves in its folder.
var runFiles = []string{
	"checkpoints", "metrics.jsonl", "recipe.yaml", "summary.json", "encoder.safetensors", record.Subfolder,
	tensorboardFolder, knnFile, eval.ReportFile, reportPage, refusalFile,
}

// setAside moves an earlier run's files into previous-N, so that starting over
// loses nothing.
func (s *session) setAside() error {
	to := ""
	kept, err := filepath.Glob(keptBatch(s.out, "*"))
	if err != nil {
		return folderError(s.out, err)
	}
	files := runFiles
	for _, path := range kept {
		files = append(files[:len(files):len(files)], filepath.Base(path))
	}
	for _, name := range files {
		from := filepath.Join(s.out, name)
		if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for n := 1; to == ""; n++ {
			try := filepath.Join(s.out, "previous-"+strconv.Itoa(n))
			switch err := os.Mkdir(try, 0o755); {
			case err == nil:
				to = try
			case !errors.Is(err, fs.ErrExist):
				return folderError(s.out, err)
			}
		}
		if err := os.Rename(from, filepath.Join(to, name)); err != nil {
			return folderError(s.out, err)
		}
	}
	if to != "" {
		fmt.Fprintln(s.stderr, "an earlier run's files are now in "+to)
	}
	return nil
}

// begin prints the resolved recipe and keeps it with the result, once everything
// that a run needs is there.
func (s *session) begin() error {
	if s.resume == nil {
		if err := s.setAside(); err != nil {
			return err
		}
	}
	y := s.recipe.YAML()
	threads := threadLine(s.recipe.Threads, cores.For(s.ranks.cores(), os.LookupEnv))
	if s.seen.Plain() {
		fmt.Fprintf(s.stderr, "%s%s\n", y, threads)
	} else {
		s.log.Info("recipe", "yaml", string(y))
		s.log.Info(threads)
	}
	return durable.WriteFile(filepath.Join(s.out, "recipe.yaml"), y)
}

// threadLine says how many threads libtorch takes, why, and how they wait.
func threadLine(n int, usual cores.Threads) string {
	why := usual.Source
	if n != usual.Count {
		why = fmt.Sprintf("the recipe's; the default here is %d: %s", usual.Count, usual.Source)
	}
	return fmt.Sprintf("libtorch's threads: %d (%s), waiting: %s", n, why, torch.Waiting())
}

// open creates the run in the broker, or joins the one of equal spec.
func (s *session) open(ctx context.Context, js jetstream.JetStream, name string) (*runs.Run, error) {
	s.js = js
	o := runs.Options{
		DataURI: s.recipe.Data, Window: s.limits.window, AckWait: s.limits.ackWait, Storage: runs.Storage(s.limits.storage),
	}
	if s.recording.stream {
		o.Storage, o.MaxBytes = runs.StorageFile, runs.RecordingBytes(&s.spec)
	}
	return runs.Open(ctx, js, name, s.spec, o)
}

// patienceFor is how long a trainer waits for its first batch before it says so.
const patienceFor = 10 * time.Second

// train consumes the run's batches to the last step; makers says for people who
// makes them. A rank other than 0 gives no result.
func (s *session) train(ctx context.Context, run *runs.Run, makers string) (res *train.Result, err error) {
	order, err := pipeline.Order(&s.spec)
	if err != nil {
		return nil, err
	}
	from := s.from()
	rec := s.newRecord(order)
	o := stream.Options{
		From: from, Trainer: s.ranks.trainer(s.limits.trainer), Part: s.ranks.part(), LeaseTerm: s.limits.lease,
		BrokerTimeout: s.limits.brokerTimeout, StallTimeout: s.limits.stallTimeout,
	}
	if !s.ranks.follows() {
		o.Record = s.recorder(rec)
		if s.recording.stream {
			o.Keep = -1
		}
		if s.limits.audit != 0 {
			a, aerr := s.auditor(ctx, run)
			if aerr != nil {
				return nil, aerr
			}
			defer func() {
				fmt.Fprintf(s.stderr, "%d chunks were made again here\n", a.Audited())
				if err = errors.Join(err, a.Close()); err != nil && res != nil {
					res.Learner.Free()
					res = nil
				}
			}()
			o.Record = stream.Recorders(a, o.Record)
		}
	}
	stream, err := stream.Open(ctx, run, order, o)
	if err != nil {
		return nil, err
	}
	if s.ranks.follows() {
		return nil, s.follow(ctx, stream)
	}
	s.monitor.broker(s.js)
	s.monitor.stream(run, stream)
	ended := func(context.Context) error { return nil }
	if s.recording.stream {
		ended = stream.Seal
	}
	return s.consume(ctx, stream, rec, from, fmt.Sprintf("run %s from %s", run.Name, makers), ended)
}

// from is the first step that is trained now.
func (s *session) from() int64 {
	if s.resume == nil {
		return 0
	}
	if !s.ranks.follows() {
		fmt.Fprintf(s.stderr, "resuming at step %d of %d\n", s.resume.Step, s.spec.Steps())
	}
	return s.resume.Step
}

// notice tells what makes the run slower than its recipe asks for.
func (s *session) notice(what string) { fmt.Fprintln(s.stderr, "\nnotice: "+what) }

// feed is where batches come from: a run in the broker, or a record.
type feed interface {
	train.Stream
	Stats() stream.Stats
	Close() error
}

// consume trains on what the stream hands out, calls ended after the last step, and closes
// stream and record; what says for people where the batches come from.
func (s *session) consume(ctx context.Context, stream feed, rec *runRecord, from int64, what string, ended func(context.Context) error) (res *train.Result, err error) {
	defer func() {
		if err = errors.Join(err, stream.Close(), rec.close()); err != nil && res != nil {
			res.Learner.Free()
			res = nil
		}
	}()
	// The stream is closed before its record, which may be waited for by its consumer.
	defer rec.giveUp()
	s.monitor.at(training)
	defer s.monitor.at(trained)
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := rec.begin(s.stderr, from); err != nil {
		return nil, err
	}
	curves, err := s.newCurves(ctx, from)
	if err != nil {
		return nil, err
	}
	defer curves.close()
	p := newProgress(s.stderr, s.spec.Steps(), from)
	if !s.seen.Plain() {
		p.log = s.log
	}
	defer p.finish()
	hungry := time.AfterFunc(patienceFor, func() {
		fmt.Fprintf(s.stderr, "\nwaiting for the first batch of %s\n", what)
	})
	defer hungry.Stop()
	res, err = train.Run(ctx, s.ranks.of(train.Options{
		Recipe: s.recipe, Spec: &s.spec, Stream: stream, Out: s.out, Resume: s.resume,
		Observe: func(g train.Progress) { hungry.Stop(); s.monitor.observe(g); curves.observe(g); p.observe(g) },
		Notice:  s.notice, Saving: rec.sync, Keep: rec.keep(s.out), Snapshot: curves.snapshot(),
	}))
	if err != nil {
		s.ranks.free()
		curves.giveUp() // other trainers of the run wait for this one to leave
		return nil, err
	}
	if err := s.ranks.leave(); err != nil {
		res.Learner.Free()
		return nil, err
	}
	if err := ended(ctx); err != nil {
		res.Learner.Free()
		if ctx.Err() != nil {
			err = errs.New("end run", s.out, "go on with --resume", errs.Because(errs.ErrInterrupted, "training is done and saved"))
		}
		return nil, err
	}
	st := stream.Stats()
	// The steps before a checkpoint had all their chunks, each once.
	res.Summary.ChunksPublished = from*int64(s.spec.Chunks()) + st.Chunks
	res.Summary.ChunksTombstoned, res.Summary.DigestMismatches = st.Tombstoned, st.DigestMismatches
	return res, nil
}
