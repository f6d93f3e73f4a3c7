package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train/eval"
)

// linearOptions are the flags of resslt eval linear.
type linearOptions struct {
	protocol      string
	epochs, batch int
	lr            float64
	augmented     bool
}

// Protocols of linear evaluation.
const (
	linearSmall    = "small"
	linearImageNet = "imagenet"
	linearAuthor   = "author"
)

func newLinearCommand() *cobra.Command {
	var f evalFlags
	var o linearOptions
	c := &cobra.Command{
		Use: "linear --checkpoint FILE --data URI", Short: "linear classifier on frozen features",
		Long: `linear trains a linear classifier on the frozen encoder's features and reports the
last epoch: the best one would be chosen on the test set.

  small      lr 10, momentum 0.9, no decay, 100 epochs, x0.1 at 60 and 80 % (section 4)
  imagenet   lr 0.1 B/256, Nesterov, no decay, 90 epochs, cosine, augmented (section 5.1)
  author     small sets as the paper's author says that he runs them: augmented, Nesterov,
             lr 30 and 10 by steps and 1 by a cosine side by side, last and best epoch

With --augment every epoch sees new random crops and flips, as the papers have it;
without, every image passes through the encoder once. A figure of the paper stands
beside a score only where the protocol is the paper's.`,
		Example: `  resslt eval linear --checkpoint runs/quickstart/encoder.safetensors --data fashion-mnist: --lr 0.1
  resslt eval linear --checkpoint runs/cifar10/encoder.safetensors --data cifar10:DIR --protocol author
  resslt eval linear --checkpoint resnet50.safetensors --backbone resnet50 --data folder:imagenet --eval-split val --device cuda`,
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := f.open(c, "linear")
			if err != nil {
				return err
			}
			heads, err := o.heads(c, e)
			if err != nil {
				return err
			}
			set := e.result.Settings
			set["protocol"], set["augmented"], set["epochs"], set["batch_size"] = o.protocol, o.augmented, heads[0].Epochs, o.batch
			set["lr"] = heads[0].LR
			e.unlessDefault(c, "epochs", "lr", "batch-size")
			if !o.augmented {
				e.unlike = append(e.unlike, "un-augmented training images")
			}
			r, err := linear(c.Context(), e, heads, o.augmented)
			if err != nil {
				return err
			}
			if o.protocol == linearAuthor {
				set["lr"] = ratesOf(heads)
				e.authorsScores(heads, r)
			} else {
				e.accuracy("", r[0])
			}
			return e.finish()
		},
	}
	f.register(c)
	f.registerHoldOut(c)
	p := c.Flags()
	p.StringVar(&o.protocol, "protocol", "", "small, imagenet or author (default small or imagenet, by the encoder's stem)")
	cli.Choices(p, []string{linearSmall, linearImageNet, linearAuthor}, "protocol")
	p.BoolVar(&o.augmented, "augment", false, "new random crops and flips every epoch, in place of cached features (default the protocol's)")
	p.IntVar(&o.epochs, "epochs", 100, "epochs (default the protocol's)")
	p.Float64Var(&o.lr, "lr", 10, "learning rate (default the protocol's)")
	p.IntVar(&o.batch, "batch-size", 256, "images an update")
	return c
}

// heads are the classifiers to be trained, by the protocol and by what the flags change in it.
func (o *linearOptions) heads(c *cobra.Command, e *evaluation) ([]eval.LinearOptions, error) {
	if o.protocol == "" {
		o.protocol = linearSmall
		if e.enc.info.Stem == "imagenet" {
			o.protocol = linearImageNet
		}
	}
	var heads []eval.LinearOptions
	switch o.protocol {
	case linearSmall:
		heads = []eval.LinearOptions{{Epochs: 100, BatchSize: o.batch, LR: 10}}
	case linearImageNet:
		heads = []eval.LinearOptions{eval.ImageNetLinear(o.batch)}
	case linearAuthor:
		heads = eval.AuthorsLinear()
	default:
		return nil, errs.New("--protocol", o.protocol, "give small, imagenet or author", errs.ErrUsage)
	}
	changed := c.Flags().Changed
	if changed("lr") {
		if i := slices.IndexFunc(heads, func(h eval.LinearOptions) bool { return h.LR == o.lr }); i >= 0 {
			heads = heads[i : i+1]
		}
		heads = heads[:1]
		heads[0].LR = o.lr
	}
	for i := range heads {
		h := &heads[i]
		h.Seed, h.BatchSize = e.seed, o.batch
		if changed("epochs") {
			h.Epochs = o.epochs
		}
		if err := h.Validate(); err != nil {
			return nil, err
		}
	}
	heads[0].Progress = e.epochs("linear classifier")
	if !changed("augment") { // cached features are of images as they are
		o.augmented = o.protocol != linearSmall && e.features == ""
	}
	if o.protocol == linearAuthor && !o.augmented {
		return nil, errs.New("--protocol", linearAuthor, "give --checkpoint and --data, without --augment=false",
			errs.Because(errs.ErrUsage, "its training images are augmented"))
	}
	return heads, nil
}

