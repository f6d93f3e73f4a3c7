package train

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/torch"
)

// Encoder is one of the two networks: p = q(g(F(x))) for the student, z = g(F(x))
// for the teacher, whose Predictor is nil, as is that of a student whose objective
// has none.
type Encoder struct {
	Backbone  backbone.Backbone // F
	Projector nn.Module         // g
	Predictor nn.Module         // q, or nil
}

// newEncoder builds an encoder whose weights depend on the configuration and the
// seed alone, so that a student and a teacher of one configuration are equal. The
// student alone has a predictor and drops blocks: a teacher that drops them would
// give a noisier target, which is what the weak view is there to spare it
// (section 3.2; the paper is silent, and DINO's teacher drops none either).
func newEncoder(c Config, p objective.Parts, n norms, student bool) (*Encoder, error) {
	bc := backbone.Config{
		Width: c.Width, SmallStem: c.SmallStem, Seed: c.Seed, Device: c.Device,
		ChannelsLast: c.ChannelsLast, Fused: c.Fused, Double: c.Double, BatchNormGroups: n.groups,
		SyncBatchNorm: n.together, Ranks: c.Group,
	}
	if student {
		bc.StochasticDepth = c.StochasticDepth
	}
	f, err := backbone.New(c.Backbone, bc)
	if err != nil {
		return nil, err
	}
	e := &Encoder{Backbone: f}
	err = torch.Do(func() error {
		b := nn.Builder{Seed: c.Seed, Device: c.Device, Double: c.Double, BatchNormGroups: n.groups, SyncBatchNorm: n.together, Ranks: c.Group}
		e.Projector = newHead(b.At("projector"), f.FeatureDim(), p.Project)
		if student && p.Predict != nil {
			e.Predictor = newHead(b.At("predictor"), int64(p.Project.Out), *p.Predict)
		}
		return nil
	})
	if err != nil {
		nn.Free(f)
		return nil, err
	}
	return e, nil
}

// newHead builds a head (N,in) → (N,h.Out), layers named by their place as in
// PyTorch's Sequential.
func newHead(b nn.Builder, in int64, h objective.Head) *nn.Sequential {
	s := &nn.Sequential{}
	here := func() nn.Builder { return b.At(strconv.Itoa(len(s.Children))) }
	add := func(m nn.Module) { s.Children = append(s.Children, m) }
	for _, units := range h.Hidden {
		add(nn.NewLinear(here(), in, int64(units)))
		if h.BatchNorm {
			add(nn.NewBatchNorm(here(), int64(units)))
		}
		add(nn.ReLU{})
		in = int64(units)
	}
	add(nn.NewLinear(here(), in, int64(h.Out)))
	if h.NormOut {
		add(nn.NewBatchNormWith(here(), int64(h.Out), nn.NormOptions{NoAffine: h.PlainOut}))
	}
	return s
}

// Forward maps normalised images (N,3,S,S) to embeddings (N,D), not yet of unit
// length.
func (e *Encoder) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		_, p := e.Heads(e.Backbone.Forward(x))
		return p
	})
}

// Heads maps features (N,FeatureDim) to embeddings (N,D) of projector and
// predictor, not yet of unit length; p is z where there is no predictor.
func (e *Encoder) Heads(h *torch.Tensor) (z, p *torch.Tensor) {
	z = e.Projector.Forward(h)
	if e.Predictor == nil {
		return z, z
	}
	return z, e.Predictor.Forward(z)
}

// Visit names backbone, projector and predictor.
func (e *Encoder) Visit(prefix string, f func(nn.Entry)) {
	e.Backbone.Visit(prefix+"backbone.", f)
	e.Projector.Visit(prefix+"projector.", f)
	if e.Predictor != nil {
		e.Predictor.Visit(prefix+"predictor.", f)
	}
}

// SetTraining switches every batch norm.
func (e *Encoder) SetTraining(on bool) {
	e.Backbone.SetTraining(on)
	e.Projector.SetTraining(on)
	if e.Predictor != nil {
		e.Predictor.SetTraining(on)
	}
}

