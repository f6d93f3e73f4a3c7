package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"resslt/schemas/errs"
	"resslt/train/recipe"
	"resslt/train/safetensors"
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
	saver    saver
	store    func(dir string, c Checkpoint, tensors []safetensors.Tensor, keep int) error // writeCheckpoint

	step, saved int64 // steps made, or given to the device; step of the newest checkpoint that was begun
	every       int64 // steps from one checkpoint to the next
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
	out := &loop{
		Options: o.applyDefaults(l.config.Device), schedules: s,
		learner: l, ranks: ranks{group: o.Group}, saved: -1, store: writeCheckpoint, every: int64(o.Recipe.CheckpointEvery),
		rule: rule, stopping: stopping,
	}
	if out.every == 0 {
		out.every = o.Spec.StepsPerEpoch
	}
	return out, err
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
		if l.metrics, err = openMetrics(filepath.Join(l.Out, MetricsFile), l.step); l.ranks.deferError(err) != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.metrics.Close()) }()
	}
	first, end := l.Group.Rows(l.Spec.BatchSize)
	if l.prefetch, err = newPrefetcher(ctx, l.learner, l.Stream, l.Spec, end-first, l.step, l.Ahead, l.InFlight); err != nil {
		return err
	}
	defer func() {
		// A checkpoint is written to its end, whatever has ended the run.
		err = errors.Join(err, l.saver.ended(true))
		for _, f := range l.inFlight { // of a run that has failed
			f.pending.free()
		}
		l.prefetch.close(!l.ranks.lost) // waits for the device
		l.saver.host.free()
	}()

	if l.step > 0 && l.step < l.Spec.Steps() && l.decides() {
		if err := l.judge(ctx); err != nil {
			return l.stop(ctx, err)
		}
	}
	if why := l.learner.KernelsOff(); why != "" && l.Notice != nil {
		l.Notice("the GPU's steps are libtorch's operators alone, as with fused=false, since its own kernels do not compute the same: " + why)
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
	}
	if err := l.save(); err != nil {
		return err
	}
	return l.ranks.deferred
}

// next makes one step, or gives it to the device, and takes in those that are done.
func (l *loop) next(ctx context.Context) error {
	if err := l.ranks.deferError(l.saver.ended(false)); err != nil {
		return err
	}
	if err := l.catchUp(); err != nil {
		return err
	}
	slot, wait, err := l.prefetch.next(ctx)
	if l.prefetch.broken {
		return l.failed(inFlightStep{step: l.step}, err)
	}
	var labels []int32
	if err == nil && l.learner.parts.Labels {
		labels, err = shownLabels(slot.batch, l.Spec, l.Recipe.LabelFraction)
	}
	if err := l.ranks.ready(ctx, l.at(), err); err != nil {
		return err
	}
	began := time.Now()
	log := (l.step+1)%int64(l.Recipe.LogEvery) == 0 || l.step+1 == l.Spec.Steps() || l.mayEndWith(l.step+1)
	f := inFlightStep{step: l.step, slot: slot, hyper: l.schedules.at(l.step, log)}
	f.hyper.Samples, f.hyper.Labels = slot.batch.Samples, labels
	l.replaced += int64(slot.batch.Replaced)
	if err := l.launch(&f); err != nil {
		return l.failed(f, err)
	}
	l.inFlight = append(l.inFlight, f)
	l.step++
	l.pace.spend(time.Since(began), wait)
	leave := l.InFlight
	if l.step%l.every == 0 {
		if err := l.copyState(); err != nil {
			return err
		}
		if l.Group != nil {
			leave = 0 // that the ranks compare their states has one place among their messages
		}
	}
	if l.snapshotDue() {
		leave = 0
	}
	if err := l.drain(leave); err != nil {
		return err
	}
	return l.snapshot(ctx)
}

// at says where the run is, for errors.
func (l *loop) at() string { return fmt.Sprintf("step %d of %d", l.step, l.Spec.Steps()) }

