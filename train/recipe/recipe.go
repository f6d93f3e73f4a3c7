package recipe

import (
	"slices"

	"resslt/train/nn"
)

// Recipe is a run's hyper-parameters. Every field is a key of the YAML file and of
// --set, named by its yaml tag. Default has the defaults that the comments state.
type Recipe struct {
	// The claim: free text, kept with the result.
	Name     string `yaml:"name"`
	Claim    string `yaml:"claim"`    // what a run shows
	Source   string `yaml:"source"`   // where the values come from
	Hardware string `yaml:"hardware"` // the hardware it is sized for
	Measured string `yaml:"measured"` // what was measured, with n and hardware, or "not run yet"

	// Data.
	Data       string `yaml:"data"`        // data URI: fashion-mnist:, cifar10:DIR, folder:DIR, …
	Split      string `yaml:"split"`       // split for pre-training; default "train"
	ProbeSplit string `yaml:"probe_split"` // labelled split to fit the probes on; default split
	EvalSplit  string `yaml:"eval_split"`  // split to score the probes on; default "test"
	Policy     string `yaml:"policy"`      // augmentation preset or a .yaml file; default "small"
	ImageSize  int    `yaml:"image_size"`  // S in pixels; 0: the policy's
	// Upscale allows views larger than the images of a data set whose images all have
	// one size; otherwise that is an error. Default false.
	Upscale bool   `yaml:"upscale"`
	Engine  string `yaml:"engine"` // renderer; default: the fastest of this build
	Order   string `yaml:"order"`  // order of the samples: global, or blocked:shards=8,window=16384
	// ChunkSamples is the number of samples in a worker's task; 0: as many as keep a
	// chunk near 2.4 MB, where a file store is fastest.
	ChunkSamples int    `yaml:"chunk_samples"`
	OnError      string `yaml:"on_error"` // a sample that cannot be decoded: "replace" (default) or "fail"
	// Mean and Std normalise the pixels: (x/255 − mean)/std, for R, G and B.
	// Default: ImageNet's, as for torchvision's models.
	Mean []float64 `yaml:"mean"`
	Std  []float64 `yaml:"std"`

	// Network (section 4, "Implementation Details").
	Objective string `yaml:"objective"` // "ressl" (default), or another of Objectives()
	Backbone  string `yaml:"backbone"`  // "resnet18", …
	Width     int    `yaml:"width"`     // 64 (default) is the published network; others scale its channels
	Stem      string `yaml:"stem"`      // "small" (3×3, no max-pool; default) or "imagenet"
	// StochasticDepth is the probability with which the student of an EfficientNet, a ConvNeXt
	// or a Vision Transformer drops its last block for a sample; 0.2 (default) is torchvision's
	// for EfficientNet. Other networks have none.
	StochasticDepth float64 `yaml:"stochastic_depth"`
	Pool            string  `yaml:"pool"`             // a Vision Transformer's feature: "token" (default), the class token's, or "mean" of the patches'
	Heads           int     `yaml:"heads"`            // a Vision Transformer's, which share its channels; 0 (default): the published number
	LayerScale      float64 `yaml:"layer_scale"`      // learnt scale of residual branches, as it starts; 0 (default): a Vision Transformer has none, ConvNeXt's is 1e-6
	ProjectorHidden int     `yaml:"projector_hidden"` // hidden units of g; default 4096
	ProjectorLayers int     `yaml:"projector_layers"` // of MoCo v3's g: 3 for its transformers; 0 (default): 2, as for its ResNets
	EmbeddingDim    int     `yaml:"embedding_dim"`    // D, units out of g and q; default 256
	Predictor       bool    `yaml:"predictor"`        // ReSSL's asymmetric head q; default true; false is ReSSL*. The other objectives follow their papers
	PredictorHidden int     `yaml:"predictor_hidden"` // hidden units of q; 0 (default): projector_hidden
	HeadBN          bool    `yaml:"head_bn"`          // ReSSL's heads have batch norm; default true; false is the first paper's
	// Init is the file of the encoder that student and teacher start from, "" (default): the
	// seed's weights. It is a file of resslt, torchvision's weights or another project's
	// checkpoint; heads start from the seed. A run that is resumed goes on from its checkpoint.
	// InitSHA256 is the file's digest: a run fills it in, and where it is set another file is
	// refused.
	Init       string `yaml:"init"`
	InitSHA256 string `yaml:"init_sha256"`
	// Freeze lists parts of the backbone that stay as they start, batch norm's statistics, too:
	// names of parameters or what they begin with, torchvision's or timm's, or patterns with *,
	// e.g. [stem, layer1], [blocks.0]; default: none.
	Freeze []string `yaml:"freeze"`

	// BNGroups splits the batch for batch norm: each group by its own statistics,
	// the teacher's samples shuffled between groups ("shuffle BN"). 1 is global BN.
	// 0 (default): as in section 4, 1 with predictor, and 8 for ReSSL* and MoCo v2,
	// or fewer if a group would have less than 8 samples.
	BNGroups int `yaml:"bn_groups"`

	// SyncBN makes batch norm use the statistics of the whole batch when several
	// processes train together and bn_groups is 1. If false, each process uses those of
	// its own rows, and the teacher's rows are shuffled over all processes. It has no
	// effect on a single process. Default true.
	SyncBN bool `yaml:"sync_bn"`

	// Method.
	TauS   float64 `yaml:"tau_s"`   // τ_s of equation 3; default 0.1
	TauT   float64 `yaml:"tau_t"`   // τ_t of equation 4; default 0.04
	TauNCE float64 `yaml:"tau_nce"` // τ of equation 1: ReSSL's warm-up, the loss of MoCo v2, SimCLR and NNCLR; default tau_s
	// FlatTarget allows tau_t ≥ tau_s, which is an error otherwise: Tables 1 and 2 sweep
	// tau_t up to 0.10 to show what a flat target costs.
	FlatTarget bool    `yaml:"flat_target"`
	Crops      int     `yaml:"crops"` // ReSSL's student views; 0 (default): all of the policy's
	K          int     `yaml:"K"`     // keys in the queue; default 4096
	M          float64 `yaml:"m"`     // momentum of equation 6; default 0.99
	MEnd       float64 `yaml:"m_end"` // the end of m's cosine schedule; 0 (default): m, constant
	// WarmupNCEEpochs is the number of epochs over which α of equation 7 goes
	// from 0 to 1; default 10, 0 switches the InfoNCE warm-up off.
	WarmupNCEEpochs float64 `yaml:"infonce_warmup_epochs"`
	// HoldEpochs is for how many epochs an objective's own parameters, DINO's last layer and
	// SwAV's prototypes, stay as they began; default 1. AdCo's negatives have their own optimiser.
	HoldEpochs float64 `yaml:"hold_epochs"`

	// Of single objectives.
	TauTStart          float64   `yaml:"tau_t_start"`         // DINO's τ_t at the beginning; 0 (default): tau_t
	TauTWarmupEpochs   float64   `yaml:"tau_t_warmup_epochs"` // over which it goes to tau_t; default 30
	CenterMomentum     float64   `yaml:"center_momentum"`     // of DINO's centre; default 0.9
	Prototypes         int       `yaml:"prototypes"`          // SwAV's and DINO's; default 3000, SwAV's; DINO's own is 65536
	SinkhornEpsilon    float64   `yaml:"sinkhorn_epsilon"`    // SwAV's ε; default 0.05
	SinkhornIterations int       `yaml:"sinkhorn_iterations"` // default 3
	SwAVQueueEpochs    float64   `yaml:"swav_queue_epochs"`   // epochs before SwAV's queues of K rows take part; default 15
	BarlowLambda       float64   `yaml:"barlow_lambda"`       // weight off the diagonal; default 0.005
	VICRegWeights      []float64 `yaml:"vicreg_weights"`      // of invariance, variance and covariance; default [25, 25, 1]
	WhitenRows         int       `yaml:"whiten_rows"`         // W-MSE: rows that are whitened together; 0 (default): the batch
	WhitenEpsilon      float64   `yaml:"whiten_epsilon"`      // W-MSE: the identity's weight in the covariance; default 0
	CLSABeta           float64   `yaml:"clsa_beta"`           // weight of CLSA's divergence; default 1
	UniGradLambda      float64   `yaml:"unigrad_lambda"`      // weight of UniGrad's correlation; default 100
	UniGradRho         float64   `yaml:"unigrad_rho"`         // momentum of UniGrad's correlation; default 0.99
	TripletRanks       []int     `yaml:"triplet_ranks"`       // truncated triplet: first and last rank of the nearest others that are negatives; default [2, 10]
	TripletGamma       float64   `yaml:"triplet_gamma"`       // truncated triplet: weight of the positive; default 2
	MoCHiHardest       int       `yaml:"mochi_hardest"`       // N: keys of the queue that MoCHi mixes; 0 (default): 1024, or K where that is less
	MoCHiMixed         int       `yaml:"mochi_mixed"`         // s: negatives mixed of two of them; default 512
	MoCHiHarder        int       `yaml:"mochi_harder"`        // s': negatives mixed of one and the query; default 256
	MoCHiWarmupEpochs  float64   `yaml:"mochi_warmup_epochs"` // epochs before any are mixed; default 15
	AdCoTau            float64   `yaml:"adco_tau"`            // temperature by which AdCo's negatives climb; default 0.02
	AdCoLR             float64   `yaml:"adco_lr"`             // their learning rate, for any batch; default 3
	AdCoWeightDecay    float64   `yaml:"adco_weight_decay"`   // their weight decay; default 1e-4
	FNCTop             int       `yaml:"fnc_top"`             // FNC: how many of the nearest others may be false negatives; default 10
	FNCThreshold       float64   `yaml:"fnc_threshold"`       // FNC: the cosine above which they are; default 0.7
	DisCoWeight        float64   `yaml:"disco_weight"`        // DisCo: weight of the distance to the teacher's embedding; default 32, its code's on 8 GPUs
	CPCSteps           []int     `yaml:"cpc_steps"`           // CPC v2: least and greatest k, rows ahead that it predicts; default [3, 3]
	CPCHidden          int       `yaml:"cpc_hidden"`          // CPC v2: channels within the blocks of its context networks; default 256
	CPCBlocks          int       `yaml:"cpc_blocks"`          // CPC v2: blocks of each; default 5
	Classes            int       `yaml:"classes"`             // of the labels that FixMatch, UDA and S4L learn; 0 (default): none are learned
	BINGOWarmupEpochs  float64   `yaml:"bingo_warmup_epochs"` // epochs in which an image's own key alone is its positive; default 11, its code's
	LabelFraction      float64   `yaml:"label_fraction"`      // of the samples whose label they may read, chosen by seed and sample; default 0.1
	FixMatchThreshold  float64   `yaml:"fixmatch_threshold"`  // τ, the probability above which a prediction is a target; default 0.95; on ImageNet the paper's is 0.7
	FixMatchWeight     float64   `yaml:"fixmatch_weight"`     // λ_u, of the loss without labels; default 1; on ImageNet the paper's is 10
	UDAThreshold       float64   `yaml:"uda_threshold"`       // β, likewise; default 0.8
	UDATemperature     float64   `yaml:"uda_temperature"`     // τ that sharpens its targets; default 0.4
	UDAWeight          float64   `yaml:"uda_weight"`          // λ; default 1; on ImageNet the paper's is 20
	S4LWeight          float64   `yaml:"s4l_weight"`          // w, of the rotations' loss; default 1, the paper's
	// Of objectives that keep a bank, a row for every sample of the data set.
	BankMomentum         float64 `yaml:"bank_momentum"`          // of NPID's and local aggregation's rows; default 0.5
	BankNegatives        int     `yaml:"bank_negatives"`         // drawn from the bank for each sample; default 4096; 0: all of it
	NPIDProximal         float64 `yaml:"npid_proximal"`          // λ of NPID's proximal regularization; default 0, as in its authors' code
	Clusters             []int   `yaml:"clusters"`               // of each clustering, PCL and local aggregation; default none: as many for as many samples as in the paper
	ClusterEvery         float64 `yaml:"cluster_every"`          // epochs from one clustering to the next; default 1
	PCLWarmupEpochs      float64 `yaml:"pcl_warmup_epochs"`      // epochs before PCL's prototypes take part; default 20
	LocalAggWarmupEpochs float64 `yaml:"localagg_warmup_epochs"` // epochs of NPID before local aggregation; default 10
	LocalAggNeighbours   int     `yaml:"localagg_neighbours"`    // local aggregation: nearest rows that are background; default 4096
	// Teacher is the file of the trained encoder that the student of SEED, CompRess and DisCo learns from: a file of
	// resslt, torchvision's weights or another project's checkpoint. TeacherBackbone,
	// TeacherWidth and TeacherStem are for a file that does not show them.
	Teacher         string `yaml:"teacher"`
	TeacherBackbone string `yaml:"teacher_backbone"`
	TeacherWidth    int    `yaml:"teacher_width"`
	TeacherStem     string `yaml:"teacher_stem"`

	// Optimiser.
	Optimizer   string  `yaml:"optimizer"`    // "sgd" (default), "lars" or "adamw"
	BaseLR      float64 `yaml:"base_lr"`      // learning rate for batch 256; lr = base_lr·B/256; default 0.06
	Momentum    float64 `yaml:"momentum"`     // default 0.9
	Nesterov    bool    `yaml:"nesterov"`     // default false
	WeightDecay float64 `yaml:"weight_decay"` // default 5e-4
	// WeightDecayEnd is the end of weight_decay's cosine schedule; 0 (default): weight_decay,
	// constant.
	WeightDecayEnd float64 `yaml:"weight_decay_end"`
	Beta1          float64 `yaml:"beta1"`       // of adamw; default 0.9
	Beta2          float64 `yaml:"beta2"`       // of adamw; default 0.999
	AdamEps        float64 `yaml:"adam_eps"`    // ε of adamw; default 1e-8
	LayerDecay     float64 `yaml:"layer_decay"` // factor of adamw's learning rate for each layer of the backbone above; default 1
	ClipGrad       float64 `yaml:"clip_grad"`   // the largest norm of all gradients together; 0 (default): any
	// DecayMatricesOnly excludes norms and biases from SGD's and AdamW's weight decay, as LARS
	// always does; default false.
	DecayMatricesOnly bool    `yaml:"decay_matrices_only"`
	LRWarmupEpochs    float64 `yaml:"lr_warmup_epochs"` // linear, then cosine to 0; default 10

	// Length.
	BatchSize     int `yaml:"batch_size"`      // B; default 256
	Epochs        int `yaml:"epochs"`          // default 200
	StepsPerEpoch int `yaml:"steps_per_epoch"` // 0: all full batches of the data set
	// Replanned keeps what a run was planned for before it was resumed with other epochs,
	// as STEP:EPOCHS: up to that step its schedules are those of a run of so many epochs.
	// `--resume --set epochs=N` writes it, so that the recipe gives the same weights again.
	Replanned []string `yaml:"replanned,omitempty"`

	// Machine.
	Seed      uint64 `yaml:"seed"`
	Device    string `yaml:"device"`    // "cpu" (default), "cuda", "cuda:1"
	Precision string `yaml:"precision"` // "fp32" (default) or "bf16": autocast of both networks; losses and weights stay fp32
	// Deterministic makes a GPU give the same bits in every run, on the same type of GPU
	// and libtorch: it uses algorithms without atomic additions and a fixed choice of
	// cuDNN's, none chosen by timing. It costs speed. The CPU is always deterministic.
	// Default false.
	Deterministic bool `yaml:"deterministic"`
	// TF32 lets a GPU round the inputs of fp32 products and convolutions to 10 bits of
	// mantissa, a relative error of some 3·10⁻⁴. With precision=bf16 it speeds up what
	// stays in fp32, the similarities to the queue. Default false: a GPU's gradients
	// then equal the CPU's to 10⁻⁴.
	TF32 bool `yaml:"tf32"`
	// CUDAGraph captures the step from the teacher to backward once and then launches it
	// as a whole: "auto" (default) on a GPU unless accumulate, activation_checkpointing,
	// shuffled batch norm, stochastic depth or several ranks forbid it, "true", which
	// requires it, or "false". The weights are the same. The CPU has no graphs.
	CUDAGraph string `yaml:"cuda_graph"`
	// Accumulate splits the batch into so many micro-batches, which run one after another,
	// and sums their gradients: memory for B/accumulate samples. The loss is the mean over
	// the whole batch, and the queue takes the whole batch's keys after the step; batch
	// norm's statistics are those of each micro-batch. Default 1.
	Accumulate int `yaml:"accumulate"`
	// ActivationCheckpointing keeps only the activations between the backbone's stages and
	// recomputes the rest in backward: about a third more work, and bit-equal weights.
	// Default false.
	ActivationCheckpointing bool `yaml:"activation_checkpointing"`
	ChannelsLast            bool `yaml:"channels_last"`    // NHWC memory order, which is faster and differs in the last bits; default true
	Fused                   bool `yaml:"fused"`            // our own loops on the CPU and kernels on a GPU where they are faster than libtorch's ops; they differ in the last bits; default true
	Threads                 int  `yaml:"threads"`          // of libtorch; 0: OMP_NUM_THREADS, else one for each core. Another number gives other bits
	CheckpointEvery         int  `yaml:"checkpoint_every"` // steps; 0: once an epoch
	KeepCheckpoints         int  `yaml:"keep_checkpoints"` // default 2
	LogEvery                int  `yaml:"log_every"`        // steps between lines of metrics; default 10

	// Scores while training, on detached features: the weights are the same with them and
	// without.
	KNNEvery    int `yaml:"knn_every"`    // epochs between kNN scores; default 0: none
	LinearEvery int `yaml:"linear_every"` // epochs between linear probes by the linear_ keys; default 0: none
	// StopOn ends the run before its last epoch where a score no longer rises: "knn:5" after
	// five kNN scores (of the first knn_k) in a row, none of which is above the best before
	// them, "linear:3:0.2" after three linear probes of which none is more than 0.2 percent
	// points above it. The run then waits for every score. Default "": never.
	StopOn string `yaml:"stop_on"`

	// Evaluation after training (section 4, "Evaluation Protocol").
	Eval            []string `yaml:"eval"`              // of "knn", "linear"; default both; [none] for neither
	EvalImages      int      `yaml:"eval_images"`       // at most so many images of each split; 0: all
	KNNK            []int    `yaml:"knn_k"`             // default [200, 20]; the first is knn_top1
	KNNTemperature  float64  `yaml:"knn_temperature"`   // default 0.1
	LinearEpochs    int      `yaml:"linear_epochs"`     // default 100, lr ×0.1 at 60 % and 80 %
	LinearLR        float64  `yaml:"linear_lr"`         // default 10
	LinearBatchSize int      `yaml:"linear_batch_size"` // default 256

	shortened string // what Set warns of: see noteShortened
}

