package foreign

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/pth"
	"resslt/train/safetensors"
)

// Want says which encoder is wanted where a checkpoint has several.
type Want struct {
	Prefix string // its keys begin with this; "" finds it
	Role   Role   // "" prefers a student
}

// Encoder is what Read gives.
type Encoder struct {
	Prefix  string
	Tensors []safetensors.Tensor // under torchvision's keys, float32 but for num_batches_tracked
	Guess   Guess
	// Dropped are the tensors below the prefix that are no part of an encoder: heads, decoders,
	// queues, other networks. Unknown are those of which that is not known.
	Dropped, Unknown []string
}

// Guess is what the shapes say of a network.
type Guess struct {
	Backbone string // "" where they fit none of ours
	Width    int    // 64 is the published network; 0 where the shapes do not say
	Stem     string // "small" or "imagenet"; a ResNet's and a ConvNeXt's alone show in their shapes
	Heads    int    // of a transformer, where the checkpoint's project has others than published; else 0
}

// ShowsStem reports whether the shapes of such a network show its stem: a ResNet's and a
// ConvNeXt's do.
func (g Guess) ShowsStem() bool {
	return strings.Contains(g.Backbone, "resnet") || strings.HasPrefix(g.Backbone, "convnext")
}

// Whole reports whether the shapes say all of the network: a published width, and the stem where
// there are two.
func (g Guess) Whole() bool {
	return g.Backbone != "" && g.Width > 0 && (g.ShowsStem() || strings.HasPrefix(g.Backbone, "vit_"))
}

// weights is a file of tensors.
type weights interface {
	Names() []string
	Read(keep func(name string) bool) ([]safetensors.Tensor, error)
	Close() error
}

func unsupported(format string, a ...any) error {
	return errs.Because(errs.ErrUnsupported, fmt.Sprintf(format, a...))
}

// Is reports whether a safetensors file with tensors of these names has its encoder elsewhere
// than at the root, or under other keys than torchvision's.
func Is(names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return ours.MatchString(n) }) &&
		len(find(names)) > 0 || slices.Contains(names, "conv_stem.weight")
}

// Read reads an encoder from a checkpoint that PyTorch saved, or from a safetensors file. It
// runs nothing of the checkpoint's, and needs no libtorch. Errors wrap ErrUnsupported where
// there is no encoder that is known, ErrUsage where there are several, ErrNotFound where none
// is as wanted, and those of packages pth and safetensors.
func Read(path string, want Want) (*Encoder, error) {
	var (
		f   weights
		err error
	)
	if pth.Is(path) {
		f, err = pth.Open(path)
	} else {
		f, err = safetensors.Open(path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := pick(f, want)
	if err != nil {
		return nil, errs.New("read encoder of", path, "docs/weights.md has the layouts that are known", err)
	}
	keys := c.keys(f.Names())
	if n := c.altering(f.Names(), keys); n != "" {
		return nil, errs.New("read encoder of", path, "docs/weights.md has the layouts that are known",
			unsupported("a network with %.80q, which this build's have not: its features would be others", n))
	}
	e := &Encoder{Prefix: c.prefix}
	if e.Tensors, err = f.Read(func(n string) bool { return keys[n] != "" }); err != nil {
		return nil, err
	}
	for i := range e.Tensors {
		t := &e.Tensors[i]
		t.Name = keys[t.Name]
		asMap(t)
		if err := widen(t); err != nil {
			return nil, errs.New("read encoder of", path, "convert it in Python: state[name].float()", err)
		}
	}
	e.Guess = GuessOf(e.Tensors)
	if mocoV3.MatchString(c.prefix) && strings.HasPrefix(e.Guess.Backbone, "vit_small") {
		e.Guess.Heads = mocoV3Heads
	}
	e.Dropped, e.Unknown = c.rest(f.Names(), keys)
	return e, nil
}

// mocoV3 matches the prefixes of MoCo v3's networks. Its ViT-S has 12 heads of 32 channels (vits.py),
// and not the usual 6 of 64, which the shapes do not show.
var mocoV3 = regexp.MustCompile(`(^|\.)(base|momentum)_encoder\.$`)

const mocoV3Heads = 12

// pick finds the one encoder that is wanted.
func pick(f weights, want Want) (candidate, error) {
	names := f.Names()
	all := find(names)
	switch {
	case len(names) == 0:
		return candidate{}, errs.New("", "", "save a state_dict(): it holds no tensors", unsupported("a checkpoint without tensors"))
	case len(all) == 0 && withoutReLU(names):
		return candidate{}, unsupported("Lightly's own small ResNet has no ReLU after its stem: its features are not a ResNet's")
	case len(all) == 0:
		return candidate{}, unsupported("no ResNet, EfficientNet, MobileNetV3, ConvNeXt or Vision Transformer among its %d tensors, whose keys begin with %s", len(names), summary(names))
	}
	if want.Prefix != "" {
		for _, c := range all {
			if c.prefix == want.Prefix || c.prefix == want.Prefix+"." {
				return c, nil
			}
		}
		return candidate{}, errs.New("", "", "give --prefix, one of "+prefixes(all), errs.Because(errs.ErrNotFound, fmt.Sprintf("no encoder below %.60q", want.Prefix)))
	}
	fit := choose(all, want.Role)
	if len(fit) == 0 {
		return candidate{}, errs.New("", "", "leave --key out, or give another", errs.Because(errs.ErrNotFound,
			fmt.Sprintf("no %s; its encoders are below %s", want.Role, prefixes(all))))
	}
	same, err := copies(f, names, fit)
	if err != nil {
		return candidate{}, err
	}
	if !same {
		return candidate{}, errs.New("", "", "give --prefix, one of "+prefixes(fit), errs.Because(errs.ErrUsage, "it has several encoders"))
	}
	return fit[0], nil
}

// withoutReLU recognises Lightly's ResNetGenerator, cut into a Sequential.
func withoutReLU(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		p, ok := strings.CutSuffix(n, "2.0.conv1.weight")
		return ok && slices.Contains(names, p+"0.weight")
	})
}

