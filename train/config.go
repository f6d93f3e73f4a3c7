package train

import (
	"fmt"
	"slices"
	"strings"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// Config is what a learner is built from: a resolved recipe's (LearnerConfig). It has no
// defaults. The recipe is the only place where a hyper-parameter lives; a number that is
// not set is refused by Validate.
type Config struct {
	Backbone  string // see backbone.Names
	Width     int    // 64 is the published network; others scale its channels
	SmallStem bool   // no halving before the second stage, for images of 32–64 pixels

	StochasticDepth float64 // of the student, where the network has it; 0 is none

	// Of Vision Transformers, and LayerScale of ConvNeXt: see backbone.Config.
	ImageSize  int
	Pool       string
	Heads      int
	LayerScale float64

	Start  Start    // of the encoders; the zero value is the seed's weights
	Freeze []string // which parts of the backbone stay as they start: see newFrozen

	Objective string            // see objective.Names
	Options   objective.Options // of the objective: temperatures, sizes of the heads
	Crops     int               // ReSSL's student views; 0 means all of the batch's
	QueueSize int               // K
	Samples   int64             // N of the data set, for an objective that is keyed by sample
	Frozen    Frozen            // the teacher of an objective that takes a trained one

	Optimizer optim.Options

	Mean, Std [3]float64 // of pixels in 0–1, red green blue

	// Group is the processes that train together; nil is this process alone. Views are of
	// this rank's rows, and all other numbers of samples are of the whole batch. The
	// caller owns it.
	Group *torch.Group
	// LocalNorm takes batch norm's statistics by rank where Groups is 1, as Groups = W
	// does in one process.
	LocalNorm bool

	// Groups is in how many groups of a micro-batch batch norm takes its statistics; with
	// more than one the teacher's samples are shuffled between groups, by Seed and
	// Hyper.Step ("shuffle BN").
	Groups     int
	Accumulate int  // micro-batches a step
	Recompute  bool // keep only what goes in between stages, compute the rest again in backward
	// Graph lets StepAsync capture the step as a CUDA graph and replay it, where that is
	// possible (Learner.Ungraphed). On the CPU a replay runs the step again.
	Graph bool

	Seed         uint64 // of initial weights and queue
	Device       torch.Device
	ChannelsLast bool // NHWC memory order
	Fused        bool // the shim's own loops and kernels where they are faster than libtorch's (nn.Builder)
	BF16         bool // bfloat16 autocast of both networks; losses and weights stay fp32
	Double       bool // float64 throughout, to check numerics against

	frozen frozen // what Freeze names, where a learner is built
}

// options are the objective's, with the sizes that it shares with the learner.
func (c Config) options() objective.Options {
	c.Options.K, c.Options.Samples = c.QueueSize, int(c.Samples)
	return c.Options
}

// dtype is that of weights, embeddings and queue.
func (c Config) dtype() torch.DType {
	if c.Double {
		return torch.Float64
	}
	return torch.Float32
}

// backbone is what F is built from, but for its batch norm's ranks and groups.
func (c Config) backbone() backbone.Config {
	return backbone.Config{
		Width: c.Width, SmallStem: c.SmallStem, Seed: c.Seed, Device: c.Device, StochasticDepth: c.StochasticDepth,
		ImageSize: c.ImageSize, Pool: c.Pool, Heads: c.Heads, LayerScale: c.LayerScale, Frozen: c.frozen.predicate(),
		ChannelsLast: c.ChannelsLast, Fused: c.Fused, Double: c.Double,
	}
}

// LearnerConfig is the recipe's network, objective and optimiser.
func LearnerConfig(r *recipe.Recipe) (Config, error) {
	dev, err := torch.ParseDevice(r.Device)
	if err != nil {
		return Config{}, err
	}
	c := Config{
		Backbone: r.Backbone, Width: r.Width, SmallStem: r.Stem == "small", StochasticDepth: r.StochasticDepth,
		ImageSize: r.ImageSize, Pool: r.Pool, Heads: r.Heads, LayerScale: r.LayerScale,
		Start: Start{r.Init, r.InitSHA256}, Freeze: r.Freeze,
		Objective: r.Objective, Crops: r.Crops, QueueSize: r.K,
		Options:    r.ObjectiveOptions(),
		Frozen:     Frozen{File: r.Teacher, Backbone: r.TeacherBackbone, Width: r.TeacherWidth, Stem: r.TeacherStem},
		Accumulate: r.Accumulate, Groups: r.BNGroups, LocalNorm: !r.SyncBN, Recompute: r.ActivationCheckpointing,
		Graph: r.CUDAGraph == "true" || r.CUDAGraph == "auto" && dev.Type == torch.DeviceCUDA, BF16: r.Precision == "bf16",
		Optimizer: optim.Options{
			Kind: r.Optimizer, Momentum: r.Momentum, Nesterov: r.Nesterov, WeightDecay: r.WeightDecay, DecayMatricesOnly: r.DecayMatricesOnly,
			Beta1: r.Beta1, Beta2: r.Beta2, Eps: r.AdamEps, LayerDecay: r.LayerDecay, Clip: r.ClipGrad,
		},
		Device: dev, ChannelsLast: r.ChannelsLast, Fused: r.Fused, Seed: r.Seed,
	}
	copy(c.Mean[:], r.Mean)
	copy(c.Std[:], r.Std)
	return c, nil
}

// Check reports whether this machine can train the recipe at all: network, sizes,
// optimiser, and the device where libtorch is open. Errors wrap ErrUsage, or
// ErrUnavailable for a device that is not there.
func Check(r *recipe.Recipe) error {
	cfg, err := LearnerConfig(r)
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	if len(cfg.Freeze) > 0 && torch.Available() == nil { // names are those of a network that is built
		if _, err := newFrozen(cfg); err != nil {
			return err
		}
	}
	return present(cfg.Device)
}

// CheckSizes reports whether the recipe's network can take views of these sizes.
func CheckSizes(r *recipe.Recipe, views []schemas.ViewSpec) error {
	for _, v := range views {
		if err := backbone.CheckSize(r.Backbone, v.Size); err != nil {
			return err
		}
	}
	return nil
}

// present reports whether the device is there, where libtorch is open.
func present(dev torch.Device) error {
	if dev.Type != torch.DeviceCUDA || torch.Available() != nil {
		return nil //nolint:nilerr // whoever needs libtorch says that it is missing
	}
	info, err := torch.Info()
	if err != nil {
		return err
	}
	if dev.Index >= len(info.CUDA) {
		return errs.New("use device", dev.String(), "set device=cpu, or see `resslt doctor` for what a GPU needs",
			errs.Because(errs.ErrUnavailable, fmt.Sprintf("libtorch %s here sees %d GPUs", info.TorchVersion, len(info.CUDA))))
	}
	return nil
}

// maxSize bounds sizes that a recipe may ask for, so that a mistyped number is an error and
// not an allocation of terabytes.
const maxSize = 1 << 22

// Validate returns an error wrapping errs.ErrUsage that names the field. The
// relation of τ_t to τ_s is not judged: Table 2 sweeps it.
func (c Config) Validate() error {
	bad := func(field string, v any, hint string) error {
		return errs.New("learner option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	sizes := []struct {
		name string
		v    int
	}{{"projector hidden", c.Options.ProjHidden}, {"predictor hidden", c.Options.PredHidden}, {"embedding", c.Options.Dim}, {"queue", c.QueueSize}, {"prototypes", c.Options.Prototypes}, {"Sinkhorn iterations", c.Options.Iterations}, {"accumulate", c.Accumulate}, {"batch norm groups", c.Groups}}
	for _, s := range sizes {
		if s.v < 1 || s.v > maxSize {
			return bad(s.name, s.v, fmt.Sprintf("give 1 to %d", maxSize))
		}
	}
	taus := []struct {
		name string
		v    float64
	}{{"τ_s", c.Options.TauS}, {"τ_t", c.Options.TauT}, {"InfoNCE's τ", c.Options.Tau}, {"τ_t before its ramp", c.Options.TauTStart}, {"Sinkhorn's ε", c.Options.Epsilon}, {"AdCo's τ of its negatives", c.Options.AdversaryTau}}
	for _, t := range taus {
		if !(t.v > 0 && t.v <= 10) {
			return bad(t.name, t.v, "give a temperature above 0, at most 10")
		}
	}
	if c.Width < 1 || c.Width > backbone.MaxWidth {
		return bad("width", c.Width, fmt.Sprintf("give 1 to %d", backbone.MaxWidth))
	}
	if !slices.Contains(backbone.Names(), c.Backbone) {
		return bad("backbone", c.Backbone, bounded.Suggest(c.Backbone, backbone.Names())+"use one of "+strings.Join(backbone.Names(), ", "))
	}
	if !(c.StochasticDepth >= 0 && c.StochasticDepth < 1) {
		return bad("stochastic depth", c.StochasticDepth, "give 0 ≤ stochastic depth < 1")
	}
	if err := c.backbone().Validate(c.Backbone); err != nil {
		return err
	}
	if c.Crops < 0 {
		return bad("crops", c.Crops, "give 0 for all student views, or their number")
	}
	o, err := objective.New(c.Objective, c.options())
	if err != nil {
		return err
	}
	if o.Parts().Frozen && c.Frozen.File == "" {
		return bad("teacher", "empty", "name the trained encoder's file, teacher=FILE")
	}
	if o.Parts().Labels && (c.Options.Classes < 2 || c.Options.Classes > maxSize || !(c.Options.LabelFraction > 0 && c.Options.LabelFraction <= 1)) {
		return bad("labels", fmt.Sprintf("%d classes of a share %g of the samples", c.Options.Classes, c.Options.LabelFraction), "give two or more classes, and a share above 0, at most 1")
	}
	for _, s := range c.Std {
		if !(s > 0) {
			return bad("std", c.Std, "give three positive numbers, of pixels in 0–1")
		}
	}
	if c.Double && c.BF16 {
		return bad("precision", "both float64 and bfloat16", "choose one")
	}
	if _, err := c.norms(); err != nil {
		return err
	}
	return c.Optimizer.Validate()
}
