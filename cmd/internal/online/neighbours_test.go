package online

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/recipe"
)

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
		if err := p.keepNeighbours(&Scores{Step: step, Epoch: step / 10}, near); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.keepNeighbours(&Scores{Step: 40}, near); err != nil {
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