// Config is what a learner is built from. Zero values mean the defaults, which
// are the paper's for ImageNet (section 5) but for the backbone.
type Config struct {
	Backbone  string // default "resnet18"; see backbone.Names
	Width     int    // 64, the default, is the published network; others scale its channels
	SmallStem bool   // no halving before the second stage, for images of 32–64 pixels

	// StochasticDepth is EfficientNet's, of the student; default none.
	StochasticDepth float64

	Objective   string // default "ressl"; see objective.Names
	Crops       int    // ReSSL's student views; 0 means all of the batch's
	ProjHidden  int    // hidden units of g; default 4096
	PredHidden  int    // hidden units of q; default 4096
	EmbedDim    int    // D, length of an embedding; default 256
	NoPredictor bool   // ReSSL*, the first paper's: the student has no q
	NoHeadNorm  bool   // no batch norm in ReSSL's heads, as in the first paper's

	QueueSize int     // K; default 65536
	TauS      float64 // τ_s; default 0.1
	TauT      float64 // τ_t, below τ_s; default 0.03
	TauNCE    float64 // τ of equation 1; default τ_s

	Optimizer optim.Options

	Mean, Std [3]float64 // of pixels in 0–1, red green blue; default ImageNet's

	// Group is those that train together; nil, the default, is this process alone.
	// Views are of this rank's rows, and all numbers of samples else are of the whole
	// batch. The caller owns it.
	Group *torch.Group
	// LocalNorm takes batch norm's statistics by rank where Groups is 1, as Groups = W
	// does in one process.
	LocalNorm bool

	// Groups is in how many groups of a micro-batch batch norm takes its statistics;
	// with more than one the teacher's samples are shuffled between groups, by Seed
	// and Hyper.Step ("shuffle BN"). Default 1.
	Groups     int
	Accumulate int  // micro-batches a step; default 1
	Recompute  bool // keep only what goes in between stages, compute the rest again in backward
	// Graph lets Launch capture the step as a CUDA graph and replay it, where nothing
	// speaks against it (Learner.Ungraphed). On the CPU a replay runs the step again.
	Graph bool

	Seed         uint64 // of initial weights and queue
	Device       torch.Device
	ChannelsLast bool // NHWC memory order
	Fused        bool // the shim's own loops where they are faster than libtorch's (nn.Builder)
	BF16         bool // bfloat16 autocast of both networks; losses and weights stay fp32
	Double       bool // float64 throughout, to check numerics against
}

// dtype is that of weights, embeddings and queue.
func (c Config) dtype() torch.DType {
	if c.Double {
		return torch.Float64
	}
	return torch.Float32
}

func (c Config) applyDefaults() Config {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if c.Backbone == "" {
		c.Backbone = "resnet18"
	}
	def(&c.Width, 64)
	def(&c.ProjHidden, 4096)
	def(&c.PredHidden, 4096)
	def(&c.EmbedDim, 256)
	def(&c.QueueSize, 65536)
	if c.Objective == "" {
		c.Objective = "ressl"
	}
	def(&c.Accumulate, 1)
	def(&c.Groups, 1)
	if c.TauS == 0 {
		c.TauS = 0.1
	}
	if c.TauT == 0 {
		c.TauT = 0.03
	}
	if c.TauNCE == 0 {
		c.TauNCE = c.TauS
	}
	return c
}

// objective is the configuration's, with its sizes and temperatures.
func (c Config) objective() (objective.Objective, error) {
	return objective.New(c.Objective, objective.Options{
		TauS: c.TauS, TauT: c.TauT, Tau: c.TauNCE,
		ProjHidden: c.ProjHidden, PredHidden: c.PredHidden, Dim: c.EmbedDim,
		NoPredictor: c.NoPredictor, NoHeadNorm: c.NoHeadNorm,
	})
}

// maxSize bounds sizes that a recipe may ask for, so that a slip of the pen is an
// error and not an allocation of terabytes.
const maxSize = 1 << 22

// Validate returns an error wrapping errs.ErrUsage that names the field. The
// relation of τ_t to τ_s is not judged: Table 2 sweeps it.
func (c Config) Validate() error {
	c = c.applyDefaults()
	bad := func(field string, v any, hint string) error {
		return errs.New("learner option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	sizes := []struct {
		name string
		v    int
	}{{"projector hidden", c.ProjHidden}, {"predictor hidden", c.PredHidden}, {"embedding", c.EmbedDim}, {"queue", c.QueueSize}, {"accumulate", c.Accumulate}, {"batch norm groups", c.Groups}}
	for _, s := range sizes {
		if s.v < 1 || s.v > maxSize {
			return bad(s.name, s.v, fmt.Sprintf("give 1 to %d", maxSize))
		}
	}
	taus := []struct {
		name string
		v    float64
	}{{"τ_s", c.TauS}, {"τ_t", c.TauT}, {"InfoNCE's τ", c.TauNCE}}
	for _, t := range taus {
		if !(t.v > 0 && t.v <= 10) {
			return bad(t.name, t.v, "give a temperature above 0, at most 10")
		}
	}
	if c.Width < 0 || c.Width > backbone.MaxWidth { // 0 is the backbone's default
		return bad("width", c.Width, fmt.Sprintf("give 1 to %d", backbone.MaxWidth))
	}
	if !slices.Contains(backbone.Names(), c.Backbone) {
		return bad("backbone", c.Backbone, "use one of "+strings.Join(backbone.Names(), ", "))
	}
	if !(c.StochasticDepth >= 0 && c.StochasticDepth < 1) {
		return bad("stochastic depth", c.StochasticDepth, "give 0 ≤ stochastic depth < 1")
	}
	if c.Crops < 0 {
		return bad("crops", c.Crops, "give 0 for all student views, or their number")
	}
	if _, err := c.objective(); err != nil {
		return err
	}
	if c.Double && c.BF16 {
		return bad("precision", "both float64 and bfloat16", "choose one")
	}
	if _, err := c.norms(); err != nil {
		return err
	}
	return c.Optimizer.Validate()
}
