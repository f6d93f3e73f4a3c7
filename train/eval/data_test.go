package eval_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/eval"
	"resslt/train/nn/nntest"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// TestAveragePrecision by hand: relevant images at ranks 1, 3 and 6 of 6.
func TestAveragePrecision(t *testing.T) {
	for name, c := range map[string]struct {
		scores      []float64
		targets     []int8
		eleven, all float64
	}{
		"three of six": {
			[]float64{9, 8, 7, 6, 5, 4},
			[]int8{1, -1, 1, -1, -1, 1},
			// Recall ⅓ at precision 1, ⅔ at ⅔, 1 at ½: four, three and four of the
			// eleven recalls.
			100 * (4 + 3*2.0/3 + 4*0.5) / 11, 100 * (1 + 2.0/3 + 0.5) / 3,
		},
		"made monotone":     {[]float64{4, 3, 2, 1}, []int8{-1, 1, 1, 1}, 75, 75},
		"perfect":           {[]float64{2, 1, 0}, []int8{1, 1, -1}, 100, 100},
		"difficult is out":  {[]float64{9, 8, 1}, []int8{0, 1, -1}, 100, 100},
		"equal keep places": {[]float64{1, 1, 1}, []int8{-1, 1, -1}, 50, 50},
	} {
		p := eval.AveragePrecision(c.scores, c.targets)
		if math.Abs(p.ElevenPoint-c.eleven) > 1e-9 || math.Abs(p.AllPoint-c.all) > 1e-9 {
			t.Errorf("%s: 11-point %.4f, all-point %.4f; want %.4f, %.4f", name, p.ElevenPoint, p.AllPoint, c.eleven, c.all)
		}
	}
	if p := eval.AveragePrecision([]float64{1}, []int8{-1}); !math.IsNaN(p.AllPoint) || !math.IsNaN(p.ElevenPoint) {
		t.Errorf("without a relevant image: %v", p)
	}
}

func TestStratified(t *testing.T) {
	labels := make([]int32, 0, 1130)
	for class, n := range []int{1000, 100, 30} {
		labels = append(labels, slices.Repeat([]int32{int32(class)}, n)...)
	}
	rows, err := eval.Stratified(labels, 0.01, 5)
	if err != nil {
		t.Fatal(err)
	}
	count := map[int32]int{}
	for _, r := range rows {
		count[labels[r]]++
	}
	if count[0] != 10 || count[1] != 1 || count[2] != 1 || !slices.IsSorted(rows) {
		t.Errorf("1 %% of 1000, 100 and 30 is %v", count)
	}
	again, _ := eval.Stratified(labels, 0.01, 5)
	other, _ := eval.Stratified(labels, 0.01, 6)
	if !slices.Equal(rows, again) || slices.Equal(rows, other) {
		t.Error("the choice is not that of the seed")
	}
	for _, bad := range []float64{0, 1, math.NaN()} {
		if _, err := eval.Stratified(labels, bad, 5); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("fraction %v gives %v", bad, err)
		}
	}
	if _, err := eval.Stratified([]int32{0, schemas.NoLabel}, 0.5, 5); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("a missing label gives %v", err)
	}
}

func TestHoldOutAndShots(t *testing.T) {
	nntest.Torch(t)
	s := blobs(t, "train", 500, 4, 5)
	rest, held, err := eval.HoldOut(s, 0.2, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rest.Free()
	defer held.Free()
	if rest.Len()+held.Len() != 500 || held.Len() < 98 || held.Len() > 102 {
		t.Errorf("%d rest, %d held", rest.Len(), held.Len())
	}
	several := severalClasses(s, 5)
	rows, err := eval.DrawShots(several, 3, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if several.Target(r, i/3) != 1 {
			t.Errorf("draw %d, row %d does not show class %d", i, r, i/3)
		}
	}
	if other, _ := eval.DrawShots(several, 3, 1, 1); len(rows) != 15 || slices.Equal(rows, other) {
		t.Errorf("%d rows, the same for another draw", len(rows))
	}
	_, err = eval.DrawShots(s, 100, 0, 1)
	if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "class 0") || !strings.Contains(err.Error(), "k is 100") {
		t.Errorf("a class that is too small gives %v", err)
	}
	if _, err := eval.LowShot(t.Context(), s, s, eval.LowShotOptions{K: []int{100}}); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("low-shot gives %v", err)
	}
}

func TestSetFile(t *testing.T) {
	nntest.Torch(t)
	s := severalClasses(blobs(t, "train", 20, 3, 4), 4)
	s.IDs = make([]int64, 20)
	for i := range s.IDs {
		s.IDs[i] = int64(7 * i)
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := s.Write(path, map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	got, err := eval.Read(path, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Free()
	want, _ := s.Rows()
	have, _ := got.Rows()
	if !slices.Equal(have, want) || !slices.Equal(got.Labels, s.Labels) || !slices.Equal(got.IDs, s.IDs) || !slices.Equal(got.Targets, s.Targets) {
		t.Error("the set comes back otherwise")
	}
	for name, tensors := range map[string][]safetensors.Tensor{
		"no labels":      {{Name: "features", DType: safetensors.F32, Shape: []int64{1, 1}, Data: make([]byte, 4)}},
		"two lengths":    {{Name: "features", DType: safetensors.F32, Shape: []int64{1, 1}, Data: make([]byte, 4)}, {Name: "labels", DType: safetensors.I32, Shape: []int64{2}, Data: make([]byte, 8)}},
		"no dimension":   {{Name: "features", DType: safetensors.F32, Shape: []int64{1, 0}, Data: []byte{}}, {Name: "labels", DType: safetensors.I32, Shape: []int64{1}, Data: make([]byte, 4)}},
		"strange target": {{Name: "features", DType: safetensors.F32, Shape: []int64{1, 1}, Data: make([]byte, 4)}, {Name: "labels", DType: safetensors.I32, Shape: []int64{1}, Data: make([]byte, 4)}, {Name: "targets", DType: safetensors.U8, Shape: []int64{1, 1}, Data: []byte{9}}},
	} {
		if err := safetensors.WriteFile(path, tensors, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := eval.Read(path, torch.CPU); !errors.Is(err, errs.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	add := func(seed int, value float64) {
		t.Helper()
		err := eval.Append(dir, eval.Result{
			Protocol: "knn", Data: "cifar10", Settings: map[string]any{"seed": uint64(seed), "k": []int{20}},
			Scores: []eval.Score{{Name: "top1", Value: value}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add(1, 10)
	add(2, 20)
	add(1, 30) // in place of the first
	r, err := eval.ReadReport(dir)
	if err != nil || len(r.Results) != 2 || r.Results[0].Scores[0].Value != 20 || r.Results[1].Scores[0].Value != 30 {
		t.Errorf("%+v, %v", r, err)
	}
	path := filepath.Join(dir, eval.ReportFile)
	for text, want := range map[string]error{"{": errs.ErrCorrupt, `{"version": 9}`: errs.ErrMismatch} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := eval.Append(dir, eval.Result{}); !errors.Is(err, want) {
			t.Errorf("%s gives %v", text, err)
		}
		if raw, _ := os.ReadFile(path); string(raw) != text {
			t.Errorf("%s was overwritten", text)
		}
	}
}
