package knnprobe

import (
	"os"
	"path/filepath"
	"testing"

	"resslt/train/recipe"
)

// Scores of steps that are trained again are dropped, and so is the half line of a process
// that was killed.
func TestProbeDropsWhatIsTrainedAgain(t *testing.T) {
	dir := t.TempDir()
	if lines, err := Read(dir); len(lines) != 0 || err != nil {
		t.Fatalf("of nothing: %v, %v", lines, err)
	}
	const text = `{"step":10,"epoch":1,"knn_top1":{"k20":50},"seconds":1}
{"step":20,"epoch":2,"knn_top1":{"k20":60},"seconds":1}
{"step":30,"epo`
	if err := os.WriteFile(filepath.Join(dir, File), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if lines, err := Read(dir); len(lines) != 2 || err != nil || lines[1].KNN["k20"] != 60 {
		t.Fatalf("%+v, %v", lines, err)
	}
	r := recipe.Default()
	p, err := Start(t.Context(), Options{Recipe: &r, Out: dir, From: 15, Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if lines, err := Read(dir); len(lines) != 1 || err != nil || lines[0].Step != 10 {
		t.Errorf("resumed at step 15: %+v, %v", lines, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".knn")); err == nil {
		t.Error("it left its folder behind")
	}
}
