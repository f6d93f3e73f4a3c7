package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/figure"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train/eval"
	"resslt/train/nn"
)

// neighbourOptions are the flags of resslt eval neighbours.
type neighbourOptions struct {
	queries int
	ids     []int64
	views   []string
	k       int
}

// The views of a query.
const (
	plainView  = "plain"
	weakView   = "weak"
	strongView = "strong"
)

func newNeighboursCommand() *cobra.Command {
	var f evalFlags
	var o neighbourOptions
	c := &cobra.Command{
		Use: "neighbours --checkpoint FILE --data URI", Short: "the nearest images of a query as a picture (Figure 2)",
		Long: `neighbours draws queries of a split with the images of the same split that are
nearest by cosine, those of another class framed in red, as OUT/neighbours.png.
With --views weak,strong the query is augmented first, as for the teacher and for
the student, as in the paper's Figure 2: a relation that is worth learning shows
the query's class.`,
		Example: "  resslt eval neighbours --checkpoint runs/quickstart/encoder.safetensors --data stl10:DIR --views weak,strong",
		RunE: func(c *cobra.Command, _ []string) error {
			if o.k < 1 || o.k > 20 || o.queries < 1 || o.queries > 50 {
				return errs.New("neighbours", fmt.Sprintf("--k %d --queries %d", o.k, o.queries), "give 1 to 20 neighbours of 1 to 50 queries", errs.ErrUsage)
			}
			e, err := f.open(c, "neighbours")
			if err != nil {
				return err
			}
			return neighbours(c.Context(), e, o)
		},
	}
	f.register(c)
	p := c.Flags()
	p.IntVar(&o.queries, "queries", 3, "queries, drawn by --seed")
	p.Int64SliceVar(&o.ids, "query", nil, "`ids` of the queries, in place of a draw")
	p.StringSliceVar(&o.views, "views", []string{plainView}, "how the query is seen: plain, weak, strong")
	cli.Choices(p, []string{plainView, weakView, strongView}, "views")
	p.IntVar(&o.k, "k", 10, "neighbours of each")
	return c
}

// neighbours draws the queries with their neighbours.
func neighbours(ctx context.Context, e *evaluation, o neighbourOptions) (err error) {
	src, err := e.openData(ctx, e.split)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	bank, err := e.set(ctx, fitOn, e.split)
	if err != nil {
		return err
	}
	if bank.Targets != nil {
		return errs.New("neighbours", e.data, "give images of one class each", errs.Because(errs.ErrUsage, "an image may have several classes"))
	}
	labelled := !slices.ContainsFunc(bank.Labels, func(l int32) bool { return l < 0 })
	if o.ids == nil {
		for _, row := range nn.Random(e.seed, "neighbours").Permutation(bank.Len())[:min(o.queries, bank.Len())] {
			o.ids = append(o.ids, bank.IDs[row])
		}
	}
	var blocks []figure.Block
	for _, view := range o.views {
		b, share, err := neighbourBlock(ctx, e, src, bank, o, view)
		if err != nil {
			return err
		}
		blocks = append(blocks, *b)
		if labelled { // else nobody knows
			e.score("same_class_"+view, "neighbours of the query's class, "+view, share)
		}
	}
	sheet, err := figure.Neighbours(blocks)
	if err != nil {
		return err
	}
	e.result.Settings["queries"], e.result.Settings["k"], e.result.Settings["views"] = o.ids, o.k, o.views
	if err := writePNG(e.picture("neighbours.png"), sheet); err != nil {
		return err
	}
	return e.finish()
}

// neighbourBlock gives the rows for one view of the queries, and the percentage of neighbours
// of their class.
func neighbourBlock(ctx context.Context, e *evaluation, src ingest.Source, bank *eval.Set, o neighbourOptions, view string) (*figure.Block, float64, error) {
	policy, heading, err := e.enc.queryView(view)
	if err != nil {
		return nil, 0, err
	}
	seen, keys, err := pipeline.RenderSamples(ctx, src, policy, o.ids, augment.Key{Seed: e.seed}, cores.Count())
	if err != nil {
		return nil, 0, err
	}
	queries, err := eval.Features(ctx, e.enc, &eval.Once{Images: seen}, e.enc.options())
	if err != nil {
		return nil, 0, err
	}
	defer queries.Free()
	near, err := eval.Neighbours(ctx, queries, bank, o.k)
	if err != nil {
		return nil, 0, err
	}
	b := &figure.Block{Heading: heading}
	right := 0
	for q, list := range near {
		ids := make([]int64, len(list))
		for i, n := range list {
			ids[i] = bank.IDs[n.Row]
		}
		plain, nearKeys, err := pipeline.RenderSamples(ctx, src, pipeline.CenterCrop(e.enc.info.ImageSize, e.enc.view.Fraction, e.enc.view.Filter), ids, augment.Key{}, cores.Count())
		if err != nil {
			return nil, 0, err
		}
		row := figure.Row{Query: e.classes.picture(seen, q, keys[q])}
		for i := range ids {
			row.Near = append(row.Near, e.classes.picture(plain, i, nearKeys[i]))
			if plain.Labels[i] == seen.Labels[q] {
				right++
			}
		}
		b.Rows = append(b.Rows, row)
	}
	return b, 100 * float64(right) / float64(max(1, len(near)*o.k)), nil
}

// queryView is the policy of a query's view, and its heading.
func (e *encoder) queryView(view string) (*augment.Policy, string, error) {
	size := e.info.ImageSize
	if view == plainView {
		return pipeline.CenterCrop(size, e.view.Fraction, e.view.Filter), "Nearest neighbours", nil
	}
	preset := "small"
	if e.info.Stem == "imagenet" {
		preset = "imagenet"
	}
	p, err := pipeline.Policy(preset, size)
	if err != nil {
		return nil, "", err
	}
	one := *p
	one.Name = preset + " " + view
	one.Views = slices.Clone(slices.DeleteFunc(slices.Clone(p.Views), func(v augment.View) bool { return v.Name != view }))
	if len(one.Views) != 1 {
		return nil, "", errs.New("--views", view, "use plain", errs.Because(errs.ErrUsage, "policy "+preset+" has no such view"))
	}
	heading := map[string]string{weakView: "Query under weak augmentation", strongView: "Query under contrastive augmentation"}[view]
	return &one, heading, nil
}

// classNames are the names of a data set's classes, where it has them.
type classNames []string

// picture is one of a batch's images, named by its class, or by its file where it has none.
func (c classNames) picture(m eval.Images, i int, key string) figure.Picture {
	one := 3 * m.Size * m.Size
	p := figure.Picture{Pixels: m.Pixels[i*one : (i+1)*one], Size: m.Size, Class: int(m.Labels[i])}
	if p.Name = c.name(p.Class); p.Class < 0 {
		p.Name = path.Base(key)
	}
	return p
}

func (c classNames) name(class int) string {
	if class >= 0 && class < len(c) {
		return strings.ReplaceAll(c[class], "_", " ")
	}
	return fmt.Sprintf("class %d", class)
}

// picture is the path of a file in the result's folder, or in the current one,
// and notes it.
func (e *evaluation) picture(name string) string {
	if e.out == "-" {
		return name
	}
	e.result.Pictures = append(e.result.Pictures, name)
	return filepath.Join(e.out, name)
}
