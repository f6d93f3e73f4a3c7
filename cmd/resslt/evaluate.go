package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train"
)

// evaluate probes the trained and the initial encoder.
func (s *session) evaluate(ctx context.Context, res *train.Result, info train.EncoderInfo) error {
	r := s.recipe
	if !r.Evaluates("knn") && !r.Evaluates("linear") {
		return nil
	}
	images := func(split string) train.ImageSource {
		return func(ctx context.Context) (train.Images, error) {
			return openEvalImages(ctx, r.Data, split, info, cropFraction(info.Stem), r.EvalImages)
		}
	}
	for _, split := range []string{r.ProbeSplit, r.EvalSplit} {
		why, err := s.cannotEvaluate(ctx, split)
		if err != nil {
			return err
		}
		if why != "" {
			// A folder of one's own has no test split, and training it is no less done.
			fmt.Fprintln(s.stderr, "not evaluated: "+why)
			return nil
		}
	}
	fmt.Fprintln(s.stderr, "evaluating the trained encoder")
	trained, err := train.Probe(ctx, r, res.Learner.Student().Backbone, images(r.ProbeSplit), images(r.EvalSplit))
	if err != nil {
		return err
	}
	fmt.Fprintln(s.stderr, "evaluating the untrained encoder")
	untrained, err := train.Untrained(ctx, r, images(r.ProbeSplit), images(r.EvalSplit))
	if err != nil {
		return err
	}
	res.Summary.Add(r, trained, untrained)
	return nil
}

// cannotEvaluate says why a split is of no use to a probe: it is missing or has
// no labels. Any other trouble is an error.
func (s *session) cannotEvaluate(ctx context.Context, split string) (why string, err error) {
	src, err := ingest.Open(ctx, s.recipe.Data, ingest.Options{Split: split})
	if errors.Is(err, errs.ErrNotFound) || errors.Is(err, errs.ErrUsage) {
		return cli.Line(err), nil
	}
	if err != nil {
		return "", err
	}
	defer src.Close()
	if len(src.Manifest().Classes) == 0 {
		return fmt.Sprintf("%s, split %s, has no labels", s.recipe.Data, split), nil
	}
	return "", nil
}

// cropFraction is the side of the central square that a probe sees, of the
// picture's shorter side: all of a small picture (section 4's centre crop of small
// square ones), and 224 of 256 of a large one, as everybody has it.
func cropFraction(stem string) float64 {
	if stem == "imagenet" {
		return 0.875
	}
	return 1
}

// openEvalImages opens un-augmented images for a probe, which passes over the
// ones that cannot be decoded.
func openEvalImages(ctx context.Context, uri, split string, info train.EncoderInfo, fraction float64, most int) (*pipeline.Images, error) {
	o := evalImageOptions(info, fraction, most)
	o.SkipBad = true
	return pipeline.OpenImages(ctx, uri, ingest.Options{Split: split}, o)
}

// evalImageOptions are how an encoder wants its images.
func evalImageOptions(info train.EncoderInfo, fraction float64, most int) pipeline.ImageOptions {
	return pipeline.ImageOptions{Size: info.ImageSize, Fraction: fraction, Max: most, Workers: cores.Count()}
}

func printSummary(w io.Writer, out string, s *train.Summary) {
	fmt.Fprintf(w, "%s: %d steps of %d images, final loss %.4f, %.0f images/s, %.1f %% of it waiting, %.0f s\n",
		s.Recipe, s.Steps, s.BatchSize, s.FinalLoss, s.ImagesPerSecond, 100*s.DataWaitFraction, s.TrainSeconds)
	if s.Trained != nil {
		fmt.Fprintf(w, "%-16s %9s %9s\n", "top-1, %", "untrained", "trained")
		row := func(name string, before, after *float64) {
			if before != nil && after != nil {
				fmt.Fprintf(w, "%-16s %9.2f %9.2f\n", name, *before, *after)
			}
		}
		for _, k := range sortedKeys(s.Trained.KNN) {
			b, a := s.Untrained.KNN[k], s.Trained.KNN[k]
			row("kNN "+k, &b, &a)
		}
		row("linear", s.Untrained.LinearTop1, s.Trained.LinearTop1)
	}
	fmt.Fprintf(w, "student %s\nsummary %s\nreport  %s\n", s.StudentSHA256, filepath.Join(out, "summary.json"), filepath.Join(out, reportPage))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
