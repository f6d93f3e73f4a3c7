package detectron2

import (
	"fmt"
	"slices"
	"strings"

	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/safetensors"
)

// backbones are the networks that detectron2's ResNet can be configured as.
var backbones = []string{"resnet18", "resnet34", "resnet50"}

// Key translates a torchvision key to detectron2's: stages start with res2, the first
// convolution belongs to the stem, a batch norm is the norm of its convolution. ok is
// false for num_batches_tracked, which detectron2 lacks.
func Key(torchvision string) (key string, ok bool) {
	p := strings.Split(torchvision, ".")
	if p[len(p)-1] == "num_batches_tracked" {
		return "", false
	}
	if n, isStage := strings.CutPrefix(p[0], "layer"); isStage && len(n) == 1 && '1' <= n[0] && n[0] <= '4' {
		p[0] = "res" + string(n[0]+1)
	} else {
		p = append([]string{"stem"}, p...)
	}
	for i := 1; i < len(p); i++ {
		switch {
		case strings.HasPrefix(p[i], "bn"):
			p[i] = "conv" + p[i][len("bn"):] + ".norm"
		case p[i] == "downsample" && i+1 < len(p) && p[i+1] == "0":
			p[i], p[i+1] = "shortcut", ""
		case p[i] == "downsample":
			p[i], p[i+1] = "shortcut", "norm"
		}
	}
	return strings.Join(slices.DeleteFunc(p, func(s string) bool { return s == "" }), "."), true
}

// Convert renames an encoder's tensors. Errors wrap errs.ErrUnsupported for a network
// that detectron2 lacks, or ErrMismatch for weights of another network.
func Convert(tensors []safetensors.Tensor, info train.EncoderInfo) ([]safetensors.Tensor, error) {
	if !slices.Contains(backbones, info.Backbone) || info.Width != 64 || info.Stem != "imagenet" {
		return nil, errs.New("export to detectron2", fmt.Sprintf("%s, width %d, %s stem", info.Backbone, info.Width, info.Stem),
			"pre-train one of "+strings.Join(backbones, ", ")+" at width 64 with the imagenet stem, or use --format torchvision",
			errs.Because(errs.ErrUnsupported, "detectron2 has no such backbone"))
	}
	if got := network(tensors); got != info.Backbone {
		return nil, errs.New("export to detectron2", info.Backbone, "give the network of these weights with --backbone",
			errs.Because(errs.ErrMismatch, "the weights belong to "+got))
	}
	var out []safetensors.Tensor
	for _, t := range tensors {
		key, ok := Key(t.Name)
		if !ok {
			continue
		}
		if t.DType != safetensors.F32 {
			return nil, errs.New("export to detectron2", t.Name, "export an encoder in float32", errs.Because(errs.ErrUnsupported, string(t.DType)))
		}
		t.Name = key
		out = append(out, t)
	}
	return out, nil
}

// network recognises a ResNet of full width by its keys: the number of blocks, their
// convolutions, and a 7×7 stem of 64 channels.
func network(tensors []safetensors.Tensor) string {
	blocks, third, stem := 0, false, false
	for _, t := range tensors {
		top, rest, _ := strings.Cut(t.Name, ".")
		switch {
		case t.Name == "conv1.weight":
			stem = slices.Equal(t.Shape, []int64{64, 3, 7, 7})
		case strings.HasPrefix(top, "layer") && strings.HasSuffix(rest, ".conv1.weight"):
			blocks++
		case strings.HasPrefix(top, "layer") && strings.HasSuffix(rest, ".conv3.weight"):
			third = true
		case top != "bn1" && !strings.HasPrefix(top, "layer"):
			return "another network, with " + t.Name
		}
	}
	switch {
	case stem && blocks == 8 && !third:
		return "resnet18"
	case stem && blocks == 16 && !third:
		return "resnet34"
	case stem && blocks == 16:
		return "resnet50"
	}
	return fmt.Sprintf("another network, of %d blocks", blocks)
}

// Pixels returns the configuration's PIXEL_MEAN and PIXEL_STD for red, green and blue,
// in 0–255.
func Pixels(info train.EncoderInfo) (mean, std [3]float64) {
	for c := range 3 {
		mean[c], std[c] = 255*info.Mean[c], 255*info.Std[c]
	}
	return mean, std
}
