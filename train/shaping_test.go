package train

import (
	"fmt"
	"maps"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/nn/nntest"
	"resslt/train/objective"
	"resslt/train/recipe"
)

// shapes are the names and shapes of what a learner of the recipe keeps, or nothing where there is no
// such learner.
func shapes(t *testing.T, r *recipe.Recipe) map[string]string {
	t.Helper()
	c, err := LearnerConfig(r)
	if err != nil {
		return nil
	}
	c.Samples = 64
	l, err := NewLearner(c)
	if err != nil {
		return nil
	}
	defer l.Free()
	out := map[string]string{}
	nntest.Do(t, func() {
		for _, n := range l.State() {
			out[n.Name] = fmt.Sprint(n.Tensor.Shape())
		}
	})
	return out
}

// others are values that a key may have in place of v. Those of numbers that are not whole, of switches and
// of words are tried with one objective: they shape networks and the optimiser's state alone.
func others(key string, v any, all bool) []any {
	switch v.(type) {
	case int:
		return []any{2, 12}
	case []int:
		return []any{"[2]", "[2, 5]"}
	}
	if !all {
		return nil
	}
	switch v := v.(type) {
	case bool:
		return []any{!v}
	case float64:
		return []any{0, 0.5, 2}
	case uint64:
		return []any{v + 1}
	}
	return map[string][]any{
		"backbone": {"resnet50", "vit_tiny_patch4", "convnext_tiny"}, "stem": {"imagenet"}, "optimizer": {"lars", "adamw"}, "freeze": {"[stem]", "[layer1]"},
		"precision": {"bf16"},
	}[key]
}

// TestKeysThatShape: a key that decides which tensors a checkpoint has or of which shape, for any
// objective, is one that `--resume` refuses to change, and the others load.
func TestKeysThatShape(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	for _, name := range objective.Names() {
		base := []string{"objective=" + name, "classes=10", "clusters=[4]", "stem=small", "width=1", "whiten_epsilon=0.1", "triplet_ranks=[2, 4]"}
		if o, err := objective.New(name, objective.Options{}); err == nil && o.Parts().Frozen {
			base = append(base, "teacher="+smallTeacher(t))
		}
		was, _ := tiny(t, 4, base...)
		before := shapes(t, was)
		if before == nil {
			t.Fatalf("there is no learner of %v", base)
		}
		for key, v := range was.All() {
			for _, other := range others(key, v, name == "ressl") {
				is := *was
				if err := is.Set(fmt.Sprintf("%s=%v", key, other)); err != nil {
					continue // not a value of the key
				}
				if name != "ressl" && len(is.Changed(was)) == 0 {
					continue // it changes no weights
				}
				after := shapes(t, &is)
				if after == nil {
					continue // no learner of that
				}
				if refused := len(is.Reshaped(was)) > 0; !refused && !maps.Equal(before, after) {
					t.Errorf("%s: %s=%v makes other tensors than %v, and --resume takes it", name, key, other, v)
				}
			}
		}
	}
}
