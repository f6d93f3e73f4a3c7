package recipe

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train/objective"
)

// rule is one check of a resolved recipe.
type rule struct {
	key  string // the key at fault
	ok   bool
	why  string // what is wrong
	hint string
}

// choices are the keys that take the words of a list, but for objective.
var choices = map[string][]string{
	"on_error":     {string(schemas.Replace), string(schemas.Fail)},
	"stem":         {"small", "imagenet"},
	"teacher_stem": {"", "small", "imagenet"},
	"pool":         {"token", "mean"},
	"optimizer":    {"sgd", "lars", "adamw"},
	"precision":    {"fp32", "bf16"},
	"cuda_graph":   {"auto", "true", "false"},
	"eval":         {"knn", "linear", "none"},
}

// Choices are the words that a key takes, nil of one that takes others. Those of eval, a list, may
// be several.
func Choices(key string) []string {
	if key == "objective" {
		return Objectives()
	}
	if f, known := new(Recipe).field(key); known && f.Kind() == reflect.Bool {
		return []string{"true", "false"}
	}
	return choices[key]
}

// oneOf has the value be one of the key's Choices.
func oneOf(key, value string) rule {
	allowed := Choices(key)
	return rule{key, slices.Contains(allowed, value), fmt.Sprintf("is %q", value), bounded.Suggest(value, allowed) + "give one of " + strings.Join(allowed, ", ")}
}

func atLeast(key string, value, least int) rule {
	return rule{key, value >= least, fmt.Sprintf("is %d", value), fmt.Sprintf("give %d or more", least)}
}

func positive(key string, value float64) rule {
	return rule{key, value > 0, fmt.Sprintf("is %g", value), "give a number above 0"}
}

func notNegative(key string, value float64) rule {
	return rule{key, value >= 0, fmt.Sprintf("is %g", value), "give 0 or more"}
}

func unit(key string, value float64) rule {
	return rule{key, value >= 0 && value <= 1, fmt.Sprintf("is %g", value), "give a number from 0 to 1"}
}

func three(key string, values []float64) rule {
	return rule{key, len(values) == 3, fmt.Sprintf("has %d numbers", len(values)), "give three: R, G, B"}
}

// validate reports the first broken rule: an impossible value and why it is impossible.
func (r *Recipe) validate() error {
	for _, c := range slices.Concat(r.dataRules(), r.methodRules(), r.ownRules(), r.batchRules(), r.runRules(), r.listRules(), r.finite()) {
		if !c.ok {
			return errs.New("recipe "+r.Name+" key", c.key, c.hint, errs.Because(errs.ErrUsage, c.why))
		}
	}
	_, err := r.Plans()
	return err
}

// dataRules are those of the data, the network and the machine's modes.
func (r *Recipe) dataRules() []rule {
	_, orderErr := schemas.ParseOrder(r.Order)
	return []rule{
		{"data", r.Data != "", "is empty", "give a data URI, e.g. --data folder:DIR"},
		oneOf("on_error", r.OnError),
		{"order", orderErr == nil, fmt.Sprintf("is %q", r.Order), bounded.Suggest(r.Order, []string{"global", "blocked"}) + "give global, blocked or blocked:shards=8,window=16384"},
		oneOf("objective", r.Objective),
		oneOf("stem", r.Stem),
		oneOf("pool", r.Pool),
		unit("layer_scale", r.LayerScale),
		atLeast("heads", r.Heads, 0),
		{"init", r.InitSHA256 == "" || r.Init != "", "is empty, and init_sha256 is set", "name the file, init=FILE, or leave both out; a run that is resumed keeps its own"},
		oneOf("optimizer", r.Optimizer),
		oneOf("precision", r.Precision),
		oneOf("cuda_graph", r.CUDAGraph),
		atLeast("image_size", r.ImageSize, 0),
		atLeast("chunk_samples", r.ChunkSamples, 0),
		atLeast("width", r.Width, 1),
		{"stochastic_depth", r.StochasticDepth >= 0 && r.StochasticDepth < 1, fmt.Sprintf("is %g", r.StochasticDepth), "give a number from 0 to below 1"},
		atLeast("projector_hidden", r.ProjectorHidden, 1),
		atLeast("predictor_hidden", r.PredictorHidden, 1),
		{
			"projector_layers", r.ProjectorLayers == 0 || r.Objective == "moco-v3" && r.ProjectorLayers >= 2 && r.ProjectorLayers <= 8,
			fmt.Sprintf("is %d", r.ProjectorLayers), "give 2 to 8 for objective moco-v3, and 0 for the others, whose heads are their papers'",
		},
		atLeast("embedding_dim", r.EmbeddingDim, 2),
	}
}

