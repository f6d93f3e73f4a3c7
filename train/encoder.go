package train

import (
	"cmp"
	"encoding/json"
	"fmt"
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

	// What it was trained by; empty in files of earlier builds and for weights from elsewhere.
	Recipe    string `json:"recipe,omitempty"`
	Objective string `json:"objective,omitempty"`
	Epochs    int    `json:"epochs,omitempty"`
}

// InfoOf is the recipe's encoder; size is S of its views.
func InfoOf(r *recipe.Recipe, size int) EncoderInfo {
	e := EncoderInfo{Backbone: r.Backbone, Width: r.Width, Stem: r.Stem, ImageSize: size, Recipe: r.Name, Objective: r.Objective, Epochs: r.Epochs}
	copy(e.Mean[:], r.Mean)
	copy(e.Std[:], r.Std)
	return e
}

// SaveEncoder writes a backbone's weights under torchvision's keys.
func SaveEncoder(path string, b backbone.Backbone, info EncoderInfo) error {
	tensors, err := HostTensors(nn.StateDict(b))
	if err != nil {
		return err
	}
	return writeEncoder(path, tensors, info)
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
	if g.ShowsStem() {
		e.Stem = g.Stem
	}
	return e
}

// GuessEncoder is what the keys and shapes of an encoder say of its network: of a file that
// EncoderMeta has nothing of. Backbone is "" and Width 0 where they do not say.
func GuessEncoder(path string) (foreign.Guess, error) {
	tensors, err := ReadWeights(path, Selection{})
	return foreign.GuessOf(tensors), err
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
	c.Width, c.SmallStem = info.Width, info.Stem == "small"
	b, err := backbone.New(info.Backbone, c)
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
