package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// Stream gives a run's batches in order of step, from the step that it was
// opened at. Next waits for the next batch; the caller releases it. batcher's
// streams are of this kind.
type Stream interface {
	Next(ctx context.Context) (*schemas.Batch, error)
}

// Options is what Run needs.
type Options struct {
	Recipe *recipe.Recipe   // resolved
	Spec   *schemas.RunSpec // of the batches in Stream
	Stream Stream           // opened at Resume.Step, or 0
	Out    string           // folder of the run's files
	Resume *Checkpoint      // nil: begin at step 0
	// Observe, if set, is called after every step from the loop's goroutine; it
	// must be quick.
	Observe func(Progress)
	// Keep, if set, writes the batch whose loss is not finite to a file of the run's
	// folder, and gives the file's name.
	Keep func(*schemas.Batch) (file string, err error)
	// Snapshot, if set, is given the student's encoder after every Recipe.KNNEvery
	// epochs, from the loop's goroutine: the run waits for as long as it takes. An
	// error ends the run, with a checkpoint.
	Snapshot func(Snapshot) error
	// Group is those that train together, nil this process alone. Stream gives this
	// rank's rows of every batch then, and Resume is the same checkpoint on every rank,
	// read from one folder. Rank 0 alone writes to Out and calls Saving and Snapshot.
	Group *torch.Group
	// LocalRank is this process's number among those on its machine: its GPU where the
	// recipe's device is "cuda".
	LocalRank int
	// Saving, if set, is called before a checkpoint is written. Its error ends the run
	// without that checkpoint.
	Saving func() error
	// Notice, if set, is told once of what makes the run slower than its recipe asks
	// for: that no CUDA graph can be captured, and why.
	Notice func(string)

	// Ahead is how many batches are taken from the stream before they are asked for, and
	// InFlight how many steps may be on the device whose losses have not been seen.
	// Default 2 on a GPU, none on the CPU; -1 means none. Neither changes a bit of the
	// weights. With steps in flight a loss that is not finite is seen so many steps
	// late: the run ends all the same, naming its step, and the state since is not saved.
	Ahead, InFlight int
}

func (o Options) applyDefaults(dev torch.Device) Options {
	for _, n := range []*int{&o.Ahead, &o.InFlight} {
		switch {
		case *n < 0:
			*n = 0
		case *n == 0 && dev.Type == torch.DeviceCUDA:
			*n = 2
		}
	}
	return o
}

// Snapshot is the student's backbone in host memory, after some epochs. It is the
// receiver's to keep.
type Snapshot struct {
	Step    int64
	Epoch   int64 // epochs done
	Info    EncoderInfo
	Tensors []safetensors.Tensor // under torchvision's keys
}

// Write writes the snapshot as SaveEncoder does.
func (s *Snapshot) Write(path string) error { return writeEncoder(path, s.Tensors, s.Info) }

// Progress is the state after a step.
type Progress struct {
	Step, Steps     int64 // steps done, steps of the run
	Epoch           float64
	Logged          bool // Stats is of this step; else of the last logged one
	Stats           Stats
	LR, Alpha, M    float64
	ImagesPerSecond float64 // since the last logged step
	WaitFraction    float64 // of that time, spent waiting for batches
	Remaining       time.Duration
	Phases          Phases // means since the logged step before, where Logged is true
}

// Result is what a finished loop leaves.
type Result struct {
	Learner *Learner // the caller frees it
	Summary Summary  // of training: evaluation and transport are the caller's to add
}

// CheckpointDir is where the checkpoints of a run under out lie.
func CheckpointDir(out string) string { return filepath.Join(out, "checkpoints") }

// LearnerConfig is the recipe's network, objective and optimiser.
func LearnerConfig(r *recipe.Recipe) (Config, error) {
	dev, err := torch.ParseDevice(r.Device)
	if err != nil {
		return Config{}, err
	}
	c := Config{
		Backbone: r.Backbone, Width: r.Width, SmallStem: r.Stem == "small", StochasticDepth: r.StochasticDepth,
		ProjHidden: r.ProjectorHidden, EmbedDim: r.EmbeddingDim, PredHidden: r.PredictorHidden,
		Objective: r.Objective, Crops: r.Crops, NoPredictor: !r.Predictor, NoHeadNorm: !r.HeadBN,
		Accumulate: r.Accumulate, Groups: r.BNGroups, LocalNorm: !r.SyncBN, Recompute: r.ActivationCheckpointing,
		Graph: r.CUDAGraph == "true" || r.CUDAGraph == "auto" && dev.Type == torch.DeviceCUDA, BF16: r.Precision == "bf16",
		QueueSize: r.K, TauS: r.TauS, TauT: r.TauT, TauNCE: r.TauNCE,
		Optimizer: optim.Options{Kind: r.Optimizer, Momentum: r.Momentum, Nesterov: r.Nesterov, WeightDecay: r.WeightDecay, DecayMatricesOnly: r.DecayMatricesOnly},
		Device:    dev, ChannelsLast: r.ChannelsLast, Fused: r.Fused, Seed: r.Seed,
	}
	copy(c.Mean[:], r.Mean)
	copy(c.Std[:], r.Std)
	return c, nil
}