// copies reports whether the encoders are one and the same, such as a whole model and its
// state dict in one file.
func copies(f weights, names []string, cs []candidate) (bool, error) {
	if len(cs) == 1 {
		return true, nil
	}
	var first map[string]safetensors.Tensor
	for i, c := range cs {
		keys := c.keys(names)
		tensors, err := f.Read(func(n string) bool { return keys[n] != "" })
		if err != nil {
			return false, err
		}
		mine := map[string]safetensors.Tensor{}
		for _, t := range tensors {
			mine[keys[t.Name]] = t
		}
		if i == 0 {
			first = mine
			continue
		}
		if len(mine) != len(first) {
			return false, nil
		}
		for k, t := range mine {
			if o, ok := first[k]; !ok || o.DType != t.DType || !slices.Equal(o.Shape, t.Shape) || !bytes.Equal(o.Data, t.Data) {
				return false, nil
			}
		}
	}
	return true, nil
}

// widen makes a tensor float32, and a counter of batches int64.
func widen(t *safetensors.Tensor) error {
	counts := strings.HasSuffix(t.Name, "num_batches_tracked")
	var (
		n    = t.DType.Size()
		from func([]byte) float64
		le   = binary.LittleEndian
	)
	switch t.DType {
	case safetensors.F32:
		from = func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) }
	case safetensors.F64:
		from = func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) }
	case safetensors.F16:
		from = func(b []byte) float64 { return half(le.Uint16(b)) }
	case safetensors.BF16:
		from = func(b []byte) float64 { return float64(math.Float32frombits(uint32(le.Uint16(b)) << 16)) }
	case safetensors.I64:
		from = func(b []byte) float64 { return float64(int64(le.Uint64(b))) }
	case safetensors.I32:
		from = func(b []byte) float64 { return float64(int32(le.Uint32(b))) }
	default:
		return unsupported("%.80q is of type %s", t.Name, t.DType)
	}
	if counts && t.DType == safetensors.I64 || !counts && t.DType == safetensors.F32 {
		return nil
	}
	to, kind := make([]byte, 0, int64(len(t.Data))/n*4), safetensors.F32
	if counts {
		kind = safetensors.I64
	}
	for at := int64(0); at < int64(len(t.Data)); at += n {
		v := from(t.Data[at:])
		if counts {
			to = le.AppendUint64(to, uint64(int64(v)))
		} else {
			to = le.AppendUint32(to, math.Float32bits(float32(v)))
		}
	}
	t.DType, t.Data = kind, to
	return nil
}

// half is an IEEE 754 number of 16 bits.
func half(h uint16) float64 {
	sign, exponent, fraction := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// wide reports whether a bottleneck has twice the usual channels inside.
func wide(shape map[string][]int64) bool {
	stem, inside := shape["conv1.weight"], shape["layer1.0.conv1.weight"]
	return len(stem) > 0 && len(inside) > 0 && inside[0] == 2*stem[0]
}

// GuessOf names the network of tensors under torchvision's keys by these and by their shapes.
func GuessOf(tensors []safetensors.Tensor) Guess {
	shape := map[string][]int64{}
	for _, t := range tensors {
		shape[t.Name] = t.Shape
	}
	g := Guess{Stem: "imagenet"}
	blocks := func(stage string) (n int) {
		for shape[fmt.Sprintf("%s.%d.conv1.weight", stage, n)] != nil {
			n++
		}
		return n
	}
	stem := func(key string, published int64) {
		s := shape[key]
		if len(s) != 4 {
			return
		}
		if s[0] == published {
			g.Width = 64
		}
		if key == "conv1.weight" { // a ResNet's channels are its width, the others' are rounded
			g.Width = int(s[0])
			if s[2] == 3 {
				g.Stem = "small"
			}
		}
	}
	switch {
	case shape["conv1.weight"] != nil:
		deep := [4]int{blocks("layer1"), blocks("layer2"), blocks("layer3"), blocks("layer4")}
		bottleneck := shape["layer1.0.conv3.weight"] != nil
		switch {
		case deep == [4]int{2, 2, 2, 2} && !bottleneck:
			g.Backbone = "resnet18"
		case deep == [4]int{3, 4, 6, 3} && !bottleneck:
			g.Backbone = "resnet34"
		case deep == [4]int{3, 4, 6, 3} && wide(shape):
			g.Backbone = "wide_resnet50_2"
		case deep == [4]int{3, 4, 6, 3}:
			g.Backbone = "resnet50"
		}
		stem("conv1.weight", 64)
	case shape["conv_proj.weight"] != nil:
		n := 0
		for shape[fmt.Sprintf("encoder.layers.encoder_layer_%d.ln_1.weight", n)] != nil {
			n++
		}
		return guessTransformer(shape, n)
	case shape["features.1.0."+layerScale] != nil:
		return guessConvNeXt(shape)
	case shape["features.16.0.weight"] != nil:
		g.Backbone = "mobilenet_v3_large"
		stem("features.0.0.weight", 16)
	case shape["features.8.0.weight"] != nil:
		g.Backbone = "efficientnet_b0"
		if shape["features.1.1.block.0.0.weight"] != nil { // B1's stages are deeper
			g.Backbone = "efficientnet_b1"
		}
		stem("features.0.0.weight", 32)
	}
	return g
}
