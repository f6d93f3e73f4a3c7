package train

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
)

// TestFiguresAreStats: what JSON keeps of statistics are those that the objective has, in
// order of the struct, and they come back; the list for those who show them is the same.
func TestFiguresAreStats(t *testing.T) {
	s := statsOf(2, Figures{})
	for i, v := range s.Fields() {
		if !math.IsNaN(*v) {
			t.Errorf("statistic %d is %v without a figure", i, *v)
		}
	}
	s.InfoNCE, s.Agreement = 1.5, 0
	raw, err := json.Marshal(MetricsLine{Step: 3, Loss: s.Loss, Figures: s.Figures()})
	if want := `{"step":3,"epoch":0,"loss":2,"infonce":1.5,"agreement":0,"alpha":0,`; err != nil || string(raw[:len(want)]) != want {
		t.Errorf("%s, %v; want %s…", raw, err, want)
	}
	var keys []string
	for _, shown := range s.Shown() {
		keys = append(keys, shown.Key)
	}
	if !slices.Equal(keys, []string{"infonce", "agreement"}) {
		t.Errorf("shown are %v", keys)
	}
	if again := statsOf(2, s.Figures()); again.InfoNCE != 1.5 || again.Agreement != 0 || !math.IsNaN(again.Relation) {
		t.Errorf("%+v comes back as %+v", s, again)
	}
}