// Host has the machine's values for what a recipe leaves open.
type Host struct {
	Threads int    // of libtorch
	Engine  string // the build's default renderer
}

// Default is the recipe that a file's keys override: the paper's settings for CIFAR-10
// (section 4), without a data set. Fields that default to another field's value or to
// the machine's are zero; Resolve fills them.
func Default() Recipe {
	return Recipe{
		Split: "train", EvalSplit: "test", Policy: "small", Order: "global", OnError: "replace",
		Mean: slices.Clone(nn.ImageNetMean[:]), Std: slices.Clone(nn.ImageNetStd[:]),
		Objective: "ressl", HeadBN: true, SyncBN: true, Backbone: "resnet18", Width: 64, Stem: "small",
		StochasticDepth: 0.2, Pool: "token", ProjectorHidden: 4096, EmbeddingDim: 256, Predictor: true,
		Freeze: []string{},
		TauS:   0.1, TauT: 0.04, K: 4096, M: 0.99, WarmupNCEEpochs: 10, HoldEpochs: 1,
		TauTWarmupEpochs: 30, CenterMomentum: 0.9, Prototypes: 3000, SinkhornEpsilon: 0.05, SinkhornIterations: 3, SwAVQueueEpochs: 15,
		BarlowLambda: 0.005, CLSABeta: 1, VICRegWeights: []float64{25, 25, 1},
		UniGradLambda: 100, UniGradRho: 0.99, TripletRanks: []int{2, 10}, TripletGamma: 2,
		MoCHiMixed: 512, MoCHiHarder: 256, MoCHiWarmupEpochs: 15, BINGOWarmupEpochs: 11,
		AdCoTau: 0.02, AdCoLR: 3, AdCoWeightDecay: 1e-4, FNCTop: 10, FNCThreshold: 0.7, DisCoWeight: 32, CPCSteps: []int{3, 3}, CPCHidden: 256, CPCBlocks: 5,
		LabelFraction: 0.1, FixMatchThreshold: 0.95, FixMatchWeight: 1, UDAThreshold: 0.8, UDATemperature: 0.4, UDAWeight: 1, S4LWeight: 1,
		BankMomentum: 0.5, BankNegatives: 4096, Clusters: []int{}, ClusterEvery: 1, PCLWarmupEpochs: 20, LocalAggWarmupEpochs: 10, LocalAggNeighbours: 4096,
		Optimizer: "sgd", BaseLR: 0.06, Momentum: 0.9, WeightDecay: 5e-4, Beta1: 0.9, Beta2: 0.999, AdamEps: 1e-8, LayerDecay: 1, LRWarmupEpochs: 10,
		BatchSize: 256, Epochs: 200,
		Device: "cpu", Precision: "fp32", CUDAGraph: "auto", Accumulate: 1, ChannelsLast: true, Fused: true, KeepCheckpoints: 2, LogEvery: 10,
		Eval: []string{"knn", "linear"}, KNNK: []int{200, 20}, KNNTemperature: 0.1,
		LinearEpochs: 100, LinearLR: 10, LinearBatchSize: 256,
	}
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Follows reports whether a key of a resolved recipe has the value of the key that it defaults
// to, and so is no choice of its own.
func (r *Recipe) Follows(key string) bool {
	switch key {
	case "probe_split":
		return r.ProbeSplit == r.Split
	case "predictor_hidden":
		return r.PredictorHidden == r.ProjectorHidden
	case "tau_nce":
		return r.TauNCE == r.TauS
	case "m_end":
		return r.MEnd == r.M
	case "tau_t_start":
		return r.TauTStart == r.TauT
	case "weight_decay_end":
		return r.WeightDecayEnd == r.WeightDecay
	case "mochi_hardest":
		return r.MoCHiHardest == r.defaultHardest()
	}
	return false
}

// Resolve fills the fields that default to other fields or to the machine's values, and
// validates the result.
func (r *Recipe) Resolve(h Host) error {
	or(&r.ProbeSplit, r.Split)
	or(&r.Engine, h.Engine)
	or(&r.PredictorHidden, r.ProjectorHidden)
	or(&r.TauNCE, r.TauS)
	or(&r.MEnd, r.M)
	or(&r.WeightDecayEnd, r.WeightDecay)
	or(&r.TauTStart, r.TauT)
	or(&r.MoCHiHardest, r.defaultHardest())
	or(&r.BNGroups, r.defaultGroups())
	if r.Freeze == nil {
		r.Freeze = []string{} // as the YAML of a recipe without any is read
	}
	if r.Clusters == nil {
		r.Clusters = []int{}
	}
	or(&r.Threads, max(1, h.Threads))
	return r.validate()
}

// defaultGroups is the default of bn_groups: for the objectives that shuffle 8, MoCo's
// number of GPUs, or the next lower divisor that leaves groups of 8 samples; else 1.
func (r *Recipe) defaultGroups() int {
	shuffles := r.ObjectiveOf().Shuffles
	if shuffles == nil || !shuffles(r.ObjectiveOptions()) || r.Accumulate < 1 {
		return 1
	}
	for g := 8; g > 1; g-- {
		if rows := r.BatchSize / r.Accumulate; rows%g == 0 && rows/g >= 8 {
			return g
		}
	}
	return 1
}

// defaultHardest is the default of mochi_hardest.
func (r *Recipe) defaultHardest() int { return min(1024, r.K) }

// LR is the peak learning rate, base_lr·B/256.
func (r *Recipe) LR() float64 { return r.BaseLR * float64(r.BatchSize) / 256 }

// Evaluates reports whether the recipe asks for the protocol ("knn", "linear").
func (r *Recipe) Evaluates(protocol string) bool { return slices.Contains(r.Eval, protocol) }
