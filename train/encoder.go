package train

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/foreign"
	"resslt/train/nn"
	"resslt/train/pth"
	"resslt/train/recipe"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// EncoderInfo is what one has to know of an encoder's weights to use them. It is in the
// metadata of the files that SaveEncoder writes, under "resslt".
type EncoderInfo struct {
	Backbone  string     `json:"backbone"`
	Width     int        `json:"width"`
	Stem      string     `json:"stem"`       // "small" or "imagenet"
	ImageSize int        `json:"image_size"` // S, pixels
	Mean      [3]float64 `json:"mean"`       // of (x/255 − mean)/std
	Std       [3]float64 `json:"std"`
	Pool      string     `json:"pool,omitempty"`  // of a Vision Transformer: "token", or "mean"; "" is "token"
	Heads     int        `json:"heads,omitempty"` // of a Vision Transformer, where they are not the published number

	// What it was trained by; empty in files of earlier builds and for weights from elsewhere.
	Recipe    string `json:"recipe,omitempty"`
	Objective string `json:"objective,omitempty"`
	Epochs    int    `json:"epochs,omitempty"`
}

// InfoOf is the recipe's encoder; size is S of its views.
func InfoOf(r *recipe.Recipe, size int) EncoderInfo {
	e := EncoderInfo{Backbone: r.Backbone, Width: r.Width, Stem: r.Stem, ImageSize: size, Recipe: r.Name, Objective: r.Objective, Epochs: r.Epochs}
	if backbone.Patch(r.Backbone) > 0 {
		e.Pool, e.Heads = r.Pool, r.Heads
	}
	copy(e.Mean[:], r.Mean)
	copy(e.Std[:], r.Std)
	return e
}

// SaveEncoder writes a backbone's weights under torchvision's keys.
func SaveEncoder(path string, b backbone.Backbone, info EncoderInfo) error {
	tensors, err := encoderTensors(b)
	if err != nil {
		return err
	}
	return writeEncoder(path, tensors, info)
}

// encoderTensors are a backbone's weights, without what training alone reads.
func encoderTensors(b backbone.Backbone) ([]safetensors.Tensor, error) {
	return HostTensors(slices.DeleteFunc(nn.StateDict(b), func(n nn.Named) bool { return backbone.TrainingOnly(n.Name) }))
}

// WriteEncoder writes the encoder of another project's checkpoint, as it was read. Where its shapes
// say what network it is the file says so, too, with ImageNet's pixels and images of 224, which no
// such checkpoint says.
func WriteEncoder(path string, e *foreign.Encoder) error {
	if !e.Guess.Whole() {
		return safetensors.WriteFile(path, e.Tensors, map[string]string{"format": "pt"})
	}
	info := EncoderInfo{Stem: "imagenet", ImageSize: 224, Mean: nn.ImageNetMean, Std: nn.ImageNetStd}
	return writeEncoder(path, e.Tensors, info.Guessed(e.Guess))
}

func writeEncoder(path string, tensors []safetensors.Tensor, info EncoderInfo) error {
	meta, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return safetensors.WriteFile(path, tensors, map[string]string{"format": "pt", "resslt": string(meta)})
}

// EncoderMeta reads what a file says of its encoder: all of it for a file that
// SaveEncoder wrote or a checkpoint (of its two files either), nothing (ok false) for any other
// safetensors file, such as torchvision's weights, and for other projects' checkpoints.
func EncoderMeta(path string) (info EncoderInfo, ok bool, err error) {
	if strings.HasSuffix(path, ".json") {
		c, err := OpenCheckpoint(path)
		if err != nil {
			return info, false, err
		}
		r, err := recipe.Parse(path, []byte(c.Recipe))
		if err != nil {
			return info, false, err
		}
		if err := r.Resolve(recipe.Host{}); err != nil {
			return info, false, err
		}
		return InfoOf(r, r.ImageSize), true, nil
	}
	if pth.Is(path) {
		return info, false, nil
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return info, false, err
	}
	defer f.Close()
	if f.Metadata["resslt"] == checkpointMark {
		return EncoderMeta(strings.TrimSuffix(path, ".safetensors") + ".json")
	}
	if json.Unmarshal([]byte(f.Metadata["resslt"]), &info) != nil || info.Backbone == "" {
		return EncoderInfo{}, false, nil
	}
	return info, true, nil
}

// Guessed is the encoder, but for what the shapes of its weights say.
func (e EncoderInfo) Guessed(g foreign.Guess) EncoderInfo {
	e.Backbone = cmp.Or(g.Backbone, e.Backbone)
	e.Width = cmp.Or(g.Width, e.Width)
	e.Heads = cmp.Or(g.Heads, e.Heads)
	if g.ShowsStem() {
		e.Stem = g.Stem
	}
	return e
}

// GuessEncoder is what the keys and shapes of an encoder say of its network: of a file that
// EncoderMeta has nothing of. Backbone is "" and Width 0 where they do not say.
func GuessEncoder(path string) (foreign.Guess, error) {
	e, err := ReadEncoder(path, Selection{})
	return e.Guess, err
}

// Config is what the encoder's network is built from, with channels_last order as recipes
// default to.
func (e EncoderInfo) Config(dev torch.Device) backbone.Config {
	return e.shape(backbone.Config{Device: dev, ChannelsLast: true, Fused: true}, nil)
}

// shape adds the network's shape to a configuration, with what the weights of a Vision
// Transformer say by theirs: the size of images that its positions are for, which may be
// another than they are used with, and whether it has LayerScale.
func (e EncoderInfo) shape(c backbone.Config, tensors []safetensors.Tensor) backbone.Config {
	c.Width, c.SmallStem, c.ImageSize, c.Pool, c.Heads = e.Width, e.Stem == "small", e.ImageSize, e.Pool, e.Heads
	c.Blank = tensors != nil // they are the weights
	for _, t := range tensors {
		switch {
		case t.Name == "encoder.pos_embedding" && len(t.Shape) == 3:
			c.ImageSize = backbone.SizeOf(e.Backbone, t.Shape[1])
		case strings.HasSuffix(t.Name, ".ls_1.gamma"):
			c.LayerScale = 1 // the file has the values
		}
	}
	return c
}

// LoadEncoder builds the backbone that info describes, in channels_last order as recipes
// default to, and fills it from path: an encoder's file, a checkpoint (the student is taken),
// torchvision's weights as safetensors, whose classifier is left out, or another project's
// checkpoint. Errors wrap ErrMismatch where the weights are another network's, and name the
// keys or shapes of both sides.
func LoadEncoder(path string, info EncoderInfo, dev torch.Device) (backbone.Backbone, error) {
	return loadBackbone(path, info, backbone.Config{Device: dev, ChannelsLast: true, Fused: true})
}

// loadBackbone is LoadEncoder with the rest of the configuration left to the caller.
func loadBackbone(path string, info EncoderInfo, c backbone.Config) (backbone.Backbone, error) {
	tensors, err := ReadWeights(path, Selection{})
	if err != nil {
		return nil, err
	}
	b, err := backbone.New(info.Backbone, info.shape(c, tensors))
	if err != nil {
		return nil, err
	}
	err = torch.Do(func() error {
		state, err := deviceTensors(tensors)
		if err != nil {
			return err
		}
		return nn.LoadStateDict(b, state, true)
	})
	if err != nil {
		nn.Free(b)
		return nil, errs.New("load encoder", path, fmt.Sprintf("the weights are not of %s, width %d, stem %s: name another with --backbone, --width, --stem",
			info.Backbone, info.Width, info.Stem), errs.Unhinted(err))
	}
	return b, nil
}