// methodRules are those of the loss and the optimiser.
func (r *Recipe) methodRules() []rule {
	return []rule{
		positive("tau_s", r.TauS),
		positive("tau_t", r.TauT),
		positive("tau_nce", r.TauNCE),
		{
			"tau_t", r.TauT < r.TauS || r.FlatTarget || !r.ObjectiveOf().Relational, fmt.Sprintf("is %g, not below tau_s %g: the target would not be sharper than the student (section 3.2)", r.TauT, r.TauS),
			"lower tau_t (the paper's best are 0.03 and 0.04), or set flat_target=true to see what that costs",
		},
		atLeast("crops", r.Crops, 0),
		unit("m", r.M),
		unit("m_end", r.MEnd),
		notNegative("infonce_warmup_epochs", r.WarmupNCEEpochs),
		notNegative("hold_epochs", r.HoldEpochs),
		positive("base_lr", r.BaseLR),
		unit("momentum", r.Momentum),
		notNegative("weight_decay", r.WeightDecay),
		notNegative("weight_decay_end", r.WeightDecayEnd),
		unit("beta1", r.Beta1),
		unit("beta2", r.Beta2),
		positive("adam_eps", r.AdamEps),
		{"layer_decay", r.LayerDecay > 0 && r.LayerDecay <= 1, fmt.Sprintf("is %g", r.LayerDecay), "give a number above 0, at most 1"},
		{"layer_decay", r.LayerDecay == 1 || r.Optimizer == "adamw", fmt.Sprintf("is %g, and optimizer %s has one learning rate for all layers", r.LayerDecay, r.Optimizer), "set optimizer=adamw, or leave it at 1"},
		notNegative("clip_grad", r.ClipGrad),
		notNegative("lr_warmup_epochs", r.LRWarmupEpochs),
	}
}

