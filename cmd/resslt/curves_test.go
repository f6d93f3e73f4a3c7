package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"resslt/cmd/internal/knnprobe"
)

// TestKNNWhileTraining: the probe changes no bit of the weights, scores every
// epoch once, also over a kill and a resumption, and shows in TensorBoard.
func TestKNNWhileTraining(t *testing.T) {
	needTorch(t)
	needData(t)
	plain := undisturbed(t)

	dir := t.TempDir()
	probed := append(quick(dir), "--set", "knn_every=1")
	sameWeights(t, "with the probe", summaryOf(t, probed...), plain)
	lines, err := knnprobe.Read(dir)
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d scores for 2 epochs, %v", len(lines), err)
	}
	for i, l := range lines {
		if l.Epoch != int64(i+1) || l.Step != 10*l.Epoch || len(l.KNN) != 2 || l.KNN["k20"] < 20 || l.KNN["k20"] > 100 {
			t.Errorf("score %d: %+v", i, l)
		}
	}
	if tags := events(t, dir); !bytes.Contains(tags, []byte("knn/top1_k20")) || !bytes.Contains(tags, []byte("collapse/embedding_std")) {
		t.Error("TensorBoard's events lack kNN or the collapse watch")
	}
	if _, err := os.Stat(filepath.Join(dir, ".knn")); err == nil {
		t.Error("the probe left its folder behind")
	}

	dir = t.TempDir()
	stopAt(t, dir, 13, syscall.SIGKILL)
	sameWeights(t, "resumed with the probe", summaryOf(t, append(quick(dir, "--resume"), "--set", "knn_every=1")...), plain)
	if lines, err = knnprobe.Read(dir); err != nil || len(lines) == 0 || lines[len(lines)-1].Step != 20 {
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
