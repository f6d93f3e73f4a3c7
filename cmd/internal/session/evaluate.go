package session

import (
	"context"
	"errors"
	"fmt"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
)

// evaluate probes the trained and the initial encoder, as the recipe says.
func evaluate(ctx context.Context, c *console, r *recipe.Recipe, res *train.Result, info train.EncoderInfo) error {
	if !r.Evaluates("knn") && !r.Evaluates("linear") {
		return nil
	}
	why, err := unfitForProbes(ctx, r)
	if err != nil {
		return err
	}
	if why != "" {
		// A folder of one's own has no test split, and training it is no less done.
		c.print("not evaluated: " + why)
		return nil
	}
	var read []*pipeline.Images
	images := func(split string) train.ImageSource {
		return func(ctx context.Context) (train.Images, error) {
			m, err := OpenEvalImages(ctx, r.Data, split, info, ProbeView(info.Stem), r.EvalImages)
			if err != nil {
				return nil, err
			}
			read = append(read, m)
			return m, nil
		}
	}
	c.print("evaluating the trained encoder")
	after, err := train.Probe(ctx, r, res.Learner.Student().Backbone, images(r.ProbeSplit), images(r.EvalSplit))
	if err != nil {
		return err
	}
	res.Summary.Evaluated = c.evaluated(read)
	c.print("evaluating the untrained encoder")
	before, err := train.Untrained(ctx, r, info.ImageSize, images(r.ProbeSplit), images(r.EvalSplit))
	if err != nil {
		return err
	}
	res.Summary.Add(r, after, before)
	return nil
}

// evaluated says what was read of each split, and prints what there is to say of it.
func (c *console) evaluated(read []*pipeline.Images) (out []train.EvaluatedSplit) {
	for _, m := range read {
		manifest := m.Manifest()
		e := train.EvaluatedSplit{
			Split: manifest.Split, Images: m.Len(), Classes: len(manifest.Classes), PassedOver: passedOver(m.Survey()), Skipped: m.Skipped,
		}
		for _, b := range m.Bad[:min(len(m.Bad), train.MaxReplaced)] {
			e.SkippedImages = append(e.SkippedImages, train.Replaced{Sample: b.ID, Key: b.Key, Reason: b.Reason(), Count: 1})
		}
		c.print(m.Opened())
		if line := m.SkippedLine(); line != "" {
			c.print(fmt.Sprintf("warning: not evaluated of split %s: %s", manifest.Split, line))
		}
		out = append(out, e)
	}
	return out
}

// unfitForProbes gives the reason why the recipe's data is of no use to a probe: a split is missing or
// has no labels. Anything else that is wrong with it is an error.
func unfitForProbes(ctx context.Context, r *recipe.Recipe) (why string, err error) {
	for _, split := range []string{r.ProbeSplit, r.EvalSplit} {
		src, err := ingest.Open(ctx, r.Data, ingest.Options{Warn: cli.Warn, Split: split})
		if errors.Is(err, errs.ErrNotFound) || errors.Is(err, errs.ErrUsage) {
			return cli.Line(err), nil
		}
		if err != nil {
			return "", err
		}
		labels, n := ingest.LabellingOf(src), src.Len()
		src.Close()
		what := fmt.Sprintf("%s, split %s, ", r.Data, split)
		switch {
		case labels.Without == n:
			return what + "has no labels", nil
		case labels.Without > 0:
			return what + fmt.Sprintf("has no labels for %d of its %d images", labels.Without, n), nil
		case len(labels.Classes) == 0:
			return what + fmt.Sprintf("has labels up to %d, which are no classes", labels.Highest), nil
		}
	}
	return "", nil
}

// EvalView is the un-augmented view that an encoder is given.
type EvalView struct {
	Fraction float64        // side of the central square that it shows, of the image's shorter side
	Filter   augment.Filter // of the resize
}

// ProbeView is a probe's: all of a small image (section 4's centre crop of small square ones),
// and 224 of 256 of a large one, as is usual; by bilinear interpolation, torchvision's default.
func ProbeView(stem string) EvalView {
	if stem == "imagenet" {
		return EvalView{0.875, augment.Bilinear}
	}
	return EvalView{1, augment.Bilinear}
}

// TransferView is that of Table 9's linear evaluation, which follows SimCLR's (arXiv
// 2002.05709, appendix B.8) for large images: the shorter side resized to 224 by bicubic
// interpolation, and all of the central square.
func TransferView(stem string) EvalView {
	v := ProbeView(stem)
	if stem == "imagenet" {
		v = EvalView{1, augment.Bicubic}
	}
	return v
}

// OpenEvalImages opens un-augmented images for a probe, which skips those that cannot be
// decoded.
func OpenEvalImages(ctx context.Context, uri, split string, info train.EncoderInfo, view EvalView, most int) (*pipeline.Images, error) {
	o := EvalImageOptions(info, view, most)
	o.SkipBad = true
	return pipeline.OpenImages(ctx, uri, ingest.Options{Warn: cli.Warn, Split: split}, o)
}

// EvalImageOptions are how an encoder is given its images.
func EvalImageOptions(info train.EncoderInfo, view EvalView, most int) pipeline.ImageOptions {
	return pipeline.ImageOptions{Size: info.ImageSize, Fraction: view.Fraction, Filter: view.Filter, Max: most, Workers: cores.Count()}
}