// ownRules are those of the keys of single objectives.
func (r *Recipe) ownRules() []rule {
	return []rule{
		positive("tau_t_start", r.TauTStart),
		notNegative("tau_t_warmup_epochs", r.TauTWarmupEpochs),
		unit("center_momentum", r.CenterMomentum),
		atLeast("prototypes", r.Prototypes, 2),
		positive("sinkhorn_epsilon", r.SinkhornEpsilon),
		atLeast("sinkhorn_iterations", r.SinkhornIterations, 1),
		notNegative("swav_queue_epochs", r.SwAVQueueEpochs),
		notNegative("barlow_lambda", r.BarlowLambda),
		atLeast("whiten_rows", r.WhitenRows, 0),
		{
			"whiten_rows", r.Objective != "w-mse" || r.WhitenEpsilon > 0 || r.whitenRows() > r.EmbeddingDim,
			fmt.Sprintf("is %d, not above embedding_dim %d: the covariance of so few rows has no inverse", r.whitenRows(), r.EmbeddingDim),
			"raise it, to twice embedding_dim and more, lower embedding_dim, or set whiten_epsilon",
		},
		{"whiten_epsilon", r.WhitenEpsilon >= 0 && r.WhitenEpsilon < 1, fmt.Sprintf("is %g", r.WhitenEpsilon), "give a number from 0 to below 1"},
		notNegative("clsa_beta", r.CLSABeta),
		atLeast("teacher_width", r.TeacherWidth, 0),
		oneOf("teacher_stem", r.TeacherStem),
		{"teacher", r.Teacher != "" || !r.ObjectiveOf().Frozen, "is empty", "name the trained encoder's file, teacher=FILE"},
		notNegative("unigrad_lambda", r.UniGradLambda),
		unit("unigrad_rho", r.UniGradRho),
		notNegative("triplet_gamma", r.TripletGamma),
		atLeast("mochi_hardest", r.MoCHiHardest, 1),
		{
			"mochi_hardest", r.Objective != "mochi" || r.MoCHiHardest <= r.K, fmt.Sprintf("is %d, and the queue has %d keys", r.MoCHiHardest, r.K),
			"lower it, or raise K",
		},
		atLeast("mochi_mixed", r.MoCHiMixed, 0),
		atLeast("mochi_harder", r.MoCHiHarder, 0),
		notNegative("mochi_warmup_epochs", r.MoCHiWarmupEpochs),
		positive("adco_tau", r.AdCoTau),
		positive("adco_lr", r.AdCoLR),
		{"adco_weight_decay", r.AdCoWeightDecay >= 0 && r.AdCoWeightDecay < 1, fmt.Sprintf("is %g", r.AdCoWeightDecay), "give a number from 0 to below 1"},
		{"bank_momentum", r.BankMomentum >= 0 && r.BankMomentum < 1, fmt.Sprintf("is %g", r.BankMomentum), "give a number from 0 to below 1"},
		atLeast("bank_negatives", r.BankNegatives, 0),
		{"bank_negatives", r.BankNegatives > 0 || r.Objective != "pirl", "is 0", "give how many each image is told from: PIRL has no form without"},
		notNegative("npid_proximal", r.NPIDProximal),
		positive("cluster_every", r.ClusterEvery),
		notNegative("pcl_warmup_epochs", r.PCLWarmupEpochs),
		notNegative("localagg_warmup_epochs", r.LocalAggWarmupEpochs),
		atLeast("localagg_neighbours", r.LocalAggNeighbours, 1),
		notNegative("disco_weight", r.DisCoWeight),
		atLeast("cpc_hidden", r.CPCHidden, 1),
		atLeast("cpc_blocks", r.CPCBlocks, 1),
		notNegative("bingo_warmup_epochs", r.BINGOWarmupEpochs),
		atLeast("classes", r.Classes, 0),
		{"classes", r.Classes >= 2 || !r.ObjectiveOf().Labels, fmt.Sprintf("is %d", r.Classes), "give the number of classes that " + r.Objective + " learns, e.g. classes=10"},
		{"label_fraction", r.LabelFraction > 0 && r.LabelFraction <= 1, fmt.Sprintf("is %g", r.LabelFraction), "give a number above 0, at most 1"},
		unit("fixmatch_threshold", r.FixMatchThreshold),
		notNegative("fixmatch_weight", r.FixMatchWeight),
		unit("uda_threshold", r.UDAThreshold),
		positive("uda_temperature", r.UDATemperature),
		notNegative("uda_weight", r.UDAWeight),
		notNegative("s4l_weight", r.S4LWeight),
		atLeast("fnc_top", r.FNCTop, 1),
		{
			"fnc_top", r.Objective != "fnc" || r.FNCTop <= 2*r.rows(), fmt.Sprintf("is %d, and a pair of views of %d samples has %d embeddings", r.FNCTop, r.rows(), 2*r.rows()),
			"lower it, or raise batch_size",
		},
		{"fnc_threshold", r.FNCThreshold >= -1 && r.FNCThreshold <= 1, fmt.Sprintf("is %g", r.FNCThreshold), "give a cosine, from -1 to 1"},
	}
}

