package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"resslt/schemas/errs"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// loop is one session of training: steps, log lines, checkpoints.
type loop struct {
	Options
	schedules
	learner  *Learner
	ranks    ranks
	prefetch *prefetcher
	inFlight []inFlightStep // oldest first

	step, saved int64 // steps done, or given to the device; step of the newest checkpoint
	stats       Stats // of the last logged step
	replaced    int64 // samples
	pace        pace
	metrics     *metricsFile
	lastNotice  string
	rule        recipe.StopRule
	stopping    *Stopping // nil where the recipe has no stop_on
	// inconsistent: the state belongs to no step, or is not finite, and is never saved.
	inconsistent bool
}

func newLoop(o Options, l *Learner) (*loop, error) {
	s, err := newSchedules(o.Recipe, o.Spec)
	if err != nil {
		return nil, err
	}
	rule, stopping, err := stoppingOf(o.Recipe, o.Resume)
	return &loop{
		Options: o.applyDefaults(l.config.Device), schedules: s,
		learner: l, ranks: ranks{group: o.Group}, saved: -1, rule: rule, stopping: stopping,
	}, err
}

func (l *loop) run(ctx context.Context) (err error) {
	if c := l.Resume; c != nil {
		if err := c.Load(l.learner); err != nil {
			return err
		}
		l.step, l.saved, l.stats, l.pace.before = c.Step, c.Step, statsOf(c.Loss, c.Figures), c.Seconds
	}
	if err := l.ranks.sameStart(l.Recipe, l.Spec, l.step, l.learner.config.Device); err != nil {
		return err
	}
	if l.Group.Rank() == 0 {
		if l.metrics, err = openMetrics(filepath.Join(l.Out, "metrics.jsonl"), l.step); l.ranks.deferError(err) != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.metrics.Close()) }()
	}
	first, end := l.Group.Rows(l.Spec.BatchSize)
	if l.prefetch, err = newPrefetcher(ctx, l.learner, l.Stream, l.Spec, end-first, l.step, l.Ahead, l.InFlight); err != nil {
		return err
	}
	defer func() {
		for _, f := range l.inFlight { // of a run that has failed
			f.pending.free()
		}
		l.prefetch.close(!l.ranks.lost)
	}()

	every := int64(l.Recipe.CheckpointEvery)
	if every == 0 {
		every = l.Spec.StepsPerEpoch
	}
	if l.step > 0 && l.step < l.Spec.Steps() && l.decides() {
		if err := l.judge(ctx); err != nil {
			return l.stop(ctx, err)
		}
	}
	for l.step < l.Spec.Steps() {
		// Checked here, not left to the stream, which may have the next batch ready and
		// return it all the same.
		err := ctx.Err()
		if err == nil || l.Group != nil { // the other ranks have to learn of it
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
		if err := l.snapshot(ctx); err != nil {
			return l.stop(ctx, err)
		}
	}
	if err := l.save(); err != nil {
		return err
	}
	return l.ranks.deferred
}

// next makes one step, or gives it to the device.
func (l *loop) next(ctx context.Context) error {
	slot, wait, err := l.prefetch.next(ctx)
	if l.prefetch.broken {
		return l.failed(inFlightStep{step: l.step}, err)
	}
	if err := l.ranks.ready(ctx, l.at(), err); err != nil {
		return err
	}
	began := time.Now()
	log := (l.step+1)%int64(l.Recipe.LogEvery) == 0 || l.step+1 == l.Spec.Steps() || l.mayEndWith(l.step+1)
	h := l.schedules.at(l.step, log)
	f := inFlightStep{step: l.step, slot: slot, log: log}
	l.replaced += int64(slot.batch.Replaced)
	if l.InFlight == 0 {
		stats, err := l.learner.Step(slot.views.teacher, slot.views.student, h)
		if err != nil {
			return l.failed(f, err)
		}
		l.done(f, stats)
		l.step++
	} else {
		if f.pending, err = l.learner.StepAsync(slot.views.teacher, slot.views.student, h); err != nil {
			return l.failed(f, err)
		}
		l.inFlight = append(l.inFlight, f)
		l.step++
		leave := l.InFlight
		if log {
			leave = 0
		}
		if err := l.drain(leave); err != nil {
			return err
		}
	}
	l.pace.add(time.Since(began), wait)
	return l.ranks.deferError(l.report(h))
}

