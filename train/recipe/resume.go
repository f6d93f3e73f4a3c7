package recipe

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// harmless keys do not change the weights, so they may differ between a checkpoint and
// the run that resumes it.
var harmless = []string{
	"name", "claim", "source", "hardware", "measured", "data", "eval", "eval_images", "probe_split", "eval_split",
	"knn_k", "knn_temperature", "linear_epochs", "linear_lr", "linear_batch_size", "checkpoint_every", "keep_checkpoints", "log_every", "knn_every", "linear_every", "activation_checkpointing", "cuda_graph", "flat_target", "upscale", "teacher", "init",
}

// shaping keys decide which tensors a checkpoint has, and of which shape: with others it
// cannot be loaded.
var shaping = []string{
	"objective", "backbone", "width", "stem", "heads", "layer_scale", "freeze", "projector_hidden", "projector_layers", "embedding_dim", "predictor", "predictor_hidden", "head_bn", "K", "prototypes", "classes", "clusters", "cpc_steps", "cpc_hidden", "cpc_blocks",
}

// costly keys, and those that shape the networks, decide how long a step takes on a machine.
var costly = []string{
	"data", "policy", "image_size", "crops", "engine", "stochastic_depth", "pool", "bn_groups", "sync_bn", "sinkhorn_iterations", "teacher_backbone", "teacher_width",
	"teacher_stem", "optimizer", "clip_grad", "batch_size", "device", "precision", "deterministic", "tf32", "cuda_graph", "accumulate", "activation_checkpointing",
	"channels_last", "fused", "threads",
}

// planning keys say how long the run is.
var planning = []string{"epochs", "replanned", "stop_on"}

// Changed lists the keys that change the weights and differ from another recipe's, but for
// the number of epochs.
func (r *Recipe) Changed(from *Recipe) schemas.Differences {
	return r.differences(from, func(key string) bool { return !slices.Contains(harmless, key) && !slices.Contains(planning, key) })
}

// Reshaped lists the keys that differ from another recipe's and whose values are built into
// its checkpoints.
func (r *Recipe) Reshaped(from *Recipe) schemas.Differences {
	return r.differences(from, func(key string) bool {
		return slices.Contains(shaping, key) || (key == "optimizer" || key == "momentum") && r.moments() != from.moments()
	})
}

// moments is how many averages of its gradient the optimiser keeps for each parameter.
func (r *Recipe) moments() int {
	switch {
	case r.Optimizer == "adamw":
		return 2
	case r.Momentum == 0:
		return 0
	}
	return 1
}

// SameStep reports whether a step takes as long as one by another recipe, on the same machine.
func (r *Recipe) SameStep(other *Recipe) bool {
	return len(r.differences(other, func(key string) bool { return slices.Contains(shaping, key) || slices.Contains(costly, key) })) == 0
}

// differences lists the keys that differ, of those that count.
func (r *Recipe) differences(from *Recipe, counts func(key string) bool) (d schemas.Differences) {
	a, b := reflect.ValueOf(r).Elem(), reflect.ValueOf(from).Elem()
	for i, key := range keys() {
		if counts(key) && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			d.Add(key, a.Field(i).Interface(), b.Field(i).Interface())
		}
	}
	return d
}

// Plan is a length that a run was planned for.
type Plan struct {
	Until  int64 // the first step that it does not count for
	Epochs int
}

// Plans parses Replanned: the plans that counted before that for Epochs, in order.
func (r *Recipe) Plans() ([]Plan, error) {
	var plans []Plan
	last := int64(-1)
	for _, s := range r.Replanned {
		until, epochs, ok := strings.Cut(s, ":")
		step, err1 := strconv.ParseInt(until, 10, 64)
		n, err2 := strconv.Atoi(epochs)
		if !ok || err1 != nil || err2 != nil || step <= last || n < 1 {
			return nil, errs.New("recipe "+r.Name+" key", "replanned", "leave it as `--resume --set epochs=N` wrote it: STEP:EPOCHS, in order of steps",
				errs.Because(errs.ErrUsage, fmt.Sprintf("is %q", r.Replanned)))
		}
		last = step
		plans = append(plans, Plan{step, n})
	}
	return plans, nil
}

// Replan has the recipe, whose run has made so many steps as one of was epochs, keep that:
// from here on it is planned for Epochs. It does nothing where these are equal.
func (r *Recipe) Replan(steps int64, was int) error {
	if was == r.Epochs {
		return nil
	}
	plans, err := r.Plans()
	if err != nil {
		return err
	}
	if n := len(plans); steps == 0 || n > 0 && plans[n-1].Until >= steps {
		return nil // no step was made by the plan that is replaced
	}
	r.Replanned = append(slices.Clone(r.Replanned), fmt.Sprintf("%d:%d", steps, was))
	return nil
}

// Continues reports whether the recipe is another's that was planned anew, once or more, and
// is the same otherwise.
func (r *Recipe) Continues(from *Recipe) bool {
	return len(r.Replanned) > len(from.Replanned) && slices.Equal(r.Replanned[:len(from.Replanned)], from.Replanned) &&
		len(r.differences(from, func(key string) bool { return !slices.Contains(planning, key) })) == 0
}