// tripletRule is that of the ranks of the truncated triplet's negatives.
func (r *Recipe) tripletRule() rule {
	list := r.TripletRanks
	c := rule{"triplet_ranks", len(list) == 2 && list[0] >= 1 && list[0] <= list[1], fmt.Sprintf("is %v", list), "give two ranks, the first from 1 and the last, e.g. [2, 10]"}
	if c.ok && r.Objective == "truncated-triplet" && list[1] >= r.rows() {
		return rule{"triplet_ranks", false, fmt.Sprintf("ends at %d, and a sample has %d others beside it", list[1], r.rows()-1), "lower the last rank, or raise batch_size"}
	}
	return c
}

// stepsRule is that of how far ahead CPC v2 predicts.
func (r *Recipe) stepsRule() rule {
	list := r.CPCSteps
	return rule{
		"cpc_steps", len(list) == 2 && list[0] >= 1 && list[0] <= list[1] && list[1] <= objective.MostSteps, fmt.Sprintf("is %v", list),
		fmt.Sprintf("give two numbers of rows, the first from 1 and the last up to %d, e.g. [3, 3]", objective.MostSteps),
	}
}

// rows is how many samples are compared with each other.
func (r *Recipe) rows() int { return r.BatchSize / max(1, r.Accumulate) }

// whitenRows is how many rows W-MSE whitens together.
func (r *Recipe) whitenRows() int {
	if r.WhitenRows > 0 {
		return min(r.WhitenRows, r.rows())
	}
	return r.rows()
}

// batchRules are those of the batch and its parts.
func (r *Recipe) batchRules() []rule {
	return []rule{
		{"batch_size", r.BatchSize >= 2, fmt.Sprintf("is %d, and batch norm needs 2 rows", r.BatchSize), "give 2 or more"},
		atLeast("K", r.K, 1),
		{
			"K", r.K > r.BatchSize || r.ObjectiveOf().Queue == objective.NoQueue, fmt.Sprintf("is %d, not above batch_size %d: the queue would hold nothing but the last batch", r.K, r.BatchSize),
			"raise K or lower batch_size",
		},
		atLeast("accumulate", r.Accumulate, 1),
		{
			"accumulate", r.BatchSize%max(1, r.Accumulate) == 0 && r.BatchSize/max(1, r.Accumulate) >= 2,
			fmt.Sprintf("is %d, and batch_size %d cannot be divided into so many equal parts of 2 samples or more", r.Accumulate, r.BatchSize), "give a divisor of batch_size",
		},
		atLeast("bn_groups", r.BNGroups, 1),
		{
			"bn_groups", r.groupRows() >= 2,
			fmt.Sprintf("is %d, and %d samples cannot be divided into so many equal groups of 2 or more", r.BNGroups, r.BatchSize/max(1, r.Accumulate)), "give a divisor of batch_size/accumulate",
		},
	}
}

// runRules are those of the length, the machine and the evaluation.
func (r *Recipe) runRules() []rule {
	return []rule{
		atLeast("knn_every", r.KNNEvery, 0),
		atLeast("linear_every", r.LinearEvery, 0),
		r.stopRule(),
		atLeast("epochs", r.Epochs, 1),
		atLeast("steps_per_epoch", r.StepsPerEpoch, 0),
		atLeast("threads", r.Threads, 1),
		atLeast("checkpoint_every", r.CheckpointEvery, 0),
		atLeast("keep_checkpoints", r.KeepCheckpoints, 1),
		atLeast("log_every", r.LogEvery, 1),
		atLeast("eval_images", r.EvalImages, 0),
		positive("knn_temperature", r.KNNTemperature),
		atLeast("linear_epochs", r.LinearEpochs, 1),
		positive("linear_lr", r.LinearLR),
		atLeast("linear_batch_size", r.LinearBatchSize, 1),
	}
}

