package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/train/eval"
)

func newLowShotCommand() *cobra.Command {
	var f evalFlags
	var o eval.LowShotOptions
	var difficult, loss string
	var full bool
	c := &cobra.Command{
		Use: "lowshot --checkpoint FILE --data URI", Short: "linear SVM on a few images a class (Table 11)",
		Long: `lowshot fits a linear SVM for each class against the rest (liblinear's dual
coordinate descent, squared hinge, positive images twice), on k images a class and
on all of them, and gives the mean average precision: all-point as in Table 11's
code (PCL), and 11-point as in VOC2007's. Features are divided by their norm.

Of several --costs each class takes the one that is best in threefold
cross-validation, as in VISSL. Objects that VOC marks as difficult count as
absent, as in Table 11, or are left out by --difficult ignore, by VOC's rules.`,
		Example: "  resslt eval lowshot --checkpoint resnet50.safetensors --backbone resnet50 --data voc2007:DIR",
		RunE: func(c *cobra.Command, _ []string) error {
			o.DifficultNegative, o.SVM.Hinge = difficult == "negative", loss == "hinge"
			if err := o.Validate(); err != nil {
				return err
			}
			if full {
				o.K = append(o.K, 0)
			}
			e, err := f.open(c, "lowshot")
			if err != nil {
				return err
			}
			if e.result.Data == "voc2007" && !c.Flags().Changed("split") {
				e.split = "train+val"
			}
			o.SVM.Seed = f.seed
			report := e.progress("draws", int64(o.Draws*len(o.K)))
			done := 0
			o.Progress = func(int, int, float64) { done++; report(done) }
			fit, score, err := e.pair(c.Context())
			if err != nil {
				return err
			}
			rows, err := eval.LowShot(c.Context(), fit, score, o)
			if err != nil {
				return err
			}
			set := e.result.Settings
			set["k"], set["draws"], set["costs"], set["loss"], set["difficult"] = o.K, o.Draws, o.Costs, loss, difficult
			for _, r := range rows {
				e.shots("map", "all-point", r, r.Mean.AllPoint, r.Std.AllPoint)
			}
			for _, r := range rows {
				e.shots("map11", "11-point", r, r.Mean.ElevenPoint, r.Std.ElevenPoint)
			}
			return e.finish()
		},
	}
	f.register(c)
	p := c.Flags()
	p.IntSliceVar(&o.K, "k", []int{4, 8, 16, 32, 64}, "images a class")
	p.BoolVar(&full, "full", true, "fit on the whole split too")
	p.IntVar(&o.Draws, "draws", 5, "draws of each k")
	p.Float64SliceVar(&o.Costs, "costs", []float64{0.5}, "C of the SVM; several: chosen by cross-validation")
	p.StringVar(&loss, "loss", "squared_hinge", "squared_hinge or hinge")
	p.StringVar(&difficult, "difficult", "negative", "objects that VOC marks as difficult: negative or ignore")
	cli.Choices(p, []string{"squared_hinge", "hinge"}, "loss")
	cli.Choices(p, []string{"negative", "ignore"}, "difficult")
	return c
}

// shots adds the mean of a draw's k images a class, and the deviation of several.
func (o *resultBuilder) shots(prefix, kind string, r eval.LowShotResult, mean, std float64) {
	label := fmt.Sprintf("mAP, %s, k %d", kind, r.K)
	if r.K == 0 {
		label = "mAP, " + kind + ", all images"
	}
	s := o.score(eval.ShotName(prefix, r.K), label, mean)
	if s.N = len(r.Draws); s.N > 1 {
		s.Std = &std
	}
}