// report hands out the state after a step, and writes a line of metrics where it is logged.
func (l *loop) report(f inFlightStep) error {
	if why := l.learner.Ungraphed(); why != l.lastNotice && l.learner.config.Graph && l.Notice != nil {
		l.lastNotice = why
		l.Notice("steps are launched kernel by kernel, not as CUDA graphs: " + why)
	}
	done, h := f.step+1, f.hyper
	p := Progress{
		Step: done, Steps: l.Spec.Steps(), Epoch: float64(done) / float64(l.Spec.StepsPerEpoch),
		Logged: h.Stats, Stats: l.stats, LR: h.LR, Alpha: h.Alpha, M: h.Momentum,
		ImagesPerSecond: l.pace.window.rate(l.Spec.BatchSize), WaitFraction: l.pace.window.waitFraction(),
		Remaining: l.pace.total.perStep() * time.Duration(l.Spec.Steps()-done),
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
	unsaved := l.saver.failed != nil // as cause says, and need not say again
	err := l.save()
	switch {
	case err != nil && !l.sound(): // a step that was in flight has ended the run
		return err
	case err != nil && unsaved:
		return cause
	case err != nil:
		return errors.Join(cause, err)
	case ctx.Err() != nil:
		return errs.New("train", l.at(), "continue with --resume",
			errs.Because(errs.ErrInterrupted, "checkpoint written"))
	}
	return cause
}

// sound reports whether the state may be saved.
func (l *loop) sound() bool { return !l.inconsistent && !l.ranks.lost }

// copyState begins to copy the state after the last step for a checkpoint, which the step leads
// to when it is settled. Of two that come close the second waits for the first.
func (l *loop) copyState() error {
	if l.copying() { // it has the memory until it is handed off
		if err := l.drain(1); err != nil {
			return err
		}
	}
	if err := l.ranks.deferError(l.saver.ended(true)); err != nil {
		return err
	}
	last := &l.inFlight[len(l.inFlight)-1]
	if err := l.saver.host.begin(l.learner); err != nil {
		return l.failed(*last, err)
	}
	last.copied = true
	return nil
}

// copying reports whether a step in flight leads to a checkpoint.
func (l *loop) copying() bool {
	return slices.ContainsFunc(l.inFlight, func(f inFlightStep) bool { return f.copied })
}

// handOff has the copied state after a step written; with several ranks after they have
// compared theirs, and by rank 0.
func (l *loop) handOff(step int64) error {
	if err := l.saver.host.wait(l.Group); err != nil {
		return l.failed(inFlightStep{step: step - 1}, err)
	}
	if err := l.ranks.sameState(step, l.saver.host.tensors); err != nil {
		l.inconsistent = true
		return err
	}
	if !l.saver.host.isFinite() { // a gradient may overflow where the loss does not
		l.inconsistent = true
		return errs.New("train", fmt.Sprintf("step %d", step), divergedHint,
			errs.Because(errs.ErrDiverged, "a weight or key is not finite, though the loss was"))
	}
	var err error
	if l.Group.Rank() == 0 {
		err = l.checkpoint(step)
	}
	if err = l.ranks.agree("save", fmt.Sprintf("step %d", step), err, false); err == nil {
		l.saved = step
	}
	return err
}

// checkpoint begins to write one.
func (l *loop) checkpoint(step int64) error {
	if l.Saving != nil {
		if err := l.Saving(); err != nil {
			l.saver.failed = err
			return err
		}
	}
	c := Checkpoint{
		Step: step, RunDigest: l.Spec.Digest(), Spec: l.Spec, Recipe: string(l.Recipe.YAML()), Torch: torchVersion(), WorldSize: l.Group.World(),
		Seconds: l.pace.seconds(), Loss: l.stats.Loss, Figures: l.stats.Figures(), Stopping: l.stopping.copied(), Provenance: l.Provenance,
	}
	l.saver.write(func(tensors []safetensors.Tensor) error {
		return l.store(CheckpointDir(l.Out), c, tensors, l.Recipe.KeepCheckpoints)
	})
	return nil
}

// save writes a checkpoint of the steps made, unless the newest is one, and waits until it is
// on the disk.
func (l *loop) save() error {
	if err := l.drain(0); err != nil {
		return err
	}
	before := l.saver.ended(true)
	if l.saved != l.step {
		if err := l.saver.host.begin(l.learner); err != nil {
			return err
		}
		if err := l.handOff(l.step); err != nil {
			return err
		}
	}
	err := l.saver.ended(true)
	if err == nil {
		err = before
	}
	if err == nil {
		err = l.saver.failed // of this step, and was told
	}
	return l.ranks.agree("save", fmt.Sprintf("step %d", l.step), err, false)
}
