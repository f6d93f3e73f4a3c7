package train

import (
	"context"
	"slices"

	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// Stopping is how near a run is to its early end by the recipe's stop_on. It is a part of
// every checkpoint, so that a resumed run ends at the same step.
type Stopping struct {
	Rule     string  `json:"rule"`      // stop_on
	Step     int64   `json:"step"`      // of the newest score
	Best     float64 `json:"best"`      // percent
	BestStep int64   `json:"best_step"` // of it
	Since    int     `json:"since"`     // scores since the best one
	// PlannedEpochs is how long the run would have been: 0 until the rule has ended it.
	PlannedEpochs int `json:"planned_epochs,omitempty"`
}

// Ended reports whether the rule has ended the run.
func (s *Stopping) Ended() bool { return s != nil && s.PlannedEpochs > 0 }

// copied is what a checkpoint keeps while the run goes on.
func (s *Stopping) copied() *Stopping {
	if s == nil {
		return nil
	}
	was := *s
	return &was
}

// take adds a score, and reports whether the run ends with it.
func (s *Stopping) take(rule recipe.StopRule, step int64, score float64) bool {
	if s.Step == 0 || score > s.Best+rule.Gain {
		s.Best, s.BestStep, s.Since = score, step, 0
	} else {
		s.Since++
	}
	s.Step = step
	return s.Since >= rule.Scores
}

// stoppingOf goes on from a checkpoint's Stopping, or begins to count where that is of another
// rule or of one that has ended the run, which now is longer.
func stoppingOf(r *recipe.Recipe, c *Checkpoint) (rule recipe.StopRule, s *Stopping, err error) {
	rule, some, err := r.StopRule()
	if err != nil || !some {
		return rule, nil, err
	}
	if c != nil && c.Stopping != nil && c.Stopping.Rule == r.StopOn && !c.Stopping.Ended() {
		return rule, c.Stopping.copied(), nil
	}
	return rule, &Stopping{Rule: r.StopOn}, nil
}

// due lists the probes that the recipe asks for after so many steps.
func (l *loop) due(steps int64) []string {
	if steps%l.Spec.StepsPerEpoch != 0 {
		return nil
	}
	return l.Recipe.ProbesAfter(steps / l.Spec.StepsPerEpoch)
}

// mayEndWith reports whether the run may end with so many steps, the last of which is logged then.
func (l *loop) mayEndWith(steps int64) bool {
	return l.stopping != nil && slices.Contains(l.due(steps), l.rule.Probe)
}

// decides reports whether the steps done are to be scored before the next, since the run may
// end with them. A checkpoint of these steps may have been written before their score was
// known.
func (l *loop) decides() bool {
	return l.mayEndWith(l.step) && l.stopping.Step != l.step
}

// snapshotDue reports whether the steps made lead to a snapshot or a score, before which all of
// them are taken in: on all ranks, or on none.
func (l *loop) snapshotDue() bool {
	return l.decides() || len(l.due(l.step)) > 0 && (l.Snapshot != nil || l.Group != nil)
}

// snapshot hands out the student's encoder after an epoch whose encoder the recipe asks for.
// Where the run's length depends on its score, all ranks wait for that.
func (l *loop) snapshot(ctx context.Context) error {
	if l.decides() {
		return l.judge(ctx)
	}
	if l.Snapshot == nil || l.Group.Rank() != 0 || len(l.due(l.step)) == 0 {
		return nil
	}
	s, err := l.encoder()
	if err == nil {
		err = l.Snapshot(s)
	}
	return l.ranks.deferError(err)
}

// encoder copies the student's backbone to host memory. No step is in flight (snapshotDue).
func (l *loop) encoder() (s EncoderSnapshot, err error) {
	tensors, err := encoderTensors(l.learner.Student().Backbone)
	return EncoderSnapshot{
		Step: l.step, Epoch: l.step / l.Spec.StepsPerEpoch, Info: InfoOf(l.Recipe, l.Spec.EncoderSize()), Tensors: tensors,
	}, err
}

// judge has rank 0 score the encoder, and all ranks do as it finds. A run that ends is one of
// so few epochs from then on: recipe and spec say so.
func (l *loop) judge(ctx context.Context) error {
	var s EncoderSnapshot
	var uncopied error
	if l.Group.Rank() == 0 {
		s, uncopied = l.encoder()
	}
	end, err := l.ranks.verdict(ctx, l.at(), func() (bool, error) {
		if uncopied != nil {
			return false, uncopied
		}
		if l.Score == nil {
			return false, errs.New("train", l.at(), "set stop_on to nothing", errs.Because(errs.ErrUsage, "nobody scores the encoder that stop_on asks for"))
		}
		score, err := l.Score(s, l.rule.Probe)
		if err != nil {
			return false, err
		}
		return l.stopping.take(l.rule, l.step, score), nil
	})
	if err != nil || !end || l.step == l.Spec.Steps() {
		return err
	}
	return l.shorten()
}

// shorten has the run end with the steps done. Its schedules stay those of the length that it
// was planned for.
func (l *loop) shorten() error {
	r, spec := *l.Recipe, *l.Spec
	l.stopping.PlannedEpochs = r.Epochs
	spec.Epochs = l.step / spec.StepsPerEpoch
	r.Epochs, r.StopOn = int(spec.Epochs), ""
	if err := r.Replan(l.step, l.stopping.PlannedEpochs); err != nil {
		return err
	}
	l.Recipe, l.Spec = &r, &spec
	l.saved = -1 // a checkpoint of this step is of the longer run
	return nil
}
