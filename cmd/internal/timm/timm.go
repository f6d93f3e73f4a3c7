package timm

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/foreign"
	"resslt/train/safetensors"
)

// network is timm's name of a backbone, and what its configuration says.
type network struct {
	name              string
	features          int
	first, classifier string
	args              map[string]any // of create_model
	head              int64          // outputs of conv_head, where it is no part of the encoder
}

var networks = map[string]network{
	"resnet18":        {name: "resnet18", features: 512, first: "conv1", classifier: "fc"},
	"resnet34":        {name: "resnet34", features: 512, first: "conv1", classifier: "fc"},
	"resnet50":        {name: "resnet50", features: 2048, first: "conv1", classifier: "fc"},
	"wide_resnet50_2": {name: "wide_resnet50_2", features: 2048, first: "conv1", classifier: "fc"},
	"convnext_tiny":   {name: "convnext_tiny", features: 768, first: "stem.0", classifier: "head.fc"},
	"convnext_small":  {name: "convnext_small", features: 768, first: "stem.0", classifier: "head.fc"},
	"convnext_base":   {name: "convnext_base", features: 1024, first: "stem.0", classifier: "head.fc"},
	"efficientnet_b0": {name: "efficientnet_b0", features: 1280, first: "conv_stem", classifier: "classifier"},
	"efficientnet_b1": {name: "efficientnet_b1", features: 1280, first: "conv_stem", classifier: "classifier"},
	// torchvision's batch norm has another ε than timm's.
	"mobilenet_v3_large": {
		name: "mobilenetv3_large_100", features: 960, first: "conv_stem", classifier: "classifier",
		args: map[string]any{"bn_eps": 0.001, "bn_momentum": 0.01}, head: 1280,
	},
}

// Files are those of the folder.
var Files = []string{"model.safetensors", "config.json", "preprocess.json"}

// Preprocess is the transform of an encoder's images: as torchvision.transforms have it, Resize of the
// shorter side, CenterCrop, ToTensor, Normalize.
type Preprocess struct {
	ResizeSize    int        `json:"resize_size"`
	CropSize      int        `json:"crop_size"`
	CropPct       float64    `json:"crop_pct"` // CropSize / ResizeSize
	Interpolation string     `json:"interpolation"`
	Antialias     bool       `json:"antialias"`
	Mean          [3]float64 `json:"mean"`
	Std           [3]float64 `json:"std"`
	Channels      string     `json:"channels"` // of (x/255 − mean)/std
	Features      string     `json:"features,omitempty"`
}

// PreprocessOf is the transform by which features of the encoder are taken here; crop is the side of
// the central square, of the shorter side.
func PreprocessOf(info train.EncoderInfo, crop float64) Preprocess {
	return Preprocess{
		ResizeSize: int(math.Floor(float64(info.ImageSize) / crop)), CropSize: info.ImageSize, CropPct: crop,
		Interpolation: "bilinear", Antialias: true, Mean: info.Mean, Std: info.Std, Channels: "RGB",
	}
}

// Convert gives an encoder's tensors timm's names, and adds what timm wants besides. It returns
// ErrUnsupported for a network that timm does not have: another width, the small stem.
func Convert(tensors []safetensors.Tensor, info train.EncoderInfo) ([]safetensors.Tensor, error) {
	net, ok := networkOf(tensors, info)
	switch {
	case !ok:
		return nil, refused("the backbone " + info.Backbone)
	case info.Width != 64:
		return nil, refused(fmt.Sprintf("%s of width %d", info.Backbone, info.Width))
	case info.Stem != "imagenet" && backbone.Patch(info.Backbone) == 0:
		return nil, refused(info.Backbone + " with the small stem")
	}
	out, err := foreign.ToTimm(tensors)
	if err != nil {
		return nil, errs.New("export", info.Backbone, "name its network with --backbone", err)
	}
	if net.head > 0 {
		out = append(out, identity(net.head, int64(net.features))...)
	}
	return out, nil
}

// networkOf is the encoder's network, false where timm has none such. A Vision Transformer's
// configuration depends on its weights.
func networkOf(tensors []safetensors.Tensor, info train.EncoderInfo) (network, bool) {
	patch := backbone.Patch(info.Backbone)
	if patch == 0 {
		net, ok := networks[info.Backbone]
		return net, ok
	}
	size, _, _ := strings.Cut(info.Backbone, "_patch")
	net := network{name: size + "_patch16_224", first: "patch_embed.proj", classifier: "head", args: map[string]any{"patch_size": patch}}
	if info.Heads > 0 {
		net.args["num_heads"] = info.Heads
	}
	if info.Pool == backbone.PoolMean {
		net.args["global_pool"], net.args["fc_norm"] = "avg", false
	}
	for _, t := range tensors {
		switch t.Name {
		case "encoder.pos_embedding", "pos_embed":
			net.features = int(t.Shape[2])
			net.args["img_size"] = backbone.SizeOf(info.Backbone, t.Shape[1])
		case "encoder.layers.encoder_layer_0.ls_1.gamma", "blocks.0.ls1.gamma":
			net.args["init_values"] = 1.0 // LayerScale's start, which the weights replace
		}
	}
	if net.args["img_size"] != info.ImageSize {
		net.args["dynamic_img_size"] = true
	}
	return net, true
}

func refused(what string) error {
	return errs.New("export", "", "export --format torchvision", errs.Because(errs.ErrUnsupported, "timm has not "+what))
}

// identity is conv_head with n outputs on in channels: the first are its inputs, the others zero.
func identity(n, in int64) []safetensors.Tensor {
	weight := make([]byte, 4*n*in)
	for i := range min(n, in) {
		binary.LittleEndian.PutUint32(weight[4*(i*in+i):], math.Float32bits(1))
	}
	return []safetensors.Tensor{
		{Name: "conv_head.weight", DType: safetensors.F32, Shape: []int64{n, in, 1, 1}, Data: weight},
		{Name: "conv_head.bias", DType: safetensors.F32, Shape: []int64{n}, Data: make([]byte, 4*n)},
	}
}

// Write writes the folder of converted tensors, model.safetensors last: a folder with it is whole.
func Write(dir string, tensors []safetensors.Tensor, info train.EncoderInfo, crop float64) (err error) {
	undo, err := durable.Folder(dir)
	if err != nil {
		return errs.New("export to", dir, "name a folder that can be made", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	defer func() {
		if err != nil {
			undo()
		}
	}()
	p := PreprocessOf(info, crop)
	net, _ := networkOf(tensors, info)
	if net.head > 0 {
		p.Features = "forward_features(x).mean((2, 3))"
	}
	down := (info.ImageSize + 31) / 32
	config := map[string]any{
		"architecture": net.name, "num_classes": 0, "num_features": net.features,
		"pretrained_cfg": map[string]any{
			"tag": "resslt", "custom_load": false, "input_size": [3]int{3, info.ImageSize, info.ImageSize}, "fixed_input_size": false,
			"interpolation": p.Interpolation, "crop_pct": p.CropPct, "crop_mode": "center", "mean": p.Mean, "std": p.Std,
			"num_classes": 0, "pool_size": [2]int{down, down}, "first_conv": net.first, "classifier": net.classifier,
		},
	}
	if net.args != nil {
		config["model_args"] = net.args
	}
	for name, v := range map[string]any{"config.json": config, "preprocess.json": p} {
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return errs.New("export to", dir, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
		}
		if err := durable.WriteFile(filepath.Join(dir, name), []byte(strings.TrimSpace(string(text))+"\n")); err != nil {
			return err
		}
	}
	return safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"})
}