func ratesOf(heads []eval.LinearOptions) []float64 {
	out := make([]float64, len(heads))
	for i, h := range heads {
		out[i] = h.LR
	}
	return out
}

func linear(ctx context.Context, e *evaluation, heads []eval.LinearOptions, augmented bool) (r []eval.LinearResult, err error) {
	if !augmented {
		fit, score, err := e.pair(ctx)
		if err != nil {
			return nil, err
		}
		one, err := eval.Linear(ctx, fit, score, heads[0])
		return []eval.LinearResult{one}, err
	}
	if e.holdOut > 0 {
		return nil, errs.New("", "--hold-out", "give --augment=false, or a data set with a split to score on", errs.Because(errs.ErrUsage, "augmented images are of a whole split"))
	}
	score, err := e.set(ctx, scoreOn, e.evalSplit)
	if err != nil {
		return nil, err
	}
	err = e.withViews(ctx, nil, heads[0].BatchSize, func(v *pipeline.Views) error {
		r, err = eval.LinearHeads(ctx, e.enc, v, score, e.enc.options(), heads)
		return err
	})
	return r, err
}

// authorsScores adds the last and the best epoch of each classifier, called what they are.
func (o *resultBuilder) authorsScores(heads []eval.LinearOptions, r []eval.LinearResult) {
	for i, h := range heads {
		law := "by steps"
		if h.Cosine {
			law = "by a cosine"
		}
		name, label := fmt.Sprintf("top1_lr%g", h.LR), fmt.Sprintf("top-1, lr %g %s", h.LR, law)
		o.score(name, label+", last epoch", r[i].Top1)
		o.score(name+"_best", fmt.Sprintf("%s, best epoch of the test set (%d)", label, r[i].BestEpoch), r[i].Best.Top1)
	}
}

// accuracy adds a classifier's accuracies to the result.
func (o *resultBuilder) accuracy(suffix string, r eval.LinearResult) {
	o.score("top1"+suffix, "top-1", r.Top1)
	o.score("top5"+suffix, "top-5", r.Top5)
	o.score("train_top1"+suffix, "top-1 of the training images", r.TrainTop1)
}

// withViews calls do with the augmented images of the training split: those that
// choose picks by their labels, or all.
func (e *evaluation) withViews(ctx context.Context, choose func(*pipeline.Labels) ([]int64, error), batch int, do func(*pipeline.Views) error) (err error) {
	src, err := e.openData(ctx, e.split)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	m := src.Manifest()
	classes := len(ingest.LabellingOf(src).Classes)
	if classes == 0 {
		return errs.New("train a classifier", e.data, "give labelled images", errs.Because(errs.ErrUsage, "split "+e.split+" has no labels"))
	}
	o := pipeline.ViewOptions{Policy: e.enc.cropAndFlip(), Max: e.most, Classes: classes, Seed: e.seed, Batch: batch, Workers: cores.Count(), SkipBad: true}
	if choose != nil {
		labels, err := pipeline.ReadLabels(ctx, src, e.most)
		if err != nil {
			return err
		}
		if o.IDs, err = choose(labels); err != nil {
			return err
		}
	}
	v, err := pipeline.NewViews(src, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	e.result.Splits = append([]eval.Split{{Role: string(fitOn), Name: e.split, Images: v.Len(), Digest: m.Digest()}}, e.result.Splits...)
	e.result.Data = eval.DataName(e.result.Data, m.Samples, classes)
	return do(v)
}

// cropAndFlip is the training view of linear evaluation: a random crop, flipped
// half the time. Crops reach down to the area that the encoder was trained with:
// 0.2 on small sets (section 4), torchvision's 0.08 on large ones.
func (e *encoder) cropAndFlip() *augment.Policy {
	least := 0.2
	if e.info.Stem == "imagenet" {
		least = 0.08
	}
	return pipeline.CropAndFlip(e.info.ImageSize, least)
}
