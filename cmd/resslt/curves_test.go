package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"resslt/cmd/internal/online"
)

// TestScoresWhileTraining: the scores change no bit of the weights, are those of every epoch, once,
// also over a kill and a resumption, and show in TensorBoard and on the page.
func TestScoresWhileTraining(t *testing.T) {
	needTorch(t)
	needData(t)
	plain := undisturbed(t)

	dir := t.TempDir()
	every := []string{"--set", "knn_every=1", "--set", "linear_every=2", "--set", "linear_lr=1"}
	// Of 600 images of ten classes chance gives 10 %, with a standard deviation of 1.2: a score
	// above 15 is none of it. How far above depends on the CPU's kernels after so few steps.
	const beyondChance = 15
	sameWeights(t, "with scores", summaryOf(t, quick(dir, every...)...), plain)
	lines, err := online.Read(dir)
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d scores for 2 epochs, %v", len(lines), err)
	}
	for i, l := range lines {
		if l.Epoch != int64(i+1) || l.Step != 10*l.Epoch || len(l.KNN) != 2 || l.KNN["k20"] < beyondChance || l.KNN["k20"] > 100 {
			t.Errorf("score %d: %+v", i, l)
		}
		if linear := l.LinearTop1; (linear != nil) != (l.Epoch == 2) || linear != nil && (*linear < beyondChance || *linear > *l.LinearTop5) || l.CPUSeconds <= 0 {
			line, _ := json.Marshal(l)
			t.Errorf("linear probe of epoch %d: %s", l.Epoch, line)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !bytes.Contains(page, []byte("Linear probe while training")) {
		t.Errorf("the page lacks the linear probe, %v", err)
	}
	if tags := events(t, dir); !bytes.Contains(tags, []byte("knn/top1_k20")) || !bytes.Contains(tags, []byte("linear/top5")) || !bytes.Contains(tags, []byte("collapse/embedding_std")) {
		t.Error("TensorBoard's events lack kNN, the linear probe or the collapse watch")
	}
	if _, err := os.Stat(filepath.Join(dir, ".scoring")); err == nil {
		t.Error("scoring left its folder behind")
	}

	dir = t.TempDir()
	stopAt(t, dir, 13, syscall.SIGKILL)
	sameWeights(t, "resumed with scores", summaryOf(t, quick(dir, append(every, "--resume")...)...), plain)
	if lines, err = online.Read(dir); err != nil || len(lines) == 0 || lines[len(lines)-1].Step != 20 {
		t.Errorf("after resumption: %+v, %v", lines, err)
	}
	if files := eventFiles(t, dir); len(files) != 2 {
		t.Errorf("%d event files of two sessions", len(files))
	}
}

func eventFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "tb", "events.out.tfevents.*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// events are the bytes of all event files.
func events(t *testing.T, dir string) (all []byte) {
	t.Helper()
	for _, f := range eventFiles(t, dir) {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw...)
	}
	return all
}
