package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/detectron2"
	"resslt/cmd/internal/session"
	"resslt/cmd/internal/timm"
	"resslt/cmd/internal/torchvision"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/foreign"
	"resslt/train/recipe"
	"resslt/train/safetensors"
)

// exported is what --json prints.
type exported struct {
	File    string             `json:"file"`
	Format  string             `json:"format"`
	Network string             `json:"network"`
	Part    string             `json:"part"`
	Tensors int                `json:"tensors"`
	Bytes   int64              `json:"bytes"`
	SHA256  string             `json:"sha256"` // over the tensors, in order of name
	Encoder *train.EncoderInfo `json:"encoder,omitempty"`
}

// exportOptions are the flags of resslt export.
type exportOptions struct {
	checkpoint, format, out string
	want                    train.Selection
	info                    train.EncoderInfo // where the file does not say
	infoGiven, json         bool
}

func newExportCommand() *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "export --checkpoint FILE --out FILE",
		Short: "weights for other programs: safetensors with torchvision's keys, or detectron2's form",
		Long: `export writes the weights of one network of a run.

torchvision   safetensors. The encoder has torchvision's keys and no classifier.
              Beside it are load.py, which makes torchvision's network for it, of any
              width and stem, and preprocess.json. The projector has
              an nn.Sequential's keys; all has backbone., projector. and
              predictor. before them.
timm          a folder: model.safetensors with timm's keys, config.json and
              preprocess.json, of a whole encoder that timm has:
              timm.create_model("local-dir:FOLDER", pretrained=True)
detectron2    a pickle for object detection (Table 12), RGB: set INPUT.FORMAT RGB.

What the images are to be (size, crop, mean, std, interpolation) goes with it, in
torchvision's file as "preprocess" of its metadata. docs/weights.md shows how to load both, detection included. There is no ONNX: no
maintained Go library writes it, and torchvision's model with these weights goes
through torch.onnx.export.`,
		Example: `  resslt export --checkpoint runs/quickstart --out resnet18.safetensors
  resslt export --checkpoint runs/quickstart --network teacher --part all --out teacher.safetensors
  resslt export --checkpoint runs/imagenet --format timm --out r50
  resslt export --checkpoint runs/imagenet --format detectron2 --out r50.pkl`,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.checkpoint == "" || o.out == "" {
				return errs.New("", c.CommandPath(), "give --checkpoint FILE and --out FILE", errs.Because(errs.ErrUsage, "no --checkpoint or no --out"))
			}
			o.infoGiven = c.Flags().Changed("backbone")
			return o.export(c.OutOrStdout())
		},
	}
	p := c.Flags()
	p.StringVar(&o.checkpoint, "checkpoint", "", "`file` or folder: a run's folder, a checkpoint's .json, encoder.safetensors, torchvision's weights as safetensors")
	p.StringVar(&o.want.Network, "network", "student", strings.Join(train.Networks, " or "))
	p.StringVar(&o.want.Part, "part", "encoder", strings.Join(train.Parts, ", "))
	p.StringVar(&o.format, "format", "torchvision", "torchvision, timm or detectron2")
	p.StringVar(&o.out, "out", "", "`file` to write, of timm a folder")
	p.StringVar(&o.info.Backbone, "backbone", "resnet50", "network, where the file does not say")
	p.IntVar(&o.info.Width, "width", 64, "64 is the published network, where the file does not say")
	p.StringVar(&o.info.Stem, "stem", "imagenet", "small or imagenet, where the file does not say")
	cli.Choices(p, train.Networks, "network")
	cli.Choices(p, train.Parts, "part")
	cli.Choices(p, exportFormats, "format")
	cli.Choices(p, backbone.Names(), "backbone")
	cli.Choices(p, recipe.Choices("stem"), "stem")
	p.BoolVar(&o.json, "json", false, "print what was written as one JSON object, the last line of standard output")
	o.info.ImageSize = 224
	d := recipe.Default() // ImageNet's pixels
	copy(o.info.Mean[:], d.Mean)
	copy(o.info.Std[:], d.Std)
	return c
}

// exportFormats are the forms of --format.
var exportFormats = []string{"torchvision", "timm", "detectron2"}

// validate refuses what cannot be exported.
func (o *exportOptions) validate() error {
	if o.format != "torchvision" && o.want.Part != "encoder" {
		return errs.New("--part", o.want.Part, "export the encoder", errs.Because(errs.ErrUsage, o.format+" takes nothing else"))
	}
	return o.want.Validate()
}

