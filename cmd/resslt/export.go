package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/detectron2"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
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

func newExportCommand() *cobra.Command {
	var checkpoint, format, out string
	var want train.Selection
	var info train.EncoderInfo
	var asJSON bool
	c := &cobra.Command{
		Use:   "export --checkpoint FILE --out FILE",
		Short: "weights for other programs: safetensors with torchvision's keys, or detectron2's form",
		Long: `export writes the weights of one network of a run.

torchvision   safetensors. The encoder has torchvision's keys and no classifier:
              m.fc = torch.nn.Identity() (or m.classifier, where a network has
              that) makes load_state_dict(strict=True) take it. The projector has
              an nn.Sequential's keys; all has backbone., projector. and
              predictor. before them.
detectron2    a pickle for object detection (Table 12), RGB: set INPUT.FORMAT RGB.

Loading both, detection included, is shown in docs/weights.md. There is no ONNX:
no Go library that is kept up writes it, and torchvision's model with these
weights goes through torch.onnx.export.`,
		Example: `  resslt export --checkpoint runs/quickstart --out resnet18.safetensors
  resslt export --checkpoint runs/quickstart --network teacher --part all --out teacher.safetensors
  resslt export --checkpoint runs/imagenet --format detectron2 --out r50.pkl`,
		RunE: func(c *cobra.Command, _ []string) error {
			if checkpoint == "" || out == "" {
				return errs.New("", c.CommandPath(), "give --checkpoint FILE and --out FILE", errs.Because(errs.ErrUsage, "no --checkpoint or no --out"))
			}
			if format != "torchvision" && format != "detectron2" {
				return errs.New("--format", format, "give torchvision or detectron2", errs.ErrUsage)
			}
			if format == "detectron2" && want.Part != "encoder" {
				return errs.New("--part", want.Part, "export the encoder", errs.Because(errs.ErrUsage, "detectron2 takes nothing else"))
			}
			if err := want.Validate(); err != nil {
				return err
			}
			from, err := weightsFile(checkpoint, want)
			if err != nil {
				return err
			}
			tensors, err := train.ReadWeights(from, want)
			if err != nil {
				return err
			}
			known, ok, err := train.EncoderMeta(from)
			if err != nil {
				return err
			}
			if ok {
				info = known
			}
			e := exported{File: out, Format: format, Network: want.Network, Part: want.Part}
			if ok || c.Flags().Changed("backbone") {
				e.Encoder = &info
			}
			if format == "detectron2" {
				tensors, err = detectron2.Convert(tensors, info)
				if err == nil {
					err = durable.Replace(out, func(w io.Writer) error { return detectron2.Write(w, tensors) })
				}
			} else {
				meta := map[string]string{"format": "pt"}
				if e.Encoder != nil && want.Part == "encoder" {
					var raw []byte
					if raw, err = json.Marshal(info); err != nil {
						return err
					}
					meta["resslt"] = string(raw)
				}
				err = safetensors.WriteFile(out, tensors, meta)
			}
			if err != nil {
				return err
			}
			e.Tensors, e.SHA256 = len(tensors), safetensors.Digest(tensors)
			for _, t := range tensors {
				e.Bytes += int64(len(t.Data))
			}
			fmt.Fprintf(c.OutOrStdout(), "%s %s of %s: %d tensors, %.1f MB, in %s\n", want.Network, want.Part, from, e.Tensors, float64(e.Bytes)/1e6, out)
			if format == "detectron2" {
				mean, std := detectron2.Pixels(info)
				fmt.Fprintf(c.OutOrStdout(), "train_net.py … MODEL.WEIGHTS %s INPUT.FORMAT RGB MODEL.PIXEL_MEAN '[%.3f,%.3f,%.3f]' MODEL.PIXEL_STD '[%.3f,%.3f,%.3f]' MODEL.RESNETS.STRIDE_IN_1X1 False\n",
					out, mean[0], mean[1], mean[2], std[0], std[1], std[2])
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(e)
			}
			return nil
		},
	}
	p := c.Flags()
	p.StringVar(&checkpoint, "checkpoint", "", "`file` or folder: a run's folder, a checkpoint's .json, encoder.safetensors, torchvision's weights as safetensors")
	p.StringVar(&want.Network, "network", "student", strings.Join(train.Networks, " or "))
	p.StringVar(&want.Part, "part", "encoder", strings.Join(train.Parts, ", "))
	p.StringVar(&format, "format", "torchvision", "torchvision or detectron2")
	p.StringVar(&out, "out", "", "`file` to write")
	p.StringVar(&info.Backbone, "backbone", "resnet50", "network, where the file does not say")
	p.IntVar(&info.Width, "width", 64, "64 is the published network, where the file does not say")
	p.StringVar(&info.Stem, "stem", "imagenet", "small or imagenet, where the file does not say")
	p.BoolVar(&asJSON, "json", false, "print what was written as one JSON object, the last line of standard output")
	info.ImageSize = 224
	d := recipe.Default() // ImageNet's pixels
	copy(info.Mean[:], d.Mean)
	copy(info.Std[:], d.Std)
	return c
}

// weightsFile finds the weights that a path stands for: in a run's folder the
// finished encoder where that is all that is wanted, else the newest checkpoint.
func weightsFile(path string, want train.Selection) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return path, nil // a file, or whatever reading it will say
	}
	if want.Network == "student" && want.Part == "encoder" {
		encoder := filepath.Join(path, "encoder.safetensors")
		if _, err := os.Stat(encoder); err == nil {
			return encoder, nil
		}
	}
	dir := train.CheckpointDir(path)
	c, damaged, err := train.LatestCheckpoint(dir)
	if err != nil {
		return "", errors.Join(append([]error{err}, damaged...)...)
	}
	return c.Path(), nil
}
