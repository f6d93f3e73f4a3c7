package knnprobe

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/errs"
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

// Neighbours are kept beside their scores, those of steps that are trained again dropped, and what
// is no such file is told from one that is damaged.
func TestNeighboursAreKept(t *testing.T) {
	dir, r := t.TempDir(), recipe.Default()
	p, err := Start(t.Context(), Options{Recipe: &r, Out: dir, Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	near := filepath.Join(p.work, "neighbours.json")
	for _, step := range []int64{10, 20, 30} {
		if err := os.WriteFile(near, []byte(`[{"query":{"id":7,"class":1,"name":"frog","png":"iVA="},"near":[{"id":8,"class":2,"cosine":0.5}]}]`), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := p.keepNeighbours(&Line{Step: step, Epoch: step / 10}, near); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.keepNeighbours(&Line{Step: 40}, near); err != nil {
		t.Errorf("of a score without neighbours: %v", err)
	}
	p.Close()
	if n, err := ReadNeighbours(dir, 20); err != nil || n.Epoch != 2 || n.Rows[0].Query.Name != "frog" || n.Rows[0].Near[0].Cosine != 0.5 {
		t.Errorf("%+v, %v", n, err)
	}
	if p, err = Start(t.Context(), Options{Recipe: &r, Out: dir, From: 20, Warn: func(err error) { t.Error(err) }}); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if steps, err := NeighbourSteps(dir); err != nil || len(steps) != 2 || steps[1] != 20 {
		t.Errorf("resumed at step 20: %v, %v", steps, err)
	}
	if _, err := ReadNeighbours(dir, 30); !errors.Is(err, errs.ErrNotFound) {
		t.Error(err)
	}
	if err := os.WriteFile(neighboursFile(dir, 20), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadNeighbours(dir, 20); !errors.Is(err, errs.ErrCorrupt) {
		t.Error(err)
	}
}
