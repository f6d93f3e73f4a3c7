package main

import (
	"math"
	"strings"
	"testing"

	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/racetest"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/recipe"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// manifest is of a data set that is not there: a spec asks no more of it.
var manifest = &ingest.Manifest{Format: "folder", Split: "train", Samples: 100_000}

// TestRecipesCheck: `resslt recipe check` calls every recipe sound, and its run
// spec can be made.
func TestRecipesCheck(t *testing.T) {
	for _, name := range recipe.Names() {
		out := new(strings.Builder)
		c := newRecipeCommand()
		c.SetArgs([]string{"check", name, "--set", "data=folder:x"})
		c.SetOut(out)
		if err := c.Execute(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasSuffix(out.String(), name+": sound\n") {
			t.Errorf("check %s says %q", name, out)
		}
		r, err := loadRecipe(name, "folder:x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pipeline.Spec(r, manifest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSweepsCheck: every cell of every sweep is a recipe with a run spec.
func TestSweepsCheck(t *testing.T) {
	racetest.SkipNumbers(t)
	for _, name := range recipe.SweepNames() {
		s, err := recipe.LoadSweep(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range s.Cells() {
			r, err := loadRecipe(cell.Recipe, "folder:x", cell.Set)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, cell.ID, err)
			}
			if _, err := pipeline.Spec(r, manifest); err != nil {
				t.Errorf("%s, %s: %v", name, cell.ID, err)
			}
			if cfg, err := train.LearnerConfig(r); err != nil {
				t.Errorf("%s, %s: %v", name, cell.ID, err)
			} else if err := cfg.Validate(); err != nil {
				t.Errorf("%s, %s: %v", name, cell.ID, err)
			}
		}
	}
}

// TestRecipesTrain takes a step of every recipe, its network narrowed and its views
// a seventh of their side: objective, heads, backbone, stem, optimiser and number
// of views are the recipe's.
func TestRecipesTrain(t *testing.T) {
	torchtest.Require(t)
	for _, name := range recipe.Names() {
		t.Run(name, func(t *testing.T) {
			r, err := loadRecipe(name, "folder:x", []string{
				"width=8", "projector_hidden=16", "predictor_hidden=16", "embedding_dim=8", "K=64", "batch_size=16", "prototypes=64",
				"bn_groups=0", "device=cpu", "threads=1",
			})
			if err != nil {
				t.Fatal(err)
			}
			spec, err := pipeline.Spec(r, manifest)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := train.LearnerConfig(r)
			if err != nil {
				t.Fatal(err)
			}
			l, err := train.NewLearner(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Free()
			b := &schemas.Batch{Size: r.BatchSize, Views: spec.Views}
			noise := nn.Random(1, "pixels of "+name)
			for i := range b.Views {
				v := &b.Views[i]
				if v.Size > 96 || len(b.Views) > 3 {
					v.Size /= 7
				}
				if p := backbone.Patch(r.Backbone); p > 0 { // whole patches
					v.Size = max(p, v.Size/p*p)
				}
				pixels := make([]byte, b.Size*v.Size*v.Size*3)
				for j := range pixels {
					pixels[j] = byte(noise.Below(256))
				}
				b.Pixels = append(b.Pixels, pixels)
			}
			var s train.Stats
			err = torch.Do(func() error {
				teacher, student, err := l.Views(b)
				if err != nil {
					return err
				}
				s, err = l.Step(teacher, student, train.Hyper{LR: r.LR(), Momentum: r.M, Alpha: 0.5, Stats: true})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if !(s.Loss > 0) || math.IsInf(s.Loss, 1) || !(s.EmbeddingStd > 0) {
				t.Errorf("the first step gives %+v", s)
			}
		})
	}
}

// Every embedded recipe can be shown, also the one for one's own images, which names no data.
func TestRecipeShow(t *testing.T) {
	t.Parallel()
	for _, name := range recipe.Names() {
		if o := resslt(t, "recipe", "show", name); o.code != 0 || !strings.Contains(o.stdout, "name: "+name) {
			t.Errorf("recipe show %s: exit %d, %s", name, o.code, o.stderr)
		}
	}
}
