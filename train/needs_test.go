package train

import (
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas"
	"resslt/train/nn/nntest"
	"resslt/train/objective"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// To estimate what a training takes moves nothing that it depends on: the steps after it are those
// of a learner that nobody asked, whatever it is made of.
func TestNeedsChangeNothing(t *testing.T) {
	nntest.Torch(t)
	cases := map[string]func(*Config){
		"recompute":   func(c *Config) { c.Recompute = true },
		"accumulate":  func(c *Config) { c.Accumulate = 2 },
		"efficient":   func(c *Config) { c.Backbone, c.StochasticDepth = "efficientnet_b0", 0.5 },
		"transformer": func(c *Config) { c.Backbone, c.StochasticDepth, c.ImageSize = "vit_tiny_patch4", 0.5, smallSize },
		"adamw":       func(c *Config) { c.Optimizer.Kind = "adamw" },
	}
	for _, name := range objective.Names() {
		cases[name] = func(c *Config) { c.Objective = name }
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			c := small
			change(&c)
			want := threeSteps(t, c)
			l := newSmall(t, c)
			defer l.Free()
			_, spec := tiny(t, 1)
			policy := l.parts
			spec.Views = spec.Views[:0]
			for range policy.TeacherViews {
				spec.Views = append(spec.Views, schemas.ViewSpec{Name: "weak", Role: schemas.Teacher, Size: smallSize})
			}
			for range max(2, policy.StudentViews) {
				spec.Views = append(spec.Views, schemas.ViewSpec{Name: "strong", Role: schemas.Student, Size: smallSize})
			}
			if _, _, err := recipe.Sides(c.Objective, c.Crops, spec.Views); err != nil { // takes views by role
				spec.Views[0].Role = schemas.Teacher
			}
			live := torch.LiveTensors()
			n, err := l.Needs(spec)
			if err != nil {
				t.Fatal(err)
			}
			if now := torch.LiveTensors(); now != live {
				t.Errorf("%d tensors live after it, %d before", now, live)
			}
			if n.Weights <= 0 || n.Gradients <= 0 || n.Activations <= 0 || n.Encoder <= 0 || (n.Similarity > 0) != (l.parts.Queue != objective.NoQueue) {
				t.Errorf("%+v", n)
			}
			for i := range 3 {
				stepThree(t, l, "image "+string(rune('0'+i)), Hyper{LR: 0.01, Momentum: 0.99, Alpha: 0.5, Step: int64(i)})
			}
			sameContents(t, "after it", want, contents(t, l))
		})
	}
}

// The sizes of files are those of the files.
func TestNeedsOfDisk(t *testing.T) {
	for _, set := range [][]string{{"optimizer=sgd"}, {"optimizer=adamw"}, {"objective=simclr"}} {
		r, spec := tiny(t, 1, set...)
		if r.Objective == "simclr" {
			spec.Views[0].Role = schemas.Student
		}
		n, err := Estimate(r, spec)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := LearnerConfig(r)
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewLearner(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Free()
		dir := t.TempDir()
		encoder := filepath.Join(dir, "encoder.safetensors")
		if err := SaveCheckpoint(dir, Checkpoint{Step: 1}, l.State(), 1); err != nil {
			t.Fatal(err)
		}
		if err := SaveEncoder(encoder, l.Student().Backbone, InfoOf(r, 8)); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]int64{filepath.Join(dir, "step-00000001.safetensors"): n.Checkpoint, encoder: n.Encoder} {
			info, err := os.Stat(path)
			header := int64(200 * len(l.State())) // names and shapes, of these small networks
			if err != nil || info.Size() < want || info.Size() > want+header {
				t.Errorf("%v: %s has %d bytes, %d were expected: %v", set, filepath.Base(path), info.Size(), want, err)
			}
		}
	}
}

// More of what takes memory is more of the estimate, by as much.
func TestNeedsFollowTheRecipe(t *testing.T) {
	of := func(set ...string) Needs {
		t.Helper()
		r, spec := tiny(t, 1, set...)
		spec.BatchSize = r.BatchSize
		n, err := Estimate(r, spec)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	base := of()
	if twice := of("batch_size=16"); twice.Activations != 2*base.Activations || twice.Weights != base.Weights || twice.Similarity != 2*base.Similarity {
		t.Errorf("a batch of twice the size: %+v, %+v", base, twice)
	}
	if half := of("accumulate=2"); 2*half.Activations != base.Activations {
		t.Errorf("two micro-batches: %+v, %+v", base, half)
	}
	if less := of("activation_checkpointing=true"); less.Activations >= base.Activations {
		t.Errorf("activation checkpointing: %+v, %+v", base, less)
	}
	if queue := of("K=64"); queue.Weights-base.Weights != 32*8*4 {
		t.Errorf("a queue of 32 keys more: %+v, %+v", base, queue)
	}
	if _, err := Estimate(&recipe.Recipe{Device: "none"}, nil); err == nil {
		t.Error("no device, no error")
	}
}
