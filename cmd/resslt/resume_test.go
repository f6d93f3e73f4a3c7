package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestGoOnLonger: a run that is resumed with more epochs goes on by the schedules of the
// longer run. Two that do so are equal to the bit, as is one that is killed in what was added,
// one that its kept recipe makes from the beginning, and a replay of its record.
func TestGoOnLonger(t *testing.T) {
	needTorch(t)
	needData(t)
	const longer = "epochs=3" // of 10 steps; smoke has two
	first := finished(t)
	o := resslt(t, quick(first, "--resume", "--set", longer)...)
	if o.code != 0 || strings.Count(o.stderr, "the run is now of 3 epochs, it was planned for 2: from step 20 on") != 1 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	want := printed(t, o)
	if want.Steps != 30 || want.Epochs != 3 || want.StudentSHA256 == undisturbed(t).StudentSHA256 {
		t.Fatalf("it did not go on: %+v", want)
	}
	if plain := summaryOf(t, quick(t.TempDir(), "--set", longer)...); plain.StudentSHA256 == want.StudentSHA256 {
		t.Error("the first epochs' schedules were those of the longer run")
	}
	kept := filepath.Join(first, "recipe.yaml")
	if raw, err := os.ReadFile(kept); err != nil || !strings.Contains(string(raw), `"20:2"`) {
		t.Errorf("recipe.yaml does not keep it: %v: %s", err, raw)
	}
	t.Run("again", func(t *testing.T) {
		dir := finished(t)
		sameWeights(t, "longer", summaryOf(t, quick(dir, "--resume", "--set", longer)...), want)
		sameWeights(t, "after its end", summaryOf(t, quick(dir, "--resume")...), want)
	})
	for name, at := range map[string]int{"before a checkpoint": 21, "in what was added": 26} {
		t.Run("killed "+name, func(t *testing.T) {
			dir := finished(t)
			interrupt(t, dir, at, syscall.SIGKILL, quick(dir, "--resume", "--set", longer)...)
			sameWeights(t, "resumed", summaryOf(t, quick(dir, "--resume")...), want)
		})
	}
	t.Run("from its recipe", func(t *testing.T) {
		again := quick(t.TempDir())
		again[2] = kept
		sameWeights(t, "made again", summaryOf(t, again...), want)
	})
	t.Run("replayed", func(t *testing.T) {
		sameWeights(t, "replay", summaryOf(t, "train", "--replay", "log:"+first, "--json", "--out", t.TempDir()), want)
		if o := resslt(t, "record", "verify", first); o.code != 0 {
			t.Errorf("verify: exit %d: %s%s", o.code, o.stdout, o.stderr)
		}
	})
	t.Run("in a farm", func(t *testing.T) {
		url := natsServer(t)
		start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
		dir := t.TempDir()
		session := func(more ...string) []string {
			return append(append([]string{"train", "--nats", url, "--run", "grows", "--lease", "1s"}, quick(dir)[1:]...), more...)
		}
		summaryOf(t, session()...)
		interrupt(t, dir, 24, syscall.SIGTERM, session("--resume", "--set", longer)...)
		sameWeights(t, "in a farm", summaryOf(t, session("--resume")...), want)
		if o := resslt(t, session("--set", "seed=9")...); o.code != 1 || !strings.Contains(o.stderr, "seed is 9, the broker's has 1") {
			t.Errorf("another seed under its name: exit %d: %s", o.code, o.stderr)
		}
	})
}

// TestResumeSaysWhatDiffers: the line has each key with both values, and the part of the data.
func TestResumeSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	needTorch(t)
	dir, out := t.TempDir(), t.TempDir()
	for i := range 20 {
		write(t, filepath.Join(dir, []string{"cat", "dog"}[i%2], string(rune('a'+i))+".jpg"), jpegFile(t, 32, i))
	}
	session := func(more ...string) []string {
		return append([]string{
			"run", "--recipe", "images", "--data", "folder:" + dir, "--out", out, "--set", "image_size=32", "--set", "K=16",
			"--set", "width=8", "--set", "epochs=1", "--set", "batch_size=8", "--json",
		}, more...)
	}
	o := resslt(t, session("--resume")...)
	if o.code != 0 || !strings.Contains(o.stderr, "no checkpoint in "+filepath.Join(out, "checkpoints")+" yet: starting at step 0") {
		t.Fatalf("the first start: exit %d: %s", o.code, o.stderr)
	}
	want := printed(t, o)
	refused := func(what string, says string, more ...string) {
		t.Helper()
		o := resslt(t, session(append(more, "--resume")...)...)
		if o.code != 1 || strings.Count(strings.TrimSpace(o.stderr), "\n") != 0 || !strings.Contains(o.stderr, says) {
			t.Errorf("%s: exit %d, want one line with %q: %s", what, o.code, says, o.stderr)
		}
	}
	refused("another batch", "mismatch: batch_size is 4, the run has 8 (", "--set", "batch_size=4")
	refused("two things", "mismatch: batch_size is 4, the run has 8; seed is 3, the run has", "--set", "seed=3", "--set", "batch_size=4")
	refused("another engine", "mismatch: engine is gift/2", "--set", "engine=gift")
	write(t, filepath.Join(dir, "dog", "z.jpg"), jpegFile(t, 32, 99))
	refused("another image", "mismatch: number of samples is 21, the run has 20; shard dog is 11 samples, the run has 10 samples (")
	if err := os.Remove(filepath.Join(dir, "dog", "z.jpg")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "dog"), filepath.Join(dir, "fox")); err != nil {
		t.Fatal(err)
	}
	refused("another class", "class 1 is fox, the run has dog")
	if err := os.Rename(filepath.Join(dir, "fox"), filepath.Join(dir, "dog")); err != nil {
		t.Fatal(err)
	}
	sameWeights(t, "as it was", summaryOf(t, session("--resume")...), want)
	// The run's own recipe counts, and where the named one differs is said.
	o = resslt(t, "run", "--recipe", "images", "--data", "folder:"+dir, "--out", out, "--resume", "--json")
	if o.code != 0 || !strings.Contains(o.stderr, "keeps its own recipe") || !strings.Contains(o.stderr, "recipe images has") {
		t.Errorf("without --set: exit %d: %s", o.code, o.stderr)
	} else {
		sameWeights(t, "without --set", printed(t, o), want)
	}
}
