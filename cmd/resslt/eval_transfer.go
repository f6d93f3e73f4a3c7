package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/session"
	"resslt/train/eval"
	"resslt/train/paper"
)

func newTransferCommand() *cobra.Command {
	var f evalFlags
	var valSplit, metric string
	var valFraction float64
	var lambdas int
	c := &cobra.Command{
		Use: "transfer --checkpoint FILE --data URI", Short: "logistic regression by L-BFGS on frozen features (Table 9)",
		Long: `transfer fits an L2-regularised multinomial logistic regression, without
augmentation: of large images the shorter side becomes 224 pixels by bicubic
interpolation, and the central square is taken whole (SimCLR's protocol). It chooses the penalty on the validation split of the data set, or
on a fifth of the training split, drawn class by class, among 45 from 1e5 to 1e-6,
logarithmically spaced; then it fits both together and scores the test split by
the data set's own metric: accuracy, the mean of each class's (Pets, Flowers,
Aircraft, Caltech-101) or the mean 11-point average precision (VOC2007).`,
		Example: "  resslt eval transfer --checkpoint resnet50.safetensors --backbone resnet50 --data flowers:DIR --cache features",
		RunE: func(c *cobra.Command, _ []string) error {
			f.view = session.TransferView
			e, err := f.open(c, "transfer")
			if err != nil {
				return err
			}
			if valSplit == "" && hasVal(e.result.Data) {
				valSplit = "val"
			}
			o := eval.TransferOptions{Lambdas: eval.LambdaGrid(max(1, lambdas)), Metric: eval.Metric(metric)}
			report, done := e.progress("penalties", int64(len(o.Lambdas))), 0
			o.Progress = func(lambda, score float64) { done++; report(done) }
			ctx := c.Context()
			fit, val, score, err := e.three(ctx, valSplit, valFraction)
			if err != nil {
				return err
			}
			if metric == "" {
				o.Metric = eval.TransferMetric(e.result.Data)
				if fit.Targets != nil {
					o.Metric = eval.MAP11
				}
			}
			r, err := eval.Transfer(ctx, fit, val, score, o)
			if err != nil {
				return err
			}
			set := e.result.Settings
			set["lambdas"], set["metric"] = len(o.Lambdas), string(r.Metric)
			e.unlessDefault(c, "penalties", "val-split", "val-fraction", "metric")
			e.transferScores(r)
			if err := e.transferMean(); err != nil {
				return err
			}
			if r.AtEdge {
				fmt.Fprintf(e.stderr, "the best penalty, %.3g, is at the edge of the grid\n", r.Lambda)
			}
			if !r.Converged {
				fmt.Fprintf(e.stderr, "L-BFGS stopped at its most iterations at λ = %.3g\n", r.Lambda)
			}
			return e.finish()
		},
	}
	f.register(c)
	p := c.Flags()
	p.StringVar(&valSplit, "val-split", "", "split to choose the penalty on (default val, where the data set has one of its own)")
	p.Float64Var(&valFraction, "val-fraction", 0.2, "of the training split, where there is no validation split")
	p.IntVar(&lambdas, "penalties", 45, "to choose from")
	p.StringVar(&metric, "metric", "", "top1, per_class or map11 (default the data set's)")
	cli.Choices(p, []string{string(eval.Top1), string(eval.PerClass), string(eval.MAP11)}, "metric")
	return c
}

// three gives the features to fit on, to choose on and to score on.
func (e *evaluation) three(ctx context.Context, valSplit string, valFraction float64) (fit, val, score *eval.Set, err error) {
	if fit, err = e.set(ctx, fitOn, e.split); err != nil {
		return nil, nil, nil, err
	}
	if valSplit != "" {
		val, err = e.set(ctx, chooseOn, valSplit)
	} else {
		all := fit
		defer all.Free()
		if fit, val, err = eval.HoldOut(all, valFraction, e.seed); err == nil {
			split := &e.result.Splits[len(e.result.Splits)-1]
			split.Images = fit.Len()
			e.note(chooseOn, split.Name, val, split.Digest)
			e.result.Settings["val_fraction"] = valFraction
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	score, err = e.set(ctx, scoreOn, e.evalSplit)
	return fit, val, score, err
}

// transferScores adds the data set's own metric first.
func (o *resultBuilder) transferScores(r *eval.TransferResult) {
	if r.Metric == eval.MAP11 {
		o.score(string(eval.MAP11), "mAP, 11-point", r.Precision.ElevenPoint)
		o.score("map", "mAP, all-point", r.Precision.AllPoint)
	} else {
		o.score(string(eval.Top1), "top-1", r.Accuracy.Top1)
		o.score(string(eval.PerClass), "mean per-class accuracy", r.Accuracy.PerClass)
		o.score("top5", "top-5", r.Accuracy.Top5)
		if s := o.result.Scores; r.Metric == eval.PerClass {
			s[0], s[1] = s[1], s[0]
		}
	}
	o.score("lambda", "penalty λ", r.Lambda)
	o.score("validation", "validation score", slices.Max(r.Validation))
}

// transferSets are Table 9's data sets.
var transferSets = []string{"cifar10", "cifar100", "food101", "cars", "dtd", "pets", "flowers", "aircraft", "caltech101"}

// transferMean adds the mean of Table 9's nine data sets once the encoder's folder has the
// scores of all of them, this one's among them.
func (e *evaluation) transferMean() error {
	r := &e.result
	if e.out == "-" || !slices.Contains(transferSets, r.Data) {
		return nil
	}
	report, err := eval.ReadReport(e.out)
	if err != nil {
		return err
	}
	latest := map[string]float64{}
	for _, old := range append(report.Results, *r) { // oldest first
		if old.Protocol == r.Protocol && old.Encoder.SHA256 == r.Encoder.SHA256 && len(old.Scores) > 0 {
			latest[old.Data] = old.Scores[0].Value
		}
	}
	sum := 0.0
	for _, name := range transferSets {
		score, ok := latest[name]
		if !ok {
			return nil
		}
		sum += score
	}
	score := e.score("transfer_mean", "mean of Table 9's data sets", sum/float64(len(transferSets)))
	score.Paper = eval.PaperFigure(r.Protocol, paper.TransferMean, r.Encoder, score.Name)
	return nil
}
