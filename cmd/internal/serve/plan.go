package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// Plan is what is served.
type Plan struct {
	Data       string // URI, absolute
	PolicyName string
	Spec       schemas.RunSpec
	Endless    bool      // the run ends only where a run spec must
	Mean, Std  []float64 // of the pixels' normalisation, R, G, B
	Names      []string  // of the classes; none where they have only numbers
	Classes    int       // of the data set
	Opened     string    // a line about the data

	source ingest.Source    // the data; closed by Close
	data   *schemas.RunData // what is said of the data where the run is; nil: not known
}

// epochs is the number of epochs, 0 for a run without end.
func (p *Plan) epochs() int64 {
	if p.Endless {
		return 0
	}
	return p.Spec.Epochs
}

// Source is the plan's data; nil of a plan that was not made of data. They are open until Close.
func (p *Plan) Source() ingest.Source { return p.source }

// Close closes the data.
func (p *Plan) Close() error {
	if p.source == nil {
		return nil
	}
	return p.source.Close()
}

// MakePlan decides what is served: it opens the data, whose index it may cache, and starts
// nothing. The caller closes the plan.
func MakePlan(ctx context.Context, o *Options) (_ *Plan, err error) {
	r, err := o.recipe()
	if err != nil {
		return nil, err
	}
	if r.Data, err = ingest.Absolute(r.Data); err != nil {
		return nil, err
	}
	r.Engine = cmp.Or(r.Engine, pipeline.Host(cores.Here(), r.Data).Engine)
	src, err := ingest.Open(ctx, r.Data, ingest.Options{
		Warn: cli.Warn, Split: r.Split, Progress: cli.Progress(o.Stderr, "indexing"), Runs: pipeline.InRuns(r.Order),
	})
	if err != nil {
		return nil, err
	}
	m := src.Manifest()
	p := &Plan{
		source: src,
		Data:   r.Data, PolicyName: r.Policy, Names: append([]string{}, m.Classes...), Classes: len(ingest.LabellingOf(src).Classes),
		Opened: pipeline.Opened(r.Data, src), Mean: r.Mean, Std: r.Std, data: pipeline.DatasetOf(src).Run(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, src.Close())
		}
	}()
	if p.Endless = r.Epochs == 0; p.Endless {
		r.Epochs = 1
	}
	if p.Spec, err = pipeline.BatchSpec(r, m); err != nil {
		return nil, err
	}
	if p.Endless {
		p.Spec.Epochs = schemas.MaxSteps / p.Spec.StepsPerEpoch
		err = p.Spec.Validate()
	}
	return p, err
}

// recipe is the recipe that the options name, or the defaults, with what else they say.
func (o *Options) recipe() (*recipe.Recipe, error) {
	r := &recipe.Recipe{}
	if o.Recipe != "" {
		named, err := recipe.Load(o.Recipe)
		if err != nil {
			return nil, err
		}
		r = named
	} else {
		*r = recipe.Default()
		r.Epochs, r.Policy = 0, ""
	}
	if err := r.Set(o.Set...); err != nil {
		return nil, err
	}
	var err error
	switch {
	case strings.HasPrefix(o.Data, "?"):
		r.Data, err = ingest.WithParameters(r.Data, o.Data)
	case o.Data != "":
		r.Data = o.Data
	}
	if err != nil {
		return nil, err
	}
	for _, given := range []struct {
		flag string
		set  func()
	}{
		{"policy", func() { r.Policy = o.Policy }},
		{"image-size", func() { r.ImageSize = o.ImageSize }},
		{"batch-size", func() { r.BatchSize = o.BatchSize }},
		{"seed", func() { r.Seed = o.Seed }},
		{"epochs", func() { r.Epochs = int(o.Epochs) }},
		{"order", func() { r.Order = o.Order }},
		{"mean", func() { r.Mean = o.Mean }},
		{"std", func() { r.Std = o.Std }},
	} {
		if o.Given(given.flag) {
			given.set()
		}
	}
	if o.Recipe == "" && !o.Given("mean") && !o.Given("std") {
		if mean, std := normalisation(r.Data); mean != nil {
			r.Mean, r.Std = mean, std
		}
	}
	return r, o.checkRecipe(r)
}

// checkRecipe checks what the run spec's validation does not see.
func (o *Options) checkRecipe(r *recipe.Recipe) error {
	bad := func(flag, why, hint string) error {
		return errs.New("serve", flag, hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case r.Data == "":
		return bad("--data", "no data is named", "give --data URI, e.g. --data folder:DIR, or a --recipe")
	case r.Policy == "":
		return bad("--policy", "no policy is named", "give --policy, e.g. --policy imagenet or a path ending in .yaml, or a --recipe")
	case r.BatchSize < 1:
		return bad("--batch-size", fmt.Sprintf("batch_size is %d", r.BatchSize), "give 1 or more")
	case r.Epochs < 0:
		return bad("--epochs", fmt.Sprint(r.Epochs), "give 1 or more, or 0 for a run without end")
	case len(r.Mean) != 3 || len(r.Std) != 3:
		return bad("--mean, --std", fmt.Sprintf("have %d and %d numbers", len(r.Mean), len(r.Std)), "give three: R,G,B")
	}
	for _, s := range r.Std {
		if !(s > 0) {
			return bad("--std", fmt.Sprint(s), "give numbers above 0")
		}
	}
	return nil
}

// normalisation is the mean and standard deviation that the embedded recipes have for a format,
// nil where they have none of its own.
func normalisation(uri string) (mean, std []float64) {
	format, _, _ := strings.Cut(uri, ":")
	if ingest.ImageSide(format) == 0 {
		return nil, nil // any images
	}
	for _, name := range recipe.Names() {
		r, err := recipe.Load(name)
		if err != nil {
			continue // the recipes' own tests find it
		}
		if of, _, _ := strings.Cut(r.Data, ":"); of == format {
			return r.Mean, r.Std
		}
	}
	return nil, nil
}
