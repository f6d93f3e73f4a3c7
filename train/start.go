package train

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/foreign"
	"resslt/train/nn"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// Start is the file of an encoder that both networks start from. Heads and whatever else is no
// part of an encoder start from the seed. The zero value is the seed's weights throughout.
type Start struct {
	File   string // as ReadWeights takes it
	SHA256 string // of the file, in hex; "" is any
}

// startFile is the file whose bytes are the weights: of a checkpoint its tensors.
func startFile(path string) string {
	if c, ok := strings.CutSuffix(path, ".json"); ok {
		return c + ".safetensors"
	}
	return path
}

// StartDigest is the SHA-256 of the file that encoders start from, in hex.
func StartDigest(path string) (string, error) {
	sum, err := fileDigest("start from", startFile(path))
	return hex.EncodeToString(sum), err
}

// digest is the file's, ErrMismatch where it is another than it was.
func (s Start) digest() (string, error) {
	sum, err := StartDigest(s.File)
	if err != nil || s.SHA256 == "" || sum == s.SHA256 {
		return sum, err
	}
	return "", errs.New("start from", s.File, "name the file that it was, or leave init_sha256 out to start from this one",
		errs.Because(errs.ErrMismatch, fmt.Sprintf("its digest is %.12s, the recipe's init_sha256 %.12s", sum, s.SHA256)))
}

// CheckStart checks the file that the recipe's encoders start from, for images of size pixels:
// that it is the file of the recipe's digest, and that every weight has its place. It keeps the
// digest in the recipe, and says what was found.
func CheckStart(r *recipe.Recipe, size int) (found string, err error) {
	digest, err := Start{r.Init, r.InitSHA256}.digest()
	if err != nil {
		return "", err
	}
	c, err := LearnerConfig(r)
	if err != nil {
		return "", err
	}
	c.ImageSize, r.InitSHA256 = size, digest
	bc := c.backbone()
	bc.Blank, bc.Device, bc.StochasticDepth = true, torch.CPU, 0
	b, err := backbone.New(c.Backbone, bc)
	if err != nil {
		return "", err
	}
	defer nn.Free(b)
	return c.startFrom(b)
}

// CheckStartFile reports whether the recipe's encoders can still start from its file: ErrMismatch
// or ErrNotFound where they cannot.
func CheckStartFile(r *recipe.Recipe) error {
	if r.Init == "" {
		return nil
	}
	_, err := Start{r.Init, r.InitSHA256}.digest()
	return err
}

// startFrom fills backbones with the weights of the configuration's file, and says what was found.
// Errors wrap ErrMismatch where a weight is missing, unknown or of another shape, and name it.
func (c Config) startFrom(networks ...backbone.Backbone) (found string, err error) {
	if _, err := c.Start.digest(); err != nil {
		return "", err
	}
	e, err := ReadEncoder(c.Start.File, Selection{})
	if err != nil {
		return "", err
	}
	if err := c.fits(e); err != nil {
		return "", err
	}
	found = describe(c.Start.File, e)
	err = torch.Do(func() error {
		state, err := deviceTensors(e.Tensors)
		if err != nil {
			return err
		}
		for _, b := range networks {
			into := slices.DeleteFunc(nn.StateDict(b), func(n nn.Named) bool { return backbone.TrainingOnly(n.Name) })
			if note := resizeFor(into, state); note != "" {
				found += note
			}
			if err := nn.LoadNamed(into, state, true); err != nil {
				return errs.New("start from", c.Start.File, c.otherNetwork(e.Guess), errs.Unhinted(err))
			}
		}
		return nil
	})
	return found, err
}

// fits refuses what the shapes of the weights do not show.
func (c Config) fits(e foreign.Encoder) error {
	if len(e.Unknown) > 0 {
		return errs.New("start from", c.Start.File, "write its encoder with `resslt convert`, and start from that",
			errs.Because(errs.ErrMismatch, "it has tensors that are of no encoder and no head that is known: "+foreign.Summary(e.Unknown)))
	}
	info, known, err := EncoderMeta(c.Start.File)
	if err != nil {
		return err
	}
	published := backbone.HeadsOf(c.Backbone)
	if published == 0 {
		return nil
	}
	if heads := cmp.Or(info.Heads, e.Guess.Heads, published); (known || e.Guess.Heads > 0) && heads != cmp.Or(c.Heads, published) {
		return errs.New("start from", c.Start.File, fmt.Sprintf("set heads=%d", heads),
			errs.Because(errs.ErrMismatch, fmt.Sprintf("its attention has %d heads, the recipe's network %d", heads, cmp.Or(c.Heads, published))))
	}
	return nil
}

// otherNetwork is the hint for weights of another network than the recipe's.
func (c Config) otherNetwork(g foreign.Guess) string {
	own := fmt.Sprintf("the recipe's network is %s, width %d, layer_scale %g", c.Backbone, c.Width, c.LayerScale)
	if g.Backbone == "" {
		return own
	}
	is := "set backbone=" + g.Backbone
	if g.Width > 0 {
		is += fmt.Sprintf(" width=%d", g.Width)
	}
	if g.ShowsStem() {
		is += " stem=" + g.Stem
	}
	if is == fmt.Sprintf("set backbone=%s width=%d", c.Backbone, c.Width) {
		return own
	}
	return is + "; " + own
}

// positionsKey names a Vision Transformer's positions.
const positionsKey = "encoder.pos_embedding"

// resizeFor resizes the positions in state to those of a network's, whose image has another size.
// The result belongs to the current scope.
func resizeFor(into []nn.Named, state map[string]*torch.Tensor) (note string) {
	x := state[positionsKey]
	at := slices.IndexFunc(into, func(n nn.Named) bool { return n.Name == positionsKey })
	if x == nil || at < 0 || x.Dim() != 3 || x.Size(1) == into[at].Tensor.Size(1) {
		return ""
	}
	from, to := backbone.SideOf(x.Size(1)), backbone.SideOf(into[at].Tensor.Size(1))
	if from*from+1 != x.Size(1) {
		return "" // no square: LoadNamed names the shapes
	}
	torch.NoGrad(func() { state[positionsKey] = backbone.ResizePositions(x, to) })
	return fmt.Sprintf("; its positions are resized from %d×%d to %d×%d patches", from, from, to, to)
}

// describe says what was found in a file.
func describe(path string, e foreign.Encoder) string {
	text := fmt.Sprintf("starting from %s: %d tensors", path, len(e.Tensors))
	if e.Guess.Backbone != "" {
		text += " of " + e.Guess.Backbone
	}
	if e.Prefix != "" {
		text += fmt.Sprintf(" below %q", e.Prefix)
	}
	if len(e.Dropped) > 0 {
		text += "; left out: " + foreign.Summary(e.Dropped)
	}
	return text
}
