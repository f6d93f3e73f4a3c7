package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"resslt/cmd/internal/online"
	"resslt/train/recipe"
)

// stops is a run of six epochs of ten steps that ends after the second: no score is 99 points
// above the one before.
func stops(out string, more ...string) []string {
	return quick(out, append([]string{"--set", "epochs=6", "--set", "knn_every=1", "--set", "stop_on=knn:1:99"}, more...)...)
}

// TestStopOn: a run that a score ends is a run of so many epochs, however it was interrupted, and
// whoever makes it again.
func TestStopOn(t *testing.T) {
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	o := resslt(t, stops(dir)...)
	if o.code != 0 || !strings.Contains(o.stderr, "knn:1:99 has ended the run after epoch 2 of 6") {
		t.Fatalf("exit %d\n%s", o.code, o.stderr)
	}
	whole := printed(t, o)
	if whole.Steps != 20 || whole.Epochs != 2 || whole.ChunksPublished == 0 || !whole.Stopping.Ended() || whole.Stopping.PlannedEpochs != 6 {
		t.Fatalf("%d steps, %d epochs, %+v", whole.Steps, whole.Epochs, whole.Stopping)
	}
	r, err := recipe.Load(filepath.Join(dir, "recipe.yaml"))
	if err != nil || r.Epochs != 2 || r.StopOn != "" || !slices.Equal(r.Replanned, []string{"20:6"}) {
		t.Errorf("recipe.yaml has epochs %d, stop_on %q, replanned %v, %v", r.Epochs, r.StopOn, r.Replanned, err)
	}
	if o := resslt(t, "record", "verify", dir, "--remake", "7"); o.code != 0 {
		t.Errorf("record verify: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	t.Run("again by the same command", func(t *testing.T) {
		again := summaryOf(t, stops(dir, "--resume")...)
		sameWeights(t, "resumed where it has ended", again, whole)
		if again.Steps != 20 || !again.Stopping.Ended() {
			t.Errorf("%d steps, %+v", again.Steps, again.Stopping)
		}
	})
	t.Run("killed", func(t *testing.T) {
		out := t.TempDir()
		interrupt(t, out, 13, syscall.SIGKILL, stops(out)...)
		got := summaryOf(t, stops(out, "--resume")...)
		sameWeights(t, "killed and resumed", got, whole)
		if *got.Stopping != *whole.Stopping {
			t.Errorf("%+v, want %+v", got.Stopping, whole.Stopping)
		}
		if scores, err := online.Read(out); err != nil || len(scores) != 2 {
			t.Errorf("%d scores, %v", len(scores), err)
		}
	})
}

// TestStopOnRefused: a run whose length would depend on scores that there cannot be does not
// begin; one that would only show them says so once.
func TestStopOnRefused(t *testing.T) {
	needTorch(t)
	dir, data := t.TempDir(), labelledTar(t, 5)
	run := func(out string, more ...string) outcome {
		return resslt(t, append([]string{
			"run", "--recipe", "smoke", "--data", data, "--out", filepath.Join(dir, out), "--set", "eval_split=train", "--set", "eval=[none]",
			"--set", "epochs=1", "--set", "batch_size=8", "--set", "K=16", "--set", "steps_per_epoch=2", "--set", "knn_every=1", "--set", "image_size=32",
		}, more...)...)
	}
	if o := run("refused", "--set", "stop_on=knn:2"); o.code != 2 || !strings.Contains(o.stderr, "no labels for 1 of its 24 images") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "refused", "recipe.yaml")); err == nil {
		t.Error("a run that is refused has begun")
	}
	if o := run("shown"); o.code != 0 || strings.Count(o.stderr, "no scores while training") != 1 {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}
