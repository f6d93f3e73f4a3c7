package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/session"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/eval"
	"resslt/train/nn"
	"resslt/train/recipe"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// encoder is a frozen backbone and what is needed to use it. The weights live as long as the
// process.
type encoder struct {
	backbone.Backbone
	info   train.EncoderInfo
	device torch.Device
	view   session.EvalView // of the images that it is given
}

// encoderFlags name an encoder's weights, and what their file does not say.
type encoderFlags struct {
	checkpoint string
	info       train.EncoderInfo
	device     string
	threads    int
	crop       float64
	view       func(stem string) session.EvalView // a protocol's own; nil: session.ProbeView

	untrained bool   // initial weights in the file's place
	seed      uint64 // of those
}

func (f *encoderFlags) register(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.checkpoint, "checkpoint", "", "`file` or folder: a run's folder, encoder.safetensors, a checkpoint's .json, torchvision's weights as safetensors, or a PyTorch checkpoint of another project (.pth, .pt, .ckpt, .bin)")
	p.StringVar(&f.info.Backbone, "backbone", "resnet18", "network, where neither the file nor its shapes say")
	p.IntVar(&f.info.Width, "width", 64, "64 is the published network; others scale its channels; where neither the file nor its shapes say")
	p.StringVar(&f.info.Stem, "stem", "imagenet", "small or imagenet, where neither the file nor its shapes say")
	p.StringVar(&f.info.Pool, "pool", "token", "feature of a Vision Transformer: token or mean (of the patches' tokens)")
	p.IntVar(&f.info.Heads, "heads", 0, "of a Vision Transformer, where neither the file nor its layout says (0: the published number)")
	cli.Choices(p, backbone.Names(), "backbone")
	cli.Choices(p, recipe.Choices("stem"), "stem")
	cli.Choices(p, backbone.Pools, "pool")
	p.IntVar(&f.info.ImageSize, "image-size", 224, "S in pixels, where the file does not say")
	p.Float64Var(&f.crop, "crop", 0, "side of the central square that is taken, of the shorter side, then resized to S (default 0.875 for the imagenet stem, 1 for the small one)")
	p.StringVar(&f.device, "device", "cpu", "cpu, cuda or cuda:N")
	p.IntVar(&f.threads, "threads", 0, "of libtorch (0: OMP_NUM_THREADS, else one a core)")
}

// openTorch opens libtorch with the flags' device and threads.
func (f *encoderFlags) openTorch(c *cobra.Command) (r recipe.Recipe, dev torch.Device, err error) {
	r = recipe.Default()
	r.Name, r.Data, r.Device, r.Threads = c.CommandPath(), "none:", f.device, f.threads
	if err := resolveHere(&r); err != nil {
		return r, dev, err
	}
	if err := torch.Open(""); err != nil {
		return r, dev, err
	}
	if err := train.Check(&r); err != nil {
		return r, dev, err
	}
	if err := torch.SetNumThreads(r.Threads); err != nil {
		return r, dev, err
	}
	dev, err = torch.ParseDevice(f.device)
	return r, dev, err
}

// load builds the encoder; flags that were given take precedence over the file.
func (f *encoderFlags) load(c *cobra.Command) (enc encoder, err error) {
	if f.checkpoint == "" && !f.untrained {
		return enc, errs.New("", c.CommandPath(), "name the weights with --checkpoint FILE", errs.Because(errs.ErrUsage, "no --checkpoint"))
	}
	r, dev, err := f.openTorch(c)
	if err != nil {
		return enc, err
	}
	info, known := f.info, false
	if f.checkpoint != "" {
		if f.checkpoint, err = train.FindWeights(f.checkpoint, train.Selection{}); err != nil {
			return enc, err
		}
		if info, known, err = train.EncoderMeta(f.checkpoint); err != nil {
			return enc, err
		}
	}
	if !known {
		if info, err = f.guess(); err != nil {
			return enc, err
		}
		copy(info.Mean[:], r.Mean)
		copy(info.Std[:], r.Std)
	}
	f.override(c, &info)
	if info.ImageSize < 1 || info.ImageSize > schemas.MaxViewSize {
		return enc, errs.New("image size", fmt.Sprint(info.ImageSize), fmt.Sprintf("give --image-size 1 to %d", schemas.MaxViewSize), errs.ErrUsage)
	}
	if err := backbone.CheckSize(info.Backbone, info.ImageSize); err != nil {
		return enc, err
	}
	if info.Stem != "small" && info.Stem != "imagenet" {
		return enc, errs.New("--stem", info.Stem, "give small or imagenet", errs.ErrUsage)
	}
	view := session.ProbeView
	if f.view != nil {
		view = f.view
	}
	enc = encoder{info: info, device: dev, view: view(info.Stem)}
	if f.crop != 0 {
		enc.view.Fraction = f.crop
	}
	if !(enc.view.Fraction > 0 && enc.view.Fraction <= 1) {
		return enc, errs.New("--crop", fmt.Sprint(f.crop), "give a number above 0, at most 1", errs.ErrUsage)
	}
	if f.untrained {
		enc.Backbone, err = backbone.New(info.Backbone, f.initial(info, dev))
	} else {
		enc.Backbone, err = train.LoadEncoder(f.checkpoint, info, dev)
	}
	return enc, err
}

// initial is the encoder with the seed's weights.
func (f *encoderFlags) initial(info train.EncoderInfo, dev torch.Device) backbone.Config {
	c := info.Config(dev)
	c.Seed = f.seed
	return c
}

// guess is the flags' encoder, but for what the shapes of its weights say.
func (f *encoderFlags) guess() (train.EncoderInfo, error) {
	info := f.info
	if f.checkpoint == "" {
		return info, nil
	}
	g, err := train.GuessEncoder(f.checkpoint)
	if err != nil {
		return info, err
	}
	return info.Guessed(g), nil
}

// override puts the flags that were given in place of what a file says.
func (f *encoderFlags) override(c *cobra.Command, info *train.EncoderInfo) {
	for name, set := range map[string]func(){
		"backbone":   func() { info.Backbone = f.info.Backbone },
		"width":      func() { info.Width = f.info.Width },
		"stem":       func() { info.Stem = f.info.Stem },
		"pool":       func() { info.Pool = f.info.Pool },
		"heads":      func() { info.Heads = f.info.Heads },
		"image-size": func() { info.ImageSize = f.info.ImageSize },
	} {
		if c.Flags().Changed(name) {
			set()
		}
	}
}

// options are those of taking features with the encoder.
func (e *encoder) options() eval.FeatureOptions {
	return eval.FeatureOptions{Mean: e.info.Mean, Std: e.info.Std, Device: e.device, ChannelsLast: true}
}

// digest is the SHA-256 over the weights in order of key.
func (e *encoder) digest() (string, error) {
	tensors, err := train.HostTensors(nn.StateDict(e))
	if err != nil {
		return "", err
	}
	return safetensors.Digest(tensors), nil
}
