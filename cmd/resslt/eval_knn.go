package main

import (
	"context"
	"encoding/json"
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
	"resslt/train/nn"
)

func newKNNCommand() *cobra.Command {
	var f evalFlags
	var o eval.KNNOptions
	var file string
	c := &cobra.Command{
		Use: "knn --checkpoint FILE --data URI", Short: "weighted k-nearest-neighbour vote by cosine",
		Example: "  resslt eval knn --checkpoint runs/quickstart/encoder.safetensors --data fashion-mnist:",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			if file != "" {
				if err := durable.Check(file); err != nil {
					return err
				}
			}
			e, err := f.open(c, "knn")
			if err != nil {
				return err
			}
			fit, score, err := e.pair(c.Context())
			if err != nil {
				return err
			}
			top1, err := eval.KNN(fit, score, o)
			if err != nil {
				return err
			}
			e.result.Settings["k"], e.result.Settings["temperature"] = o.K, o.Temperature
			for _, k := range o.K {
				e.score(fmt.Sprintf("top1_k%d", k), fmt.Sprintf("top-1, k %d, T %g", k, o.Temperature), top1[k])
			}
			if file != "" && fit.Targets == nil && len(fit.IDs) > 0 && len(score.IDs) > 0 {
				if err := keepNeighbours(c.Context(), e, fit, score, file); err != nil {
					return err
				}
			}
			return e.finish()
		},
	}
	f.register(c)
	f.registerHoldOut(c)
	c.Flags().StringVar(&file, "neighbours", "", "JSON `file` for the nearest images of some that are scored on, with small pictures")
	c.Flags().IntSliceVar(&o.K, "k", []int{200, 20}, "neighbours that vote: 200 as in Lightly, 20 as in solo-learn")
	c.Flags().Float64Var(&o.Temperature, "temperature", 0.1, "T of the votes' weights exp(cos/T)")
	return c
}

// Of the queries whose neighbours are kept, and of these, how many.
const keptQueries, keptNear = 4, 8

// keepNeighbours writes the nearest images of the split that is fitted on to a few that are scored
// on, the same ones at every call with these splits.
func keepNeighbours(ctx context.Context, e *evaluation, fit, score *eval.Set, file string) error {
	var rows []int
	for _, row := range nn.Random(e.seed, "neighbours").Permutation(score.Len())[:min(keptQueries, score.Len())] {
		rows = append(rows, int(row))
	}
	queries, err := score.Select(rows)
	if err != nil {
		return err
	}
	defer queries.Free()
	ids := queries.IDs
	evalSplit := e.evalSplit
	if e.holdOut > 0 {
		evalSplit = e.split
	} else {
		queries.IDs = nil // of another split: an equal id is another image
	}
	near, err := eval.Neighbours(ctx, queries, fit, max(1, min(keptNear, fit.Len()-1)))
	if err != nil {
		return err
	}
	asked, err := e.rendered(ctx, evalSplit, ids)
	if err != nil {
		return err
	}
	var flat []int64
	for _, list := range near {
		for _, n := range list {
			flat = append(flat, fit.IDs[n.Row])
		}
	}
	found, err := e.rendered(ctx, e.split, flat)
	if err != nil {
		return err
	}
	drawn := make([]figure.Row, len(near))
	for q, list := range near {
		drawn[q] = figure.Row{Query: asked[q], Near: found[:len(list)]}
		for i, n := range list {
			drawn[q].Near[i].Cosine = n.Cosine
		}
		found = found[len(list):]
	}
	kept, err := figure.Keep(drawn)
	if err != nil {
		return err
	}
	return durable.Replace(file, func(w io.Writer) error { return json.NewEncoder(w).Encode(kept) })
}

// rendered are images of a split as the encoder sees them, in the order of their ids.
func (e *evaluation) rendered(ctx context.Context, split string, ids []int64) (out []figure.Picture, err error) {
	src, err := e.openData(ctx, split)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	images, keys, err := pipeline.RenderSamples(ctx, src, pipeline.CenterCrop(e.enc.info.ImageSize, e.enc.view.Fraction, e.enc.view.Filter), ids, augment.Key{}, cores.Count())
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		p := e.classes.picture(images, i, keys[i])
		p.ID = id
		out = append(out, p)
	}
	return out, nil
}