// export writes the weights and prints what it has written.
func (o *exportOptions) export(stdout io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	withCode := o.format == "torchvision" && o.want.Part == "encoder"
	if err := o.checkOut(withCode); err != nil {
		return err
	}
	from, err := train.FindWeights(o.checkpoint, o.want)
	if err != nil {
		return err
	}
	read, err := train.ReadEncoder(from, o.want)
	if err != nil {
		return err
	}
	tensors := read.Tensors
	known, ok, err := train.EncoderMeta(from)
	if err != nil {
		return err
	}
	if ok {
		o.info = known
	} else {
		ok = o.guess(read.Guess)
	}
	e := exported{File: o.out, Format: o.format, Network: o.want.Network, Part: o.want.Part}
	if ok || o.infoGiven {
		e.Encoder = &o.info
	}
	undo, err := durable.Folder(filepath.Dir(o.out))
	if err != nil {
		return durable.Error(o.out, err)
	}
	if tensors, err = o.write(tensors, e.Encoder != nil); err != nil {
		undo()
		return err
	}
	e.Tensors, e.SHA256 = len(tensors), safetensors.Digest(tensors)
	for _, t := range tensors {
		e.Bytes += int64(len(t.Data))
	}
	fmt.Fprintf(stdout, "%s %s of %s: %d tensors, %.1f MB, in %s\n", e.Network, e.Part, from, e.Tensors, float64(e.Bytes)/1e6, o.out)
	if withCode && e.Encoder != nil {
		crop := session.ProbeView(o.info.Stem).Fraction
		if err := torchvision.Write(o.out, o.info, crop); err != nil {
			return err
		}
		p := timm.PreprocessOf(o.info, crop)
		fmt.Fprintf(stdout, "beside it: load.py (%s, width %d, %s stem, for PyTorch) and preprocess.json; its images: resize %d, crop %d, mean %.3f, std %.3f: others give other features\n",
			o.info.Backbone, o.info.Width, o.info.Stem, p.ResizeSize, p.CropSize, p.Mean, p.Std)
	} else if withCode {
		fmt.Fprintln(stdout, "no load.py: name the network with --backbone, --width and --stem")
	}
	if o.format == "detectron2" {
		mean, std := detectron2.Pixels(o.info)
		fmt.Fprintf(stdout, "train_net.py … MODEL.WEIGHTS %s INPUT.FORMAT RGB MODEL.PIXEL_MEAN '[%.3f,%.3f,%.3f]' MODEL.PIXEL_STD '[%.3f,%.3f,%.3f]' MODEL.RESNETS.STRIDE_IN_1X1 False\n",
			o.out, mean[0], mean[1], mean[2], std[0], std[1], std[2])
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(e)
	}
	return nil
}

// checkOut finds what is in the place of a file that will be written.
func (o *exportOptions) checkOut(withCode bool) error {
	if o.format == "timm" {
		return durable.CheckIn(o.out, timm.Files...)
	}
	dir := filepath.Dir(o.out)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return durable.CheckIn(dir) // it is made
	}
	if err := durable.Check(o.out); err != nil || !withCode {
		return err
	}
	return torchvision.Check(o.out)
}

// write writes the tensors in the format asked for, and gives them as they were written.
// known reports whether the encoder's info is certain.
func (o *exportOptions) write(tensors []safetensors.Tensor, known bool) ([]safetensors.Tensor, error) {
	if o.format == "detectron2" {
		tensors, err := detectron2.Convert(tensors, o.info)
		if err != nil {
			return nil, err
		}
		return tensors, durable.Replace(o.out, func(w io.Writer) error { return detectron2.Write(w, tensors) })
	}
	crop := session.ProbeView(o.info.Stem).Fraction
	if o.format == "timm" {
		tensors, err := timm.Convert(tensors, o.info)
		if err != nil {
			return nil, err
		}
		return tensors, timm.Write(o.out, tensors, o.info, crop)
	}
	meta := map[string]string{"format": "pt"}
	if known && o.want.Part == "encoder" {
		images, err := json.Marshal(timm.PreprocessOf(o.info, crop))
		if err != nil {
			return nil, err
		}
		meta["preprocess"] = string(images)
		raw, err := json.Marshal(o.info)
		if err != nil {
			return nil, err
		}
		meta["resslt"] = string(raw)
	}
	return tensors, safetensors.WriteFile(o.out, tensors, meta)
}

// guess takes from the weights' shapes what no flag says of their network, and reports whether they
// say all of it.
func (o *exportOptions) guess(g foreign.Guess) bool {
	if o.infoGiven || g.Backbone == "" {
		return false
	}
	o.info = o.info.Guessed(g)
	return g.Whole()
}
