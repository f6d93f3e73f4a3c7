package session

import (
	"fmt"
	"path/filepath"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
)

// shorten has the plan be of the epochs that are trained, where the recipe's stop_on has ended
// the run before the last: recipe.yaml then gives the same weights without a score.
func (l *leader) shorten(res *train.Result) error {
	p := l.plan
	if res.Spec.Epochs == p.Spec.Epochs {
		return nil
	}
	c, _, err := train.LatestCheckpoint(train.CheckpointDir(p.Out))
	if err != nil {
		return err
	}
	p.Recipe, p.Spec, p.Resume = res.Recipe, *res.Spec, c
	if err := durable.WriteFile(filepath.Join(p.Out, recipeFile), p.Recipe.YAML()); err != nil {
		return err
	}
	s := res.Summary.Stopping
	l.print(fmt.Sprintf("%s has ended the run after epoch %d of %d: the best score, %.2f %%, was after epoch %d; recipe.yaml keeps the length",
		s.Rule, p.Spec.Epochs, s.PlannedEpochs, s.Best, s.BestStep/p.Spec.StepsPerEpoch))
	// Chunks of the steps that are not made had come in already.
	res.Summary.ChunksPublished = p.Spec.Steps() * int64(p.Spec.Chunks())
	return nil
}

// stoppedBefore has a run that stop_on has ended stay so, where the settings are those that it
// was begun with: a supervisor starts it again by the same command.
func (p *Plan) stoppedBefore() {
	if s := p.Resume.Stopping; s.Ended() && p.Recipe.StopOn == s.Rule && p.Recipe.Epochs == s.PlannedEpochs {
		p.Recipe.Epochs, p.Recipe.StopOn = p.was.Epochs, ""
	}
}

// checkStop refuses what a run that may end early cannot do.
func (p *Plan) checkStop() error {
	if p.Stream && p.Recipe.StopOn != "" {
		return errs.New("", "--record stream", "record pixels, or set stop_on to nothing",
			errs.Because(errs.ErrUsage, "a stream is sealed with its last step, and stop_on="+p.Recipe.StopOn+" may end the run before"))
	}
	return nil
}