// Check says whether this machine can train the recipe at all: network, sizes,
// optimiser, and the device where libtorch is open. Errors wrap ErrUsage, or
// ErrUnavailable for a device that is not there.
func Check(r *recipe.Recipe) error {
	cfg, err := LearnerConfig(r)
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	return present(cfg.Device)
}

// present says whether the device is there, where libtorch is open.
func present(dev torch.Device) error {
	if dev.Type != torch.DeviceCUDA || torch.Available() != nil {
		return nil
	}
	info, err := torch.Info()
	if err != nil {
		return err
	}
	if dev.Index >= len(info.CUDA) {
		return errs.New("use device", dev.String(), "set device=cpu, or see `resslt doctor` for what a GPU needs",
			errs.Because(errs.ErrUnavailable, fmt.Sprintf("libtorch %s here sees %d GPUs", info.TorchVersion, len(info.CUDA))))
	}
	return nil
}

// schedules are the recipe's pure functions of the step.
type schedules struct{ lr, alpha, m optim.Schedule }

func newSchedules(r *recipe.Recipe, spec *schemas.RunSpec) schedules {
	steps := func(epochs float64) int64 { return int64(math.Round(epochs * float64(spec.StepsPerEpoch))) }
	alpha := optim.Constant(1)
	if r.ObjectiveOf().WarmUp {
		alpha = optim.Ramp(steps(r.WarmupNCEEpochs))
	}
	return schedules{
		lr:    optim.WarmupCosine(r.LR(), steps(r.LRWarmupEpochs), spec.Steps()),
		alpha: alpha,
		m:     optim.Cosine(r.M, r.MEnd, spec.Steps()),
	}
}

// Run trains from Resume, or from the start, to the run's last step. Whatever
// ends it early, it first writes a checkpoint: where ctx is cancelled the error
// wraps ErrInterrupted; an error of the stream is given back as it is.
func Run(ctx context.Context, o Options) (*Result, error) {
	cfg, err := LearnerConfig(o.Recipe)
	if err != nil {
		return nil, err
	}
	cfg.Group = o.Group
	if o.Group != nil {
		cfg.Device = ownDevice(cfg.Device, o.Recipe.Device, o.LocalRank)
		if err := present(cfg.Device); err != nil {
			return nil, err
		}
		n, err := cfg.norms()
		if err != nil {
			return nil, err
		}
		if err := checkRanks(o.Spec.BatchSize, o.Recipe.Accumulate, n, o.Group.World()); err != nil {
			return nil, err
		}
	}
	if err := SetThreads(o.Recipe.Threads); err != nil {
		return nil, err
	}
	if err := SetModes(o.Recipe); err != nil {
		return nil, err
	}
	learner, err := NewLearner(cfg)
	if err != nil {
		return nil, err
	}
	l := &loop{Options: o.applyDefaults(cfg.Device), learner: learner, sched: newSchedules(o.Recipe, o.Spec)}
	if err := l.run(ctx); err != nil {
		learner.Free()
		return nil, err
	}
	sum := Summary{
		Recipe: o.Recipe.Name, Dataset: o.Recipe.Data, Images: o.Spec.Dataset.Samples,
		Epochs: o.Spec.Epochs, Steps: o.Spec.Steps(), BatchSize: o.Spec.BatchSize, KNNK: o.Recipe.KNNK[0],
		Device: o.Recipe.Device, Threads: o.Recipe.Threads, TorchVersion: torchVersion(), Kernels: kernels(), Seed: o.Recipe.Seed, WorldSize: l.world(),
		Engine: o.Spec.Engine, RunDigest: o.Spec.Digest(), DataDigest: o.Spec.Dataset.Digest,
		FinalLoss: l.stats.Loss, Objective: o.Recipe.Objective, Figures: l.stats.Figures(),
		ImagesPerSecond: l.total.rate(o.Spec.BatchSize), DataWaitFraction: l.total.waitFraction(),
		TrainSeconds: l.seconds(), SamplesReplaced: l.replaced, PhaseMS: l.phases.mean(l.total.steps),
	}
	if err := sum.digests(learner.State()); err != nil {
		learner.Free()
		return nil, err
	}
	return &Result{Learner: learner, Summary: sum}, nil
}

