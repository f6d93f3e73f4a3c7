package recipe_test

import (
	"slices"
	"testing"

	"resslt/train/recipe"
)

func TestProbesAfter(t *testing.T) {
	r := recipe.Default()
	r.KNNEvery, r.LinearEvery = 2, 3
	for epoch, want := range [][]string{nil, nil, {"knn"}, {"linear"}, {"knn"}, nil, {"knn", "linear"}} {
		if got := r.ProbesAfter(int64(epoch)); !slices.Equal(got, want) {
			t.Errorf("after epoch %d: %v, want %v", epoch, got, want)
		}
	}
}

func TestStopRule(t *testing.T) {
	r := recipe.Default()
	if _, some, err := r.StopRule(); some || err != nil {
		t.Errorf("by default: %v, %v", some, err)
	}
	r.StopOn = "linear:3:0.25"
	if rule, some, err := r.StopRule(); rule != (recipe.StopRule{Probe: "linear", Scores: 3, Gain: 0.25}) || !some || err != nil {
		t.Errorf("%+v, %v, %v", rule, some, err)
	}
}
