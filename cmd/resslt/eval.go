package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"resslt/schemas"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// encoder is a frozen backbone and what one has to know to use it. The weights
// live as long as the process.
type encoder struct {
	backbone.Backbone
	info   train.EncoderInfo
	device torch.Device
}

// encoderFlags name an encoder's weights, and what the file does not say itself.
type encoderFlags struct {
	checkpoint string
	info       train.EncoderInfo
	device     string
	threads    int
	crop       float64
}

func (f *encoderFlags) register(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.checkpoint, "checkpoint", "", "`file`: encoder.safetensors, a checkpoint's .json, or torchvision's weights as safetensors")
	p.StringVar(&f.info.Backbone, "backbone", "resnet18", "network, where the file does not say")
	p.IntVar(&f.info.Width, "width", 64, "64 is the published network; others scale its channels; where the file does not say")
	p.StringVar(&f.info.Stem, "stem", "imagenet", "small or imagenet, where the file does not say")
	p.IntVar(&f.info.ImageSize, "image-size", 224, "S in pixels, where the file does not say")
	p.Float64Var(&f.crop, "crop", 1, "side of the central square that is taken, of the shorter side, then resized to S; ImageNet's custom is 0.875")
	p.StringVar(&f.device, "device", "cpu", "cpu, cuda or cuda:N")
	p.IntVar(&f.threads, "threads", 0, "of libtorch (0: one a core)")
}

// load builds the encoder; flags that were given win over what the file says.
func (f *encoderFlags) load(c *cobra.Command) (enc encoder, err error) {
	if f.checkpoint == "" {
		return enc, schemas.E("", c.CommandPath(), "name the weights with --checkpoint FILE", schemas.Because(schemas.ErrUsage, "no --checkpoint"))
	}
	r := recipe.Default()
	r.Name, r.Data, r.Device, r.Threads = c.CommandPath(), "none:", f.device, f.threads
	if err := resolveHere(&r); err != nil {
		return enc, err
	}
	if err := torch.Open(""); err != nil {
		return enc, err
	}
	if err := train.Check(&r); err != nil {
		return enc, err
	}
	info, ok, err := train.EncoderMeta(f.checkpoint)
	if err != nil {
		return enc, err
	}
	given := f.info
	if !ok {
		info = given
		copy(info.Mean[:], r.Mean)
		copy(info.Std[:], r.Std)
	}
	for name, set := range map[string]func(){
		"backbone":   func() { info.Backbone = given.Backbone },
		"width":      func() { info.Width = given.Width },
		"stem":       func() { info.Stem = given.Stem },
		"image-size": func() { info.ImageSize = given.ImageSize },
	} {
		if c.Flags().Changed(name) {
			set()
		}
	}
	if info.ImageSize < 1 || info.ImageSize > schemas.MaxViewSize {
		return enc, schemas.E("image size", fmt.Sprint(info.ImageSize), fmt.Sprintf("give --image-size 1 to %d", schemas.MaxViewSize), schemas.ErrUsage)
	}
	if !(f.crop > 0 && f.crop <= 1) {
		return enc, schemas.E("--crop", fmt.Sprint(f.crop), "give a number above 0, at most 1", schemas.ErrUsage)
	}
	dev, err := torch.ParseDevice(f.device)
	if err != nil {
		return enc, err
	}
	if err := train.SetThreads(r.Threads); err != nil {
		return enc, err
	}
	b, err := train.LoadEncoder(f.checkpoint, info, dev)
	return encoder{Backbone: b, info: info, device: dev}, err
}

func newEvalCommand() *cobra.Command {
	c := &cobra.Command{Use: "eval", Short: "score a frozen encoder"}
	c.AddCommand(newProbeCommand("knn", "weighted k-nearest-neighbour vote by cosine"),
		newProbeCommand("linear", "linear classifier on frozen features (the paper's protocol for small sets)"))
	return c
}

func newProbeCommand(protocol, short string) *cobra.Command {
	var f encoderFlags
	var data, split, evalSplit string
	var set []string
	var most int
	var asJSON bool
	c := &cobra.Command{
		Use: protocol + " --checkpoint FILE --data URI", Short: short,
		Example: "  resslt eval " + protocol + " --checkpoint runs/quickstart/encoder.safetensors --data fashion-mnist:",
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" {
				return schemas.E("", c.CommandPath(), "give --data "+schemeList(), schemas.Because(schemas.ErrUsage, "no --data"))
			}
			enc, err := f.load(c)
			if err != nil {
				return err
			}
			d := recipe.Default()
			r := &d
			r.Name, r.Data, r.Eval = "eval "+protocol, data, []string{protocol}
			r.Device, r.Threads = f.device, f.threads
			if err := r.Set(set...); err != nil {
				return err
			}
			r.Mean, r.Std = enc.info.Mean[:], enc.info.Std[:]
			if err := resolveHere(r); err != nil {
				return err
			}
			images := func(split string) train.ImageSource {
				return func(ctx context.Context) (train.Images, error) {
					return openEvalImages(ctx, data, split, enc.info, f.crop, most)
				}
			}
			s, err := train.Probe(c.Context(), r, enc.Backbone, images(split), images(evalSplit))
			if err != nil {
				return err
			}
			return printScores(c.OutOrStdout(), s, asJSON)
		},
	}
	f.register(c)
	p := c.Flags()
	p.StringVar(&data, "data", "", "data `URI`: "+schemeList())
	p.StringVar(&split, "split", "train", "labelled split to fit on")
	p.StringVar(&evalSplit, "eval-split", "test", "split to score on")
	p.IntVar(&most, "max-images", 0, "at most so many images of each split (0: all)")
	p.StringArrayVar(&set, "set", nil, "override a field of the evaluation, e.g. `knn_k=[1,5]` or linear_epochs=50")
	p.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func printScores(w io.Writer, s *train.Scores, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	for _, k := range sortedKeys(s.KNN) {
		fmt.Fprintf(w, "kNN %-6s top-1 %6.2f %%\n", k, s.KNN[k])
	}
	if s.LinearTop1 != nil {
		fmt.Fprintf(w, "linear     top-1 %6.2f %%\n", *s.LinearTop1)
	}
	if s.LinearTop5 != nil {
		fmt.Fprintf(w, "linear     top-5 %6.2f %%\n", *s.LinearTop5)
	}
	_, err := fmt.Fprintf(w, "fitted on %d images, scored on %d, %d features\n", s.TrainImages, s.TestImages, s.FeatureDim)
	return err
}