// loop is one session of training.
type loop struct {
	Options
	learner  *Learner
	sched    schedules
	feed     *feed
	flight   []flight // steps whose losses have not been seen, oldest first
	step     int64    // steps done, or given to the device
	saved    int64    // step of the newest checkpoint
	stats    Stats
	total    meter // of this session
	window   meter // since the last logged step
	replaced int64
	phases   durations // of this session, up to the last logged step
	metrics  *metricsFile
	carried  error  // of this rank alone, for the others to hear of
	said     string // last notice
	torn     bool   // the state is of no step, or not finite: never saved
}

func (l *loop) seconds() float64 {
	s := (l.total.busy + l.total.wait).Seconds()
	if l.Resume != nil {
		s += l.Resume.Seconds
	}
	return s
}

// world is how many made the last step together: an earlier session's, where this one had
// nothing left to train.
func (l *loop) world() int {
	if l.Resume != nil && l.Resume.Step == l.step {
		return max(1, l.Resume.WorldSize)
	}
	return l.Group.World()
}

func (l *loop) run(ctx context.Context) (err error) {
	l.saved = -1
	if c := l.Resume; c != nil {
		if err := c.Load(l.learner); err != nil {
			return err
		}
		l.step, l.saved, l.stats = c.Step, c.Step, c.Figures.stats(c.Loss)
	}
	if err := l.sameStart(); err != nil {
		return err
	}
	if l.Group.Rank() == 0 {
		if l.metrics, err = openMetrics(filepath.Join(l.Out, "metrics.jsonl"), l.step); l.carry(err) != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.metrics.Close()) }()
	}
	first, end := l.Group.Rows(l.Spec.BatchSize)
	if l.feed, err = newFeed(ctx, l.learner, l.Stream, l.Spec, end-first, l.step, l.Ahead, l.InFlight); err != nil {
		return err
	}
	defer func() {
		for _, f := range l.flight { // of a run that has failed
			f.launched.free()
		}
		l.feed.close()
	}()

	every := int64(l.Recipe.CheckpointEvery)
	if every == 0 {
		every = l.Spec.StepsPerEpoch
	}
	for l.step < l.Spec.Steps() {
		// Asked here, not left to the stream, which may have the next batch ready
		// and hand it out all the same.
		err := ctx.Err()
		if err == nil || l.Group != nil { // the other ranks are to hear of it
			err = l.next(ctx)
		}
		if err != nil {
			return l.stop(ctx, err)
		}
		if l.step%every == 0 {
			if err := l.save(); err != nil {
				return err
			}
		}
		if err := l.carry(l.snapshot()); err != nil {
			return l.stop(ctx, err)
		}
	}
	if err := l.save(); err != nil {
		return err
	}
	return l.carried
}

// next makes one step, or gives it to the device.
func (l *loop) next(ctx context.Context) error {
	slot, wait, err := l.feed.next(ctx)
	if l.feed.broken {
		return l.failed(flight{step: l.step}, err)
	}
	if err := l.agree(ctx, err); err != nil {
		return err
	}
	began := time.Now()
	log := (l.step+1)%int64(l.Recipe.LogEvery) == 0 || l.step+1 == l.Spec.Steps()
	h := Hyper{LR: l.sched.lr(l.step), Momentum: l.sched.m(l.step), Alpha: l.sched.alpha(l.step), Step: l.step, Stats: log}
	f := flight{step: l.step, slot: slot, log: log}
	l.replaced += int64(slot.batch.Replaced)
	if l.InFlight == 0 {
		stats, err := l.learner.Step(slot.teacher, slot.student, h)
		if err != nil {
			return l.failed(f, err)
		}
		l.done(f, stats)
		l.step++
	} else {
		if f.launched, err = l.learner.Launch(slot.teacher, slot.student, h); err != nil {
			return l.failed(f, err)
		}
		l.flight = append(l.flight, f)
		l.step++
		unseen := l.InFlight
		if log {
			unseen = 0
		}
		if err := l.settle(unseen); err != nil {
			return err
		}
	}
	l.notice()
	busy := time.Since(began)
	l.total.add(busy, wait)
	l.window.add(busy, wait)
	return l.carry(l.report(log, h))
}

