package train

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"time"

	"resslt/schemas"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// Stream gives a run's batches in order of step, from the step that it was opened at.
// Next waits for the next batch; the caller releases it. batcher's streams implement it.
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
	// Observe, if set, is called for every step, in order, from the loop's goroutine, when
	// its loss is known; it must be quick.
	Observe func(Progress)
	// Keep, if set, writes a batch whose loss is not finite to a file of the run's folder,
	// and gives the file's name.
	Keep func(*schemas.Batch) (file string, err error)
	// Snapshot, if set, receives the student's encoder after every epoch for which the recipe
	// has a probe (Recipe.ProbesAfter), from the loop's goroutine: the run waits for as long as
	// it takes. An error ends the run, with a checkpoint.
	Snapshot func(EncoderSnapshot) error
	// Score gives a probe's top-1, percent, of an encoder; the run, whose Recipe.StopOn asks for
	// it, waits. It is called in the place of Snapshot, from a goroutine of its own. An error
	// ends the run, with a checkpoint.
	Score func(s EncoderSnapshot, probe string) (float64, error)
	// Provenance is noted in checkpoints and the summary.
	Provenance Provenance
	// Group is the processes that train together; nil is this process alone. Stream then
	// gives this rank's rows of every batch, and Resume is the same checkpoint on every
	// rank, read from one folder. Rank 0 alone writes to Out and calls Saving and Snapshot.
	Group *torch.Group
	// LocalRank is this process's number among those on its machine: its GPU where the
	// recipe's device is "cuda".
	LocalRank int
	// Saving, if set, is called before a checkpoint is written, behind Observe of its last
	// step and before that of the next. Its error ends the run without that checkpoint.
	Saving func() error
	// Notice, if set, is called once with each thing that makes the run slower than its recipe
	// asks for: that no CUDA graph can be captured, or a GPU's own kernels are not used, and why.
	Notice func(string)

	// Ready, if set, is called once, before the first step, with what the run is going to take.
	Ready func(Needs)

	// Ahead is how many batches are prefetched, and InFlight how many steps may be on the
	// device whose losses have not been read. Default 2 on a GPU, none on the CPU; -1 means
	// none. Neither changes a bit of the weights. With steps in flight a loss that is not
	// finite is seen that many steps late: the run still ends, naming its step, and the
	// state since is not saved.
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

// EncoderSnapshot is the student's backbone in host memory, after some epochs. It is the
// receiver's to keep.
type EncoderSnapshot struct {
	Step    int64
	Epoch   int64 // epochs done
	Info    EncoderInfo
	Tensors []safetensors.Tensor // under torchvision's keys
}

// Write writes the snapshot as SaveEncoder does.
func (s *EncoderSnapshot) Write(path string) error { return writeEncoder(path, s.Tensors, s.Info) }

// Progress is the state after a step.
type Progress struct {
	Step, Steps     int64 // steps done, steps of the run
	Epoch           float64
	Logged          bool // Stats is of this step; else of the last one that was logged
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
	// Recipe and Spec are Options', or of fewer epochs where Recipe.StopOn has ended the run.
	Recipe *recipe.Recipe
	Spec   *schemas.RunSpec
}

// CheckpointDir is the folder of the checkpoints of a run under out.
func CheckpointDir(out string) string { return filepath.Join(out, "checkpoints") }

// schedules are the recipe's pure functions of the step.
type schedules struct {
	lr, alpha, m, decay optim.Schedule
	hold                int64 // steps that the objective's parameters stay as they are
	refresh             int64 // steps from one refresh of the objective's state to the next
}

// newSchedules makes the schedules of a run. One that was planned anew follows the schedules
// of each plan up to the step until which it counted.
func newSchedules(r *recipe.Recipe, spec *schemas.RunSpec) (schedules, error) {
	steps := func(epochs float64) int64 { return int64(math.Round(epochs * float64(spec.StepsPerEpoch))) }
	ramp := steps(r.RampEpochs())
	if r.ObjectiveOf().RampFills {
		ramp = max(ramp, int64((r.K+r.BatchSize-1)/r.BatchSize))
	}
	of := func(total int64) schedules {
		return schedules{
			lr: optim.WarmupCosine(r.LR(), steps(r.LRWarmupEpochs), total),
			m:  optim.Cosine(r.M, r.MEnd, total),

			decay: optim.Cosine(r.WeightDecay, r.WeightDecayEnd, total),
		}
	}
	s := of(spec.Steps())
	plans, err := r.Plans()
	for _, p := range slices.Backward(plans) {
		was := of(int64(p.Epochs) * spec.StepsPerEpoch)
		s.lr, s.m = optim.Until(p.Until, was.lr, s.lr), optim.Until(p.Until, was.m, s.m)
		s.decay = optim.Until(p.Until, was.decay, s.decay)
	}
	s.alpha, s.hold = optim.Ramp(ramp), steps(r.HoldEpochs)
	s.refresh = max(1, steps(r.ClusterEvery))
	return s, err
}

// at gives the values of one step.
func (s schedules) at(step int64, stats bool) Hyper {
	return Hyper{
		LR: s.lr(step), Momentum: s.m(step), Alpha: s.alpha(step), WeightDecay: s.decay(step),
		Hold: step < s.hold, Refresh: s.refreshes(step), Step: step, Stats: stats,
	}
}

// refreshes reports whether the objective's state is refreshed before the step.
func (s schedules) refreshes(step int64) bool {
	return s.alpha(step) >= 1 && (step%s.refresh == 0 || s.alpha(step-1) < 1)
}

// Run trains from Resume, or from the start, to the run's last step. Whatever ends it
// early, it first writes a checkpoint: where ctx is cancelled the error wraps
// ErrInterrupted; an error of the stream is returned as it is.
func Run(ctx context.Context, o Options) (*Result, error) {
	learner, err := newLearner(o)
	if err != nil {
		return nil, err
	}
	if err := o.ready(learner); err != nil {
		learner.Free()
		return nil, err
	}
	l, err := newLoop(o, learner)
	if err == nil {
		err = l.run(ctx)
	}
	if err != nil {
		learner.Free()
		return nil, err
	}
	sum, err := l.summary()
	if err != nil {
		learner.Free()
		return nil, err
	}
	return &Result{Learner: learner, Summary: sum, Recipe: l.Recipe, Spec: l.Spec}, nil
}

// ready tells what the steps that are left are going to take.
func (o *Options) ready(l *Learner) error {
	if o.Ready == nil || o.Resume != nil && o.Resume.Step >= o.Spec.Steps() {
		return nil
	}
	n, err := l.Needs(o.Spec)
	if err == nil {
		o.Ready(n)
	}
	return err
}

// newLearner makes the run's learner, of this rank where there are several, and sets
// libtorch's threads and modes.
func newLearner(o Options) (*Learner, error) {
	cfg, err := LearnerConfig(o.Recipe)
	if err != nil {
		return nil, err
	}
	if err := CheckSizes(o.Recipe, o.Spec.Views); err != nil {
		return nil, err
	}
	cfg.ImageSize, cfg.Samples = o.Spec.EncoderSize(), o.Spec.Dataset.Samples
	if o.Resume != nil {
		cfg.Start = Start{} // the checkpoint has the weights
	}
	if cfg.Group = o.Group; o.Group != nil {
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
	// With another number of threads the same step gives other last bits.
	if err := torch.SetNumThreads(o.Recipe.Threads); err != nil {
		return nil, err
	}
	if err := SetModes(o.Recipe); err != nil {
		return nil, err
	}
	return NewLearner(cfg)
}
