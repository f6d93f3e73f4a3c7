package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/train/eval"
)

func newLinearCommand() *cobra.Command {
	var f evalFlags
	var protocol string
	var epochs, batch int
	var lr float64
	var augmented bool
	c := &cobra.Command{
		Use: "linear --checkpoint FILE --data URI", Short: "linear classifier on frozen features",
		Long: `linear trains a linear classifier on the frozen encoder's features and reports the
last epoch: the best one would be chosen on the test set.

  small      lr 10, momentum 0.9, no decay, 100 epochs, x0.1 at 60 and 80 % (section 4)
  imagenet   lr 0.1 B/256, Nesterov, no decay, 90 epochs, cosine (section 5.1)

Without --augment every image passes through the encoder once; with it, every
epoch sees new random crops and flips, as the papers have it.`,
		Example: `  resslt eval linear --checkpoint runs/quickstart/encoder.safetensors --data fashion-mnist: --lr 0.1
  resslt eval linear --checkpoint resnet50.safetensors --backbone resnet50 --data folder:imagenet --eval-split val --augment --device cuda`,
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := f.open(c, "linear")
			if err != nil {
				return err
			}
			if protocol == "" {
				protocol = map[string]string{"imagenet": "imagenet"}[e.enc.info.Stem]
				if protocol == "" {
					protocol = "small"
				}
			}
			var o eval.LinearOptions
			switch protocol {
			case "small":
				o = eval.LinearOptions{Epochs: 100, BatchSize: batch, LR: 10}
			case "imagenet":
				o = eval.ImageNetLinear(batch)
			default:
				return errs.New("--protocol", protocol, "give small or imagenet", errs.ErrUsage)
			}
			o.Seed, o.Progress = f.seed, e.epochs("linear classifier")
			if c.Flags().Changed("epochs") {
				o.Epochs = epochs
			}
			if c.Flags().Changed("lr") {
				o.LR = lr
			}
			if err := o.Validate(); err != nil {
				return err
			}
			set := e.result.Settings
			set["protocol"], set["augmented"], set["epochs"], set["lr"], set["batch_size"] = protocol, augmented, o.Epochs, o.LR, batch
			r, err := linear(c.Context(), e, o, augmented)
			if err != nil {
				return err
			}
			e.accuracy("", r)
			return e.finish()
		},
	}
	f.register(c)
	p := c.Flags()
	p.StringVar(&protocol, "protocol", "", "small or imagenet (default by the encoder's stem)")
	p.BoolVar(&augmented, "augment", false, "new random crops and flips every epoch, in place of cached features")
	p.IntVar(&epochs, "epochs", 100, "epochs (default the protocol's)")
	p.Float64Var(&lr, "lr", 10, "learning rate (default the protocol's)")
	p.IntVar(&batch, "batch-size", 256, "images an update")
	return c
}

func linear(ctx context.Context, e *evaluation, o eval.LinearOptions, augmented bool) (r eval.LinearResult, err error) {
	if !augmented {
		fit, score, err := e.pair(ctx)
		if err != nil {
			return r, err
		}
		return eval.Linear(ctx, fit, score, o)
	}
	score, err := e.set(ctx, scoreOn, e.evalSplit)
	if err != nil {
		return r, err
	}
	err = e.withViews(ctx, nil, o.BatchSize, func(v *pipeline.Views) error {
		r, err = eval.LinearOnViews(ctx, e.enc, v, score, e.enc.options(), o)
		return err
	})
	return r, err
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