// listRules are those of the keys that are lists.
func (r *Recipe) listRules() []rule {
	rules := []rule{
		{"knn_k", len(r.KNNK) > 0, "is empty", "give one or more numbers of neighbours"},
		three("mean", r.Mean),
		three("std", r.Std),
		r.tripletRule(),
		r.stepsRule(),
		{"vicreg_weights", len(r.VICRegWeights) == 3, fmt.Sprintf("has %d numbers", len(r.VICRegWeights)), "give three: of invariance, variance and covariance"},
	}
	for _, s := range r.Std {
		rules = append(rules, positive("std", s))
	}
	for _, k := range r.Clusters {
		rules = append(rules, atLeast("clusters", k, 2))
	}
	for _, k := range r.KNNK {
		rules = append(rules, atLeast("knn_k", k, 1))
	}
	for _, e := range r.Eval {
		rules = append(rules, oneOf("eval", e))
	}
	return rules
}

// groupRows is the number of samples in a group of batch norm, 0 if the groups would
// not be equal.
func (r *Recipe) groupRows() int {
	rows, groups := r.BatchSize/max(1, r.Accumulate), max(1, r.BNGroups)
	if rows%groups != 0 {
		return 0
	}
	return rows / groups
}

// finite are the rules that refuse NaN and infinity, which other rules let through.
func (r *Recipe) finite() []rule {
	var rules []rule
	check := func(key string, x float64) {
		rules = append(rules, rule{key, !math.IsNaN(x) && !math.IsInf(x, 0), fmt.Sprintf("is %g", x), "give a finite number"})
	}
	v := reflect.ValueOf(r).Elem()
	for i, key := range keys() {
		switch x := v.Field(i).Interface().(type) {
		case float64:
			check(key, x)
		case []float64:
			for _, e := range x {
				check(key, e)
			}
		}
	}
	return rules
}

// fewLabels is with how many labels in a batch on average one in e^fewLabels, 2 %, has none.
const fewLabels = 4

// Warnings lists settings that are allowed but known to end badly or to mislead.
func (r *Recipe) Warnings() []string {
	var w []string
	if r.shortened != "" {
		w = append(w, r.shortened)
	}
	if r.Epochs > 0 && r.LRWarmupEpochs >= float64(r.Epochs) {
		// No error: a run that began so can be resumed, and trained longer.
		w = append(w, fmt.Sprintf("lr_warmup_epochs %g is not shorter than the run of %d epochs: the learning rate is 0 throughout, and nothing is learned; lower it or raise epochs", r.LRWarmupEpochs, r.Epochs))
	}
	relational := r.ObjectiveOf().Relational
	if relational && !r.Predictor && r.TauT >= 0.08 && r.TauS <= 0.1 {
		w = append(w, fmt.Sprintf("tau_t %g without predictor collapses in Table 2 (tau_s 0.1, tau_t 0.08 and above); lower tau_t or set predictor=true", r.TauT))
	}
	if relational && r.TauT >= r.TauS {
		w = append(w, fmt.Sprintf("tau_t %g is not below tau_s %g: the target is no sharper than the student (section 3.2, Table 1)", r.TauT, r.TauS))
	}
	if text := r.splitLoss(); text != "" {
		w = append(w, text)
	}
	if shown := r.LabelFraction * float64(r.BatchSize); r.ObjectiveOf().Labels && shown < fewLabels {
		w = append(w, fmt.Sprintf("label_fraction %g leaves a batch %.1f labels on average, and many batches none; raise batch_size", r.LabelFraction, shown))
	}
	return w
}

// splitLoss says what accumulate does to a loss that depends on the batch's other rows, or "".
func (r *Recipe) splitLoss() string {
	o := r.ObjectiveOf()
	whole := r.Objective == "w-mse" && r.WhitenRows > 0 && r.rows()%r.WhitenRows == 0 // sub-batches are what they are without it
	switch {
	case r.Accumulate <= 1 || !o.InBatch || whole:
		return ""
	case o.Statistics:
		return fmt.Sprintf("%s takes statistics over the batch: with accumulate=%d they are over %d samples at a time, which is another loss", r.Objective, r.Accumulate, r.rows())
	}
	return fmt.Sprintf("%s takes its negatives from the micro-batch: accumulate=%d leaves it those of %d samples", r.Objective, r.Accumulate, r.rows())
}
