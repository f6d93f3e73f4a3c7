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
	why, hold, err := unfitForProbes(ctx, r)
	if err != nil {
		return err
	}
	if why != "" {
		// A folder of one's own may have no labels, and training it is no less done.
		c.print("not evaluated: " + why)
		return nil
	}
	evalSplit := r.EvalSplit
	if hold > 0 {
		evalSplit = r.ProbeSplit
		c.print(heldOutLine(r, hold))
	}
	var read []*pipeline.Images
	images := func(split string, held bool) train.ImageSource {
		return func(ctx context.Context) (train.Images, error) {
			m, err := OpenEvalImages(ctx, r.Data, split, info, ProbeView(info.Stem), r.EvalImages, pipeline.HoldOut{Every: hold, Held: held})
			if err != nil {
				return nil, err
			}
			read = append(read, m)
			return m, nil
		}
	}
	c.print("evaluating the trained encoder")
	observe, done := c.phases("trained")
	after, err := train.Probe(ctx, r, res.Learner.Student().Backbone, images(r.ProbeSplit, false), images(evalSplit, true), observe)
	done()
	if err != nil {
		return err
	}
	res.Summary.Evaluated = c.evaluated(read)
	if err := train.CheckStartFile(r); err != nil {
		c.print("warning: the encoder that the run began from is not scored: " + cli.Line(err))
		res.Summary.Add(r, after, nil)
		return nil
	}
	c.print("evaluating the untrained encoder")
	observe, done = c.phases("untrained")
	before, err := train.Untrained(ctx, r, info.ImageSize, images(r.ProbeSplit, false), images(evalSplit, true), observe)
	done()
	if err != nil {
		return err
	}
	res.Summary.Add(r, after, before)
	return nil
}

// phases shows how far a probe is: a bar for each of its parts on a terminal, a line every few
// seconds elsewhere. done ends the last one.
func (c *console) phases(of string) (observe train.Observer, done func()) {
	part, set, end := "", func(int64) {}, func() {}
	return func(what string, n, total int64) {
		if what != part {
			end()
			part = what
			set, end = cli.Counting(c.stderr, of+": "+what, total, 0)
		}
		set(n)
	}, func() { end() }
}

// evaluated says what was read of each split, and prints what there is to say of it.
func (c *console) evaluated(read []*pipeline.Images) (out []train.EvaluatedSplit) {
	for _, m := range read {
		manifest := m.Manifest()
		e := train.EvaluatedSplit{
			Split: m.Part(), Images: m.Len(), Classes: len(manifest.Classes), PassedOver: passedOver(m.Survey()), Skipped: m.Skipped,
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

// heldOutLine says on what a run is scored whose data has no split for it.
func heldOutLine(r *recipe.Recipe, hold int) string {
	return fmt.Sprintf("there is no split %s: probes are fitted on split %s without every %dth image, and scored on these; the encoder was trained on all, without labels",
		r.EvalSplit, r.ProbeSplit, hold)
}

// leastHeld is the fewest images of which some are held out.
const leastHeld = 50

// unfitForProbes gives the reason why the recipe's data is of no use to a probe: it has no labels.
// Where the split to score on is missing, hold says how many images of the other one make one that
// is held out; 0: none. Anything else that is wrong with the data is an error.
func unfitForProbes(ctx context.Context, r *recipe.Recipe) (why string, hold int, err error) {
	images := int64(0) // of the split that probes are fit on
	for _, split := range []string{r.ProbeSplit, r.EvalSplit} {
		src, err := ingest.Open(ctx, r.Data, ingest.Options{Warn: cli.Warn, Split: split})
		if split == r.EvalSplit && split != r.ProbeSplit && errors.Is(err, errs.ErrNotFound) {
			if images < leastHeld {
				return fmt.Sprintf("%d images of split %s are too few to hold some out (%d): %s", images, r.ProbeSplit, leastHeld, cli.Line(err)), 0, nil
			}
			return "", pipeline.DefaultHoldOut, nil
		}
		if errors.Is(err, errs.ErrNotFound) || errors.Is(err, errs.ErrUsage) {
			return cli.Line(err), 0, nil
		}
		if err != nil {
			return "", 0, err
		}
		labels, n := ingest.LabellingOf(src), src.Len()
		src.Close()
		if split == r.ProbeSplit {
			images = n
		}
		what := fmt.Sprintf("%s, split %s, ", r.Data, split)
		switch {
		case labels.Without == n:
			return what + "has no labels", 0, nil
		case labels.Without > 0:
			return what + fmt.Sprintf("has no labels for %d of its %d images", labels.Without, n), 0, nil
		case len(labels.Classes) == 0:
			return what + fmt.Sprintf("has labels up to %d, which are no classes", labels.Highest), 0, nil
		}
	}
	return "", 0, nil
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
func OpenEvalImages(ctx context.Context, uri, split string, info train.EncoderInfo, view EvalView, most int, hold pipeline.HoldOut) (*pipeline.Images, error) {
	o := EvalImageOptions(info, view, most)
	o.SkipBad, o.HoldOut = true, hold
	return pipeline.OpenImages(ctx, uri, ingest.Options{Warn: cli.Warn, Split: split}, o)
}

// EvalImageOptions are how an encoder is given its images.
func EvalImageOptions(info train.EncoderInfo, view EvalView, most int) pipeline.ImageOptions {
	return pipeline.ImageOptions{Size: info.ImageSize, Fraction: view.Fraction, Filter: view.Filter, Max: most, Workers: cores.Count()}
}
