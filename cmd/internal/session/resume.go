package session

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"resslt/batcher/record"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// recipeFile keeps a run's resolved recipe.
const recipeFile = "recipe.yaml"

// findCheckpoint finds the newest checkpoint, whose recipe counts from here on. Where there
// is none the run begins: under a supervisor the first start has the flags of all others.
// given says that the user has named the recipe that the plan has now.
func (p *Plan) findCheckpoint(given bool) error {
	c, damaged, err := train.LatestCheckpoint(train.CheckpointDir(p.Out))
	if errors.Is(err, errs.ErrNotFound) {
		p.LocalWarnings = append(p.LocalWarnings, "--resume: no checkpoint in "+train.CheckpointDir(p.Out)+" yet: starting at step 0")
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range damaged {
		p.LocalWarnings = append(p.LocalWarnings, "passing over: "+cli.Line(d))
	}
	path := filepath.Join(p.Out, recipeFile)
	r, err := recipe.ParseResolved(path, []byte(c.Recipe))
	if err != nil {
		return err
	}
	if given && r.Name != p.Recipe.Name {
		return errs.New("resume from", p.Out, "name the run's own recipe or another --out",
			errs.Because(errs.ErrUsage, fmt.Sprintf("it is a run of recipe %s, not %s", r.Name, p.Recipe.Name)))
	}
	// A session that planned the run anew may have ended before its first checkpoint.
	if kept, err := recipe.Load(path); err == nil && kept.Continues(r) {
		r = kept
	}
	if given {
		p.named = p.Recipe
	}
	p.Resume, p.Recipe = c, r
	was := *r
	p.was = &was
	return nil
}

// checkAhead is CheckFolder for the files that a resumed run will write into folders that it
// keeps.
func (p *Plan) checkAhead() error {
	if err := durable.CheckIn(filepath.Join(p.Out, record.Subfolder), "*.arrow*"); err != nil {
		return err
	}
	return train.CheckCheckpoints(train.CheckpointDir(p.Out), p.From(), p.Spec.Steps())
}

// differ finds in what the settings differ from the run that is resumed: it refuses what
// would be another run, and has the recipe keep another number of epochs.
func (p *Plan) differ(o *Options, have cores.Cores) error {
	refused := func(why string) error {
		return errs.New("resume from", p.Out, "leave these as the run has them, or start over without --resume",
			errs.Because(errs.ErrMismatch, why))
	}
	d := p.otherBatches()
	if shaped := p.Recipe.Reshaped(p.was); len(d)+len(shaped) > 0 {
		return refused(append(d, shaped...).Text("the run has"))
	}
	if err := p.replan(); err != nil {
		return err
	}
	if d := p.Recipe.Changed(p.was); len(d) > 0 {
		p.Warnings = append(p.Warnings, "warning: changed since the checkpoint, so the weights will differ: "+d.Text("the run has"))
	}
	p.nameRecipe(o, have)
	if info, err := torch.Info(); err == nil && info.TorchVersion != p.Resume.Torch {
		p.LocalWarnings = append(p.LocalWarnings, fmt.Sprintf("warning: the checkpoint was made with libtorch %s, this is %s: the weights will differ in their last bits", p.Resume.Torch, info.TorchVersion))
	}
	return nil
}

// otherBatches lists what makes other batches than the run's. The number of epochs does not:
// a longer run begins as a shorter one does.
func (p *Plan) otherBatches() schemas.Differences {
	same := p.Spec
	if then, err := recipe.ParseResolved("", []byte(p.Resume.Recipe)); err == nil {
		same.Epochs = int64(then.Epochs)
	}
	if same.Digest() == p.Resume.RunDigest {
		return nil
	}
	was := p.specThen()
	if was == nil { // a checkpoint of an older build, whose record has gone
		d := p.Recipe.Changed(p.was)
		return append(d, schemas.Difference{Key: "run", Is: fmt.Sprintf("%.12s", same.Digest()), Was: fmt.Sprintf("%.12s (data or engine)", p.Resume.RunDigest)})
	}
	same.Epochs = was.Epochs
	d := same.Differences(was)
	if then := pipeline.KeptDataset(p.Out, was.Dataset.Digest); then != nil && p.dataset != nil {
		d = slices.DeleteFunc(d, func(x schemas.Difference) bool {
			return slices.Contains([]string{"data format", "split", "number of samples", "content of the data"}, x.Key)
		})
		d = append(p.dataset.Differences(then.Manifest), d...)
	}
	return d
}

// specThen is the run spec of the checkpoint, nil where it is not known.
func (p *Plan) specThen() *schemas.RunSpec {
	if p.Resume.Spec != nil {
		return p.Resume.Spec
	}
	f, err := record.OpenFolder(filepath.Join(p.Out, record.Subfolder))
	if err != nil {
		return nil // it only makes the message better
	}
	defer f.Close()
	if f.Run.Digest != p.Resume.RunDigest {
		return nil
	}
	return f.Spec()
}

// replan has a run that is resumed with another number of epochs follow the schedules of
// that length from the checkpoint's step on.
func (p *Plan) replan() error {
	r := p.Recipe
	if r.Epochs == p.was.Epochs {
		return nil
	}
	if done := p.Resume.Step; p.Spec.Steps() < done {
		return errs.New("resume from", p.Out, "give the epochs that are trained, or more, or resume from an older checkpoint by deleting those after it",
			errs.Because(errs.ErrUsage, fmt.Sprintf("epochs is %d, and %d steps are trained, %.4g epochs", r.Epochs, done, float64(done)/float64(p.Spec.StepsPerEpoch))))
	}
	if err := r.Replan(p.Resume.Step, p.was.Epochs); err != nil {
		return err
	}
	p.Warnings = append(p.Warnings, fmt.Sprintf(
		"the run is now of %d epochs, it was planned for %d: from step %d on, learning rate and m follow the schedules of a run of %d epochs; recipe.yaml keeps it (replanned: %s)",
		r.Epochs, p.was.Epochs, p.Resume.Step, r.Epochs, strings.Join(r.Replanned, ", ")))
	return nil
}

// nameRecipe says where the recipe that the user has named is not the run's own, which counts.
func (p *Plan) nameRecipe(o *Options, have cores.Cores) {
	if p.named == nil || ResolveRecipe(p.named, o.Data, o.Set, have) != nil {
		return
	}
	named := *p.named
	// These are the machine's where the recipe leaves them open.
	named.Threads, named.Engine = p.Recipe.Threads, p.Recipe.Engine
	d := p.Recipe.Changed(&named)
	d.Add("epochs", p.Recipe.Epochs, named.Epochs)
	if len(d) > 0 {
		p.LocalWarnings = append(p.LocalWarnings, "a resumed run keeps its own recipe, and changes only by --set: "+d.Text("recipe "+named.Name+" has"))
	}
}
