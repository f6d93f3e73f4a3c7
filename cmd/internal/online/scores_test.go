package online

import (
	"os"
	"path/filepath"
	"testing"

	"resslt/train/recipe"
)

const (
	knnText = `{"step":10,"epoch":1,"knn_top1":{"k20":50,"k200":40},"seconds":1}
{"step":20,"epoch":2,"knn_top1":{"k20":60},"seconds":1,"cpu_seconds":2}
{"step":30,"epo`
	linearText = `{"step":20,"epoch":2,"linear_top1":70,"linear_top5":90,"seconds":3,"cpu_seconds":5}
{"step":25,"epoch":3,"linear_top1":71,"seconds":3}
`
)

func written(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{KNNFile: knnText, LinearFile: linearText} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The scores of one step are one, whichever file they are in; the half line of a process that was
// killed is none.
func TestRead(t *testing.T) {
	if scores, err := Read(t.TempDir()); len(scores) != 0 || err != nil {
		t.Fatalf("of nothing: %v, %v", scores, err)
	}
	scores, err := Read(written(t))
	if err != nil || len(scores) != 3 {
		t.Fatalf("%+v, %v", scores, err)
	}
	if s := scores[1]; s.Step != 20 || s.KNN["k20"] != 60 || *s.LinearTop1 != 70 || *s.LinearTop5 != 90 || s.Seconds != 4 || s.CPUSeconds != 7 {
		t.Errorf("step 20: %+v", s)
	}
	if got, want := scores[1].String(), "after epoch 2: kNN top-1 k20 60.00 %, linear top-1 70.00 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var tags []string
	for _, v := range append(scores[0].Scalars(), scores[1].Scalars()...) {
		tags = append(tags, v.Tag)
	}
	if len(tags) != 5 || tags[0] != "knn/top1_k20" || tags[1] != "knn/top1_k200" || tags[3] != "linear/top1" || tags[4] != "linear/top5" {
		t.Errorf("tags %v", tags)
	}
}

// Scores of steps that are trained again are dropped, and those of a step that is scored again
// are replaced.
func TestEvaluatorDropsWhatIsTrainedAgain(t *testing.T) {
	dir := written(t)
	r := recipe.Default()
	e, err := Start(t.Context(), Options{Recipe: &r, Out: dir, From: 20, Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	scores, err := Read(dir)
	if err != nil || len(scores) != 2 || scores[1].Step != 20 || scores[1].LinearTop1 == nil {
		t.Errorf("resumed at step 20: %+v, %v", scores, err)
	}
	if _, err := os.Stat(e.work); err == nil {
		t.Error("it left its folder behind")
	}
	if err := add(dir, KNNFile, Scores{Step: 20, Epoch: 2, KNN: map[string]float64{"k20": 61}}); err != nil {
		t.Fatal(err)
	}
	if scores, err = Read(dir); err != nil || len(scores) != 2 || scores[1].KNN["k20"] != 61 {
		t.Errorf("scored again: %+v, %v", scores, err)
	}
}

// A run whose length depends on its scores has them computed by its own number of threads.
func TestThreads(t *testing.T) {
	r := recipe.Default()
	r.Threads = 77
	e := &Evaluator{Options: Options{Recipe: &r}}
	if n := e.threads(); n != 1 {
		t.Errorf("%d threads where the training has all cores", n)
	}
	r.StopOn = "knn:5"
	if n := e.threads(); n != 77 {
		t.Errorf("%d threads, want the training's", n)
	}
}
