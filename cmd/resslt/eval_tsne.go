package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/figure"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas/durable"
	"resslt/train/eval"
)

// trustNeighbours is k of the trustworthiness that is reported.
const trustNeighbours = 12

func newTSNECommand() *cobra.Command {
	var f evalFlags
	var o eval.TSNEOptions
	c := &cobra.Command{
		Use: "tsne --checkpoint FILE --data URI", Short: "the images of a split in the plane, by t-SNE (Figure 3)",
		Long: `tsne lays the images of --eval-split out in the plane by Barnes-Hut t-SNE of their
features and writes OUT/tsne.png and OUT/tsne.html, a page in one file that shows
an image where the mouse is. Trustworthiness, from 0 to 1, is how far neighbours in
the plane are neighbours among the features.`,
		Example: "  resslt eval tsne --checkpoint runs/quickstart/encoder.safetensors --data fashion-mnist:",
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("max-images") {
				f.most = 5000
			}
			e, err := f.open(c, "tsne")
			if err != nil {
				return err
			}
			return tsne(c.Context(), e, o)
		},
	}
	f.register(c)
	p := c.Flags()
	p.Lookup("max-images").DefValue = "5000"
	p.Float64Var(&o.Perplexity, "perplexity", 30, "effective neighbours of an image")
	p.Float64Var(&o.Theta, "theta", 0.5, "accuracy of the approximation, above 0: less is slower")
	p.IntVar(&o.Iterations, "iterations", 1000, "steps")
	return c
}

// tsne lays the images out and draws them.
func tsne(ctx context.Context, e *evaluation, o eval.TSNEOptions) error {
	as, split := scoreOn, e.evalSplit
	if e.features != "" && e.evalFeatures == "" {
		as, split = fitOn, e.split
	}
	s, err := e.set(ctx, as, split)
	if err != nil {
		return err
	}
	defer s.Free()
	o.Seed, o.Progress = e.seed, e.progress("t-SNE, iteration", int64(o.Iterations))
	y, err := eval.TSNE(ctx, s, o)
	if err != nil {
		return err
	}
	k := max(1, min(trustNeighbours, (s.Len()-1)/2))
	trust, err := eval.Trustworthiness(ctx, s, y, k)
	if err != nil {
		return err
	}
	set := e.result.Settings
	set["perplexity"], set["theta"], set["iterations"], set["k"] = o.Perplexity, o.Theta, o.Iterations, k
	e.score("trustworthiness", fmt.Sprintf("trustworthiness, k %d", k), 100*trust)
	points := make([]figure.Point, len(y))
	for i, p := range y {
		points[i] = figure.Point{X: p.X, Y: p.Y, Class: int(s.Labels[i])}
	}
	pictures, err := e.thumbnails(ctx, split, s, points)
	if err != nil {
		return err
	}
	who := e.result.Encoder.Backbone
	if e.untrained {
		who = "untrained " + who
	}
	fo := figure.ScatterOptions{
		Title:   fmt.Sprintf("t-SNE of %s, %s", e.dataTitle(), split),
		Caption: fmt.Sprintf("%d images · %s, %d features · perplexity %g · trustworthiness %.3f", s.Len(), who, s.Dim, o.Perplexity, trust),
	}
	for c := range e.classes {
		fo.Classes = append(fo.Classes, e.classes.name(c))
	}
	plot, err := figure.Scatter(points, fo)
	if err != nil {
		return err
	}
	if err := writePNG(e.picture("tsne.png"), plot); err != nil {
		return err
	}
	err = durable.Replace(e.picture("tsne.html"), func(w io.Writer) error { return figure.Page(w, points, pictures, fo) })
	if err != nil {
		return err
	}
	return e.finish()
}

// thumbnails are the images behind the points, whose names it sets; none for
// features from a file.
func (e *evaluation) thumbnails(ctx context.Context, split string, s *eval.Set, points []figure.Point) (pictures []figure.Picture, err error) {
	if e.data == "" || s.IDs == nil || s.Len() > figure.MaxThumbnails {
		for i := range points {
			points[i].Name = fmt.Sprintf("image %d", i)
		}
		return nil, nil
	}
	src, err := e.openData(ctx, split)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	const size = 32
	m, keys, err := pipeline.RenderSamples(ctx, src, pipeline.CenterCrop(size, e.enc.view.Fraction, e.enc.view.Filter), s.IDs, augment.Key{}, cores.Count())
	if err != nil {
		return nil, err
	}
	for i := range points {
		points[i].Name = keys[i]
		pictures = append(pictures, e.classes.picture(m, i, keys[i]))
	}
	return pictures, nil
}
