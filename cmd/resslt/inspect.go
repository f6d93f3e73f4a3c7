package main

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/sheet"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// inspectOptions are the flags of resslt inspect.
type inspectOptions struct {
	sheet.Options
	out  string
	step stepOptions
}

// maxInspected bounds a sheet, which is held in memory whole.
const maxInspected = 64

func newInspectCommand() *cobra.Command {
	o := inspectOptions{Options: sheet.Options{Policy: "small", Count: 4}, out: "sheet.png"}
	c := &cobra.Command{
		Use:   "inspect --data URI | --step N --record SOURCE",
		Short: "draw samples and their views, or a recorded step's, with the drawn plans, as one PNG sheet",
		Long: `inspect draws what a run would train on: each sample with the crop boxes of its
views, then every view with the random numbers that made it. A view's frame has
the colour of its box. The same seed, epoch and sample give the same views here
as in a run.

With --step it draws what a step of a run was given: the recorded pixels, the batch that
was kept because its loss was not finite, or else views made again from the recipe log and
checked against its digests.`,
		Example: `  resslt inspect --data cifar10:DIR --policy small --out sheet.png
  resslt inspect --data folder:DIR --policy imagenet-multi --sample 17 --count 1
  resslt inspect --step 120 --record runs/quickstart --out step-120.png`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("step") || o.step.record != "" {
				return o.runStep(c)
			}
			return o.run(c)
		},
	}
	f := c.Flags()
	cli.RegisterData(f, &o.Data, "data set, as `URI`").RegisterSplit(f, "split", "part of the data set", &o.Split)
	f.StringVar(&o.Policy, "policy", o.Policy, "preset ("+strings.Join(augment.Presets(), ", ")+") or YAML file")
	f.IntVar(&o.ImageSize, "image-size", 0, "size of the views, where they are all alike (default: the policy's)")
	f.StringVar(&o.Engine, "engine", "", "renderer: "+strings.Join(augment.EngineNames(), ", ")+" (default: the first)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of the run")
	f.Int64Var(&o.Epoch, "epoch", 0, "epoch to draw for")
	f.Int64Var(&o.Sample, "sample", 0, "first sample to draw")
	f.IntVar(&o.Count, "count", o.Count, fmt.Sprintf("samples to draw, 1 to %d", maxInspected))
	f.StringVar(&o.out, "out", o.out, "PNG file to write")
	o.step.register(f)
	return c
}

func (o *inspectOptions) run(c *cobra.Command) (err error) {
	if o.Data == "" {
		return errs.New("", c.CommandPath(), "give --data "+schemeList(), errs.Because(errs.ErrUsage, "no --data"))
	}
	if o.Count < 1 || o.Count > maxInspected {
		return errs.New("inspect", "--count", fmt.Sprintf("give 1 to %d", maxInspected), errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.Count)))
	}
	if err := durable.Check(o.out); err != nil {
		return err
	}
	o.Indexing = cli.Progress(c.ErrOrStderr(), "index")
	o.Opened = func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) }
	drawn, policy, err := sheet.Samples(c.Context(), o.Options)
	if err != nil {
		return err
	}
	if err := writePNG(o.out, drawn); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s: samples from %d on, policy %s\n", o.out, o.Sample, policy)
	return nil
}

// writePNG writes the whole file or none of it.
func writePNG(name string, m image.Image) error {
	return durable.Replace(name, func(w io.Writer) error { return png.Encode(w, m) })
}
