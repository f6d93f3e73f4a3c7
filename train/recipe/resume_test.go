package recipe

import (
	"fmt"
	"slices"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// TestReplan: the recipe keeps each plan that steps were made by, and no other.
func TestReplan(t *testing.T) {
	r := Default()
	r.Name, r.Epochs = "x", 10
	for _, c := range []struct {
		at     int64
		epochs int
		want   []string
	}{
		{100, 10, nil}, // no other plan
		{0, 20, nil},   // of a run that has not begun
		{100, 30, []string{"100:20"}},
		{100, 40, []string{"100:20"}}, // before another step
		{250, 20, []string{"100:20", "250:40"}},
		{200, 50, []string{"100:20", "250:40"}}, // from an older checkpoint
		{300, 60, []string{"100:20", "250:40", "300:50"}},
	} {
		was := r
		r.Epochs = c.epochs
		if err := r.Replan(c.at, was.Epochs); err != nil || !slices.Equal(r.Replanned, c.want) {
			t.Fatalf("at step %d to %d epochs: %q, %v; want %q", c.at, c.epochs, r.Replanned, err, c.want)
		}
		if more := len(r.Replanned) > len(was.Replanned); r.Continues(&was) != more || was.Continues(&r) {
			t.Errorf("at step %d to %d epochs: continues %v, want %v", c.at, c.epochs, r.Continues(&was), more)
		}
		again, err := Parse("x.yaml", r.YAML())
		if err != nil || !slices.Equal(again.Replanned, r.Replanned) || again.Epochs != r.Epochs {
			t.Errorf("written and read: %+v, %v", again, err)
		}
	}
	other := r
	other.Replanned, other.Seed = append(slices.Clone(r.Replanned), "400:60"), 5
	if other.Continues(&r) {
		t.Error("a recipe of another seed continues this one")
	}
}

func TestPlansRefused(t *testing.T) {
	for _, bad := range [][]string{{"x"}, {"5"}, {"5:0"}, {"-1:5"}, {"5:5", "5:6"}, {"9:5", "5:6"}, {"5:5:5"}, {":"}} {
		r := Default()
		r.Data, r.Replanned = "folder:x", bad
		err := r.Resolve(Host{Threads: 1, Engine: "gift"})
		errstest.Want(t, err, errs.ErrUsage, "replanned", "STEP:EPOCHS")
	}
}

// What is built into a checkpoint's tensors is told from what may change.
func TestReshaped(t *testing.T) {
	is, was := Default(), Default()
	is.K, is.TauT, is.LogEvery, is.Epochs = 8, 0.05, 3, 7
	if got := is.Reshaped(&was).Text("was"); got != "K is 8, was 4096" {
		t.Errorf("reshaped: %s", got)
	}
	if got := is.Changed(&was).Text("was"); got != "tau_t is 0.05, was 0.04; K is 8, was 4096" && got != "K is 8, was 4096; tau_t is 0.05, was 0.04" {
		t.Errorf("changed: %s", got)
	}
	for _, c := range []struct{ from, to, want string }{
		{"sgd 0.9", "sgd 0.5", ""},
		{"sgd 0.9", "lars 0.9", ""},
		{"sgd 0.9", "sgd 0", "momentum is 0, was 0.9"},
		{"sgd 0", "adamw 0", "optimizer is adamw, was sgd"},
		{"adamw 0.9", "adamw 0", ""},
	} {
		is, was := Default(), Default()
		fmt.Sscan(c.from, &was.Optimizer, &was.Momentum)
		fmt.Sscan(c.to, &is.Optimizer, &is.Momentum)
		if got := is.Reshaped(&was).Text("was"); got != c.want {
			t.Errorf("%s → %s: %q, want %q", c.from, c.to, got, c.want)
		}
	}
	for _, key := range slices.Concat(harmless, shaping, planning) {
		if !slices.Contains(keys(), key) {
			t.Errorf("there is no key %s", key)
		}
	}
}

// TestSameStep: what a step costs is told from what it is trained with.
func TestSameStep(t *testing.T) {
	for key, set := range map[string]func(*Recipe){
		"width": func(r *Recipe) { r.Width++ }, "image_size": func(r *Recipe) { r.ImageSize++ }, "device": func(r *Recipe) { r.Device = "cuda:1" },
		"batch_size": func(r *Recipe) { r.BatchSize++ }, "precision": func(r *Recipe) { r.Precision = "bf16" }, "policy": func(r *Recipe) { r.Policy = "other" },
	} {
		is, was := Default(), Default()
		is.Seed, is.BaseLR, is.Epochs, is.TauT, is.Name = 7, 3, 9, 0.05, "another"
		if !is.SameStep(&was) {
			t.Fatal("seed, lr, epochs, τ_t and name make a step another")
		}
		if set(&is); is.SameStep(&was) {
			t.Errorf("%s makes no difference", key)
		}
	}
	for _, key := range costly {
		if !slices.Contains(keys(), key) {
			t.Errorf("there is no key %s", key)
		}
	}
}
