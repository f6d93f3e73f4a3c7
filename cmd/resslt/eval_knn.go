package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"resslt/train/eval"
)

func newKNNCommand() *cobra.Command {
	var f evalFlags
	var o eval.KNNOptions
	c := &cobra.Command{
		Use: "knn --checkpoint FILE --data URI", Short: "weighted k-nearest-neighbour vote by cosine",
		Example: "  resslt eval knn --checkpoint runs/quickstart/encoder.safetensors --data fashion-mnist:",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
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
			return e.finish()
		},
	}
	f.register(c)
	f.registerHoldOut(c)
	c.Flags().IntSliceVar(&o.K, "k", []int{200, 20}, "neighbours that vote: 200 as in Lightly, 20 as in solo-learn")
	c.Flags().Float64Var(&o.Temperature, "temperature", 0.1, "T of the votes' weights exp(cos/T)")
	return c
}
