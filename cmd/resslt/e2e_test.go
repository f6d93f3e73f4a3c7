package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/augment"
	"resslt/train"
)

func TestSmokeRunIsWholeAndRepeatable(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	a := summaryOf(t, "run", "--recipe", "smoke", "--json", "--out", dir)
	if a.Steps != 20 || a.BatchSize != 64 || a.Images != 60000 || a.Threads < 1 || a.TorchVersion == "" || len(a.StudentSHA256) != 64 {
		t.Errorf("summary is not of the recipe: %+v", a)
	}
	if a.CPUKernels == "" || a.BLAS == "" || a.EngineTier != augment.Kernels(augment.DefaultEngine()) {
		t.Errorf("kernels %+v, engine tier %q", a.Kernels, a.EngineTier)
	}
	if a.ChunksPublished != 20 || a.DigestMismatches != 0 || a.ChunksTombstoned != 0 {
		t.Errorf("transport: %d chunks, %d mismatches, %d tombstones; want 20, 0, 0", a.ChunksPublished, a.DigestMismatches, a.ChunksTombstoned)
	}
	for name, v := range map[string]*float64{"knn": a.KNNTop1, "knn untrained": a.KNNTop1Untrained, "linear": a.LinearTop1} {
		if v == nil || *v < 20 || *v > 100 {
			t.Errorf("%s top-1 is %v: worse than twice chance, or not there", name, v)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file train.Summary
	if err := json.Unmarshal(raw, &file); err != nil || file.StudentSHA256 != a.StudentSHA256 {
		t.Errorf("summary.json is not what was printed: %v", err)
	}
	// Into the same folder again, with one worker where the undisturbed run has as many as
	// cores: equal weights, and the first run's files set aside.
	b := summaryOf(t, quick(dir, "--workers", "1")...)
	sameWeights(t, "one worker", b, undisturbed(t))
	if _, err := os.Stat(filepath.Join(dir, "previous-1", "summary.json")); err != nil {
		t.Errorf("the first run's summary is lost: %v", err)
	}
	c := summaryOf(t, quick(t.TempDir(), "--workers", "4")...)
	sameWeights(t, "four workers", c, undisturbed(t))
	d := summaryOf(t, quick(t.TempDir(), "--set", "seed=2")...)
	if d.StudentSHA256 == c.StudentSHA256 {
		t.Error("another seed gives the same weights")
	}
}

func TestStopAndResume(t *testing.T) {
	needTorch(t)
	needData(t)
	whole := undisturbed(t)

	t.Run("SIGINT in mid-epoch", func(t *testing.T) {
		dir := t.TempDir()
		o := stopAt(t, dir, 7, syscall.SIGINT)
		if o.code != 130 || !strings.Contains(o.stderr, "checkpoint written") {
			t.Fatalf("exit %d, want 130 after a checkpoint: %s", o.code, o.stderr)
		}
		resumed := summaryOf(t, quick(dir, "--resume")...)
		sameWeights(t, "resumed", resumed, whole)
		if resumed.ChunksPublished != whole.ChunksPublished {
			t.Errorf("%d chunks of the whole run, want %d", resumed.ChunksPublished, whole.ChunksPublished)
		}
	})
	t.Run("SIGKILL", func(t *testing.T) {
		dir := t.TempDir()
		if o := stopAt(t, dir, 13, syscall.SIGKILL); o.code != -1 {
			t.Fatalf("exit %d, want a killed process: %s", o.code, o.stderr)
		}
		sameWeights(t, "resumed", summaryOf(t, quick(dir, "--resume", "--workers", "3")...), whole)
		lines, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
		if err != nil || bytes.Count(lines, []byte("\n")) != 20 {
			t.Errorf("metrics.jsonl has %d lines for 20 steps (%v)", bytes.Count(lines, []byte("\n")), err)
		}
	})
	t.Run("damaged newest checkpoint", func(t *testing.T) {
		dir := t.TempDir()
		stopAt(t, dir, 12, syscall.SIGINT)
		files, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*.safetensors"))
		if err != nil || len(files) < 2 {
			t.Fatalf("checkpoints: %v, %v", files, err)
		}
		newest := files[len(files)-1]
		raw, err := os.ReadFile(newest)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(newest, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		o := resslt(t, quick(dir, "--resume")...)
		if o.code != 0 || !strings.Contains(o.stderr, "passing over") {
			t.Fatalf("exit %d: %s", o.code, o.stderr)
		}
		sameWeights(t, "resumed from the older", printed(t, o), whole)
	})
	t.Run("after the end", func(t *testing.T) {
		// Nothing is left to train; evaluation, say, is made again.
		sameWeights(t, "resumed", summaryOf(t, quick(finished(t), "--resume")...), whole)
	})
	t.Run("other batches", func(t *testing.T) {
		dir := t.TempDir()
		stopAt(t, dir, 6, syscall.SIGINT)
		o := resslt(t, quick(dir, "--resume", "--set", "seed=9")...)
		if o.code != 1 || !strings.Contains(o.stderr, "mismatch") {
			t.Errorf("exit %d: %s", o.code, o.stderr)
		}
	})
}

// A start that fails must not touch an earlier run, and two runs must not share
// a folder.
func TestFolderIsGuarded(t *testing.T) {
	needTorch(t)
	needData(t)
	dir := finished(t)
	for _, bad := range [][]string{
		append([]string{"train", "--nats", "nats://127.0.0.1:1"}, quick(dir)[1:]...),
		quick(dir, "--set", "width=1000000"),
		quick(dir, "--set", "backbone=vgg"),
		quick(dir, "--set", "device=cuda:7"),
		quick(dir, "--data", "folder:"+dir+"/none"),
	} {
		o := resslt(t, bad...)
		// One line is the error; what is above it says what the data is.
		lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
		if last := lines[len(lines)-1]; o.code == 0 || len(lines) > 2 || !strings.HasPrefix(last, "resslt: ") || len(o.stderr) > 500 {
			t.Errorf("%v: exit %d, want one short line: %s", bad, o.code, o.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "summary.json")); err != nil {
		t.Errorf("a failed start moved the finished run: %v", err)
	}
	c := command(t, "resslt", quick(dir)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "previous-1")); err == nil {
			break
		}
	}
	if o := resslt(t, quick(dir)...); o.code != 2 || !strings.Contains(o.stderr, "another run") {
		t.Errorf("second run in one folder: exit %d: %s", o.code, o.stderr)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// A broker, two workers and a trainer as processes of their own end with the
// weights of `resslt run`, also when a worker is killed on the way.
func TestFarmGivesTheWeightsOfRun(t *testing.T) {
	alsoUnderRace(t)
	needTorch(t)
	needData(t)
	url := natsServer(t)
	whole := undisturbed(t)

	victim := start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
	start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))

	dir := t.TempDir()
	args := append([]string{"train", "--nats", url, "--run", "farm", "--audit", "1"}, quick(dir)[1:]...)
	c := start(t, command(t, "resslt", args...))
	afterSteps(t, dir, 3)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	o := c.end()
	if o.code != 0 {
		t.Fatalf("resslt train: exit %d\n%s", o.code, o.stderr)
	}
	sameWeights(t, "farm", printed(t, o), whole)
	var audited int
	if before, _, ok := strings.Cut(o.stderr, " chunks were made again here"); ok {
		_, _ = fmt.Sscan(before[strings.LastIndexAny(before, "\r\n")+1:], &audited) // 0 fails
	}
	if audited < 20 { // more, where a chunk came twice
		t.Errorf("the audit made %d chunks again: %s", audited, o.stderr)
	}
}
