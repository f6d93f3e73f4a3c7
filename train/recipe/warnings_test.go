package recipe_test

import (
	"errors"
	"strings"
	"testing"

	"resslt/train/optim"
	"resslt/train/recipe"
)

// Of batches with few labels many have none.
func TestFewLabelsWarning(t *testing.T) {
	for set, warned := range map[string]bool{"label_fraction=0.1": false, "label_fraction=0.05": true} {
		r, err := recipe.Load("smoke") // batches of 64
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Set("objective=fixmatch", "classes=10", set), r.Resolve(host)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(r.Warnings(), "\n"), "labels on average"); got != warned {
			t.Errorf("%s: %v", set, r.Warnings())
		}
	}
}

// Table 2 shows the collapse in grey: τ_s 0.1 and τ_t ≥ 0.08 without predictor.
// TestWarmupWarning: a warm-up that takes the whole run is said to leave no learning rate, which is what
// the schedule then gives.
func TestWarmupWarning(t *testing.T) {
	for set, warned := range map[string]bool{"lr_warmup_epochs=3.9": false, "lr_warmup_epochs=4": true, "lr_warmup_epochs=10": true, "lr_warmup_epochs=0": false} {
		r, err := recipe.Load("cifar10")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Set("epochs=4", set), r.Resolve(host)); err != nil {
			t.Fatal(err)
		}
		const perEpoch = 10
		lr, greatest := optim.WarmupCosine(r.LR(), int64(r.LRWarmupEpochs*perEpoch), int64(r.Epochs*perEpoch)), 0.0
		for step := range int64(r.Epochs * perEpoch) {
			greatest = max(greatest, lr(step))
		}
		if (greatest == 0) != warned {
			t.Errorf("%s: the greatest learning rate is %g", set, greatest)
		}
		if got := strings.Contains(strings.Join(r.Warnings(), "\n"), "0 throughout"); got != warned {
			t.Errorf("%s: %q", set, r.Warnings())
		}
	}
}

func TestCollapseWarning(t *testing.T) {
	r, err := recipe.Load("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Set("predictor=false", "tau_t=0.08"), r.Resolve(host)); err != nil {
		t.Fatal(err)
	}
	if w := r.Warnings(); len(w) != 1 || !strings.Contains(w[0], "Table 2") {
		t.Errorf("warnings %v, want the one of Table 2", w)
	}
}

// What accumulate changes is said of what the objective takes from the batch.
func TestAccumulateWarning(t *testing.T) {
	for objective, c := range map[string]struct {
		set  []string
		says string // "" of none
	}{
		"ressl":        {},
		"simsiam":      {},
		"simclr":       {says: "simclr takes its negatives from the micro-batch: accumulate=4 leaves it those of 64 samples"},
		"moco-v3":      {says: "negatives"},
		"vicreg":       {says: "vicreg takes statistics over the batch: with accumulate=4 they are over 64 samples at a time"},
		"barlow-twins": {says: "statistics"},
		"unigrad":      {says: "statistics"},
		"swav":         {says: "statistics"},
		"w-mse":        {set: []string{"whiten_rows=0", "embedding_dim=32"}, says: "statistics"},
	} {
		for name, set := range map[string][]string{"as it is": c.set, "in halves": {"whiten_rows=32", "embedding_dim=16"}} {
			r, err := recipe.Load("cifar10")
			if err != nil {
				t.Fatal(err)
			}
			before := []string{"objective=" + objective, "batch_size=256", "policy="}
			if err := errors.Join(r.Set(append(before, set...)...), r.Set("accumulate=4")); err != nil {
				t.Fatal(err)
			}
			if err := r.Resolve(host); err != nil {
				t.Fatalf("%s %s: %v", objective, name, err)
			}
			says := c.says
			if objective == "w-mse" && name == "in halves" { // a micro-batch is two whole sub-batches
				says = ""
			}
			if w := strings.Join(r.Warnings(), "\n"); !strings.Contains(w, says) || says == "" && strings.Contains(w, "accumulate") {
				t.Errorf("%s %s: warnings %q, want %q", objective, name, w, says)
			}
		}
	}
}