// at says where the run is, for errors.
func (l *loop) at() string { return fmt.Sprintf("step %d of %d", l.step, l.Spec.Steps()) }

// report hands out the state after a step, and writes a line of metrics where it is logged.
func (l *loop) report(h Hyper) error {
	if why := l.learner.Ungraphed(); why != l.lastNotice && l.learner.config.Graph && l.Notice != nil {
		l.lastNotice = why
		l.Notice("steps are launched kernel by kernel, not as CUDA graphs: " + why)
	}
	p := Progress{
		Step: l.step, Steps: l.Spec.Steps(), Epoch: float64(l.step) / float64(l.Spec.StepsPerEpoch),
		Logged: h.Stats, Stats: l.stats, LR: h.LR, Alpha: h.Alpha, M: h.Momentum,
		ImagesPerSecond: l.pace.window.rate(l.Spec.BatchSize), WaitFraction: l.pace.window.waitFraction(),
		Remaining: l.pace.total.perStep() * time.Duration(l.Spec.Steps()-l.step),
	}
	if h.Stats {
		if err := torch.Do(func() error { p.Phases = l.pace.takePhases(l.learner.timers); return nil }); err != nil {
			return err
		}
	}
	if h.Stats {
		l.pace.window = meter{}
		if err := l.metrics.write(p); err != nil { // before those who read the file are told
			return err
		}
	}
	if l.Observe != nil {
		l.Observe(p)
	}
	return nil
}

// stop writes a checkpoint of the steps done so far, unless the state is inconsistent, and
// says why the run ended.
func (l *loop) stop(ctx context.Context, cause error) error {
	if !l.sound() {
		return cause
	}
	if err := l.save(); err != nil {
		if !l.sound() { // a step that was in flight has ended the run
			return err
		}
		return errors.Join(cause, err)
	}
	if ctx.Err() != nil {
		return errs.New("train", l.at(), "continue with --resume",
			errs.Because(errs.ErrInterrupted, "checkpoint written"))
	}
	return cause
}

// sound reports whether the state may be saved.
func (l *loop) sound() bool { return !l.inconsistent && !l.ranks.lost }

// save writes a checkpoint of the steps done, where the newest is older; with several
// ranks after they have compared their states, and by rank 0.
func (l *loop) save() error {
	if l.saved == l.step {
		return nil
	}
	if err := l.drain(0); err != nil {
		return err
	}
	if err := l.ranks.sameState(l.step, l.learner); err != nil {
		l.inconsistent = true
		return err
	}
	var err error
	if l.Group.Rank() == 0 {
		err = l.checkpoint()
	}
	if err = l.ranks.agree("save", fmt.Sprintf("step %d", l.step), err, false); err == nil {
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
		l.inconsistent = true
		return errs.New("train", fmt.Sprintf("step %d", l.step), divergedHint,
			errs.Because(errs.ErrDiverged, "a weight or key is not finite, though the loss was"))
	}
	if l.Saving != nil {
		if err := l.Saving(); err != nil {
			return err
		}
	}
	return SaveCheckpoint(CheckpointDir(l.Out), Checkpoint{
		Step: l.step, RunDigest: l.Spec.Digest(), Spec: l.Spec, Recipe: string(l.Recipe.YAML()), Torch: torchVersion(), WorldSize: l.Group.World(),
		Seconds: l.pace.seconds(), Loss: l.stats.Loss, Figures: l.stats.Figures(), Stopping: l.stopping, Provenance: l.Provenance,
	}, l.learner.State(), l.Recipe.KeepCheckpoints)
}