// notice tells why steps are not captured, where they should be.
func (l *loop) notice() {
	why := l.learner.Ungraphed()
	if why == l.said || !l.learner.config.Graph || l.Notice == nil {
		return
	}
	l.said = why
	l.Notice("steps are launched kernel by kernel, not as CUDA graphs: " + why)
}

func (l *loop) report(log bool, h Hyper) error {
	left := l.Spec.Steps() - l.step
	perStep := (l.total.busy + l.total.wait) / time.Duration(l.total.steps)
	p := Progress{
		Step: l.step, Steps: l.Spec.Steps(), Epoch: float64(l.step) / float64(l.Spec.StepsPerEpoch),
		Logged: log, Stats: l.stats, LR: h.LR, Alpha: h.Alpha, M: h.Momentum,
		ImagesPerSecond: l.window.rate(l.Spec.BatchSize), WaitFraction: l.window.waitFraction(),
		Remaining: perStep * time.Duration(left),
	}
	if log {
		if err := l.takePhases(&p); err != nil {
			return err
		}
	}
	if l.Observe != nil {
		l.Observe(p)
	}
	if !log {
		return nil
	}
	l.window = meter{}
	return l.metrics.write(p)
}

// takePhases moves the timers' sums since the last logged step to the session's.
func (l *loop) takePhases(p *Progress) error {
	return torch.Do(func() error {
		sum := l.learner.timers.take()
		p.Phases = sum.mean(l.window.steps)
		l.phases.add(sum)
		return nil
	})
}

// snapshot hands out the student's encoder where an epoch has ended that asks for it.
func (l *loop) snapshot() error {
	every := int64(l.Recipe.KNNEvery) * l.Spec.StepsPerEpoch
	if l.Snapshot == nil || every == 0 || l.step%every != 0 || l.Group.Rank() != 0 {
		return nil
	}
	if err := l.settle(0); err != nil {
		return err
	}
	tensors, err := HostTensors(nn.StateDict(l.learner.Student().Backbone))
	if err != nil {
		return err
	}
	return l.Options.Snapshot(Snapshot{
		Step: l.step, Epoch: l.step / l.Spec.StepsPerEpoch, Info: InfoOf(l.Recipe, l.Spec.EncoderSize()), Tensors: tensors,
	})
}

// stop writes a checkpoint of the steps done so far, unless the state is torn,
// and says why the run ended.
func (l *loop) stop(ctx context.Context, cause error) error {
	if l.torn {
		return cause
	}
	if err := l.save(); err != nil {
		if l.torn { // by a step that was in flight: that ended the run
			return err
		}
		return errors.Join(cause, err)
	}
	if ctx.Err() != nil {
		return errs.New("train", fmt.Sprintf("step %d of %d", l.step, l.Spec.Steps()), "go on with --resume",
			errs.Because(errs.ErrInterrupted, "checkpoint written"))
	}
	return cause
}

// save writes a checkpoint of the steps done, where the newest is older; with several
// ranks once they have found that they hold the same state, and by rank 0.
func (l *loop) save() error {
	if l.saved == l.step {
		return nil
	}
	if err := l.settle(0); err != nil {
		return err
	}
	if err := l.sameState(); err != nil {
		l.torn = true
		return err
	}
	var err error
	if l.Group.Rank() == 0 {
		err = l.checkpoint()
	}
	if err = l.written(err); err == nil {
		l.saved = l.step
	}
	return err
}

// checkpoint writes one.
func (l *loop) checkpoint() error {
	// A gradient may overflow where the loss does not.
	if finite, err := l.learner.Finite(); err != nil {
		return err
	} else if !finite {
		l.torn = true
		return errs.New("train", fmt.Sprintf("step %d", l.step), divergedHint,
			errs.Because(errs.ErrDiverged, "a weight or key is not finite, though the loss was"))
	}
	if l.Saving != nil {
		if err := l.Saving(); err != nil {
			return err
		}
	}
	return SaveCheckpoint(CheckpointDir(l.Out), Checkpoint{
		Step: l.step, RunDigest: l.Spec.Digest(), Recipe: string(l.Recipe.YAML()), Torch: torchVersion(), WorldSize: l.Group.World(),
		Seconds: l.seconds(), Loss: l.stats.Loss, Figures: l.stats.Figures(),
	}, l.learner.State(), l.Recipe.KeepCheckpoints)
}
