package objective

import (
	"math"
	"strings"
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

func TestWarmUpEnds(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		a, b := torch.FromFloat32([]float32{3}), torch.FromFloat32([]float32{7})
		if got := warmUp(a, nil, Alpha{Value: 1}).Item(); got != 3 {
			t.Errorf("α = 1 gives %v, want the relational loss 3", got)
		}
		if got := warmUp(nil, b, Alpha{}).Item(); got != 7 {
			t.Errorf("α = 0 gives %v, want InfoNCE 7", got)
		}
		if got := warmUp(a, b, Alpha{Value: 0.25}).Item(); got != 6 {
			t.Errorf("α = ¼ gives %v, want 6", got)
		}
		if got := warmUp(a, b, Alpha{Value: 0.25, Tensor: torch.FromFloat32([]float32{0.5, 0.5}, 2)}).Item(); got != 5 {
			t.Errorf("α = ½ on the device gives %v, want 5", got)
		}
	})
}

// TestStatisticsAreShown: every statistic has all that files and curves need, once.
func TestStatisticsAreShown(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Shown() {
		for _, text := range []string{s.Key, s.Tag, s.Chart + "/" + s.Curve} {
			if text == "" || seen[text] {
				t.Errorf("%+v: %q is empty or another's", s, text)
			}
			seen[text] = true
		}
	}
	var s Statistics[float64]
	if fields := s.Fields(); len(fields) != len(Shown()) || fields[0] != &s.Relation {
		t.Errorf("%d fields for %d statistics", len(fields), len(Shown()))
	}
	var lines []string
	for _, s := range Shown() {
		if line := s.Line(0.25); line != "" {
			lines = append(lines, line)
		}
		if line := s.Line(math.NaN()); line != "" {
			t.Errorf("%s: a value that is not there gives %q", s.Key, line)
		}
	}
	if got := strings.Join(lines, " "); got != "std 0.2500 H(p²) 0.25 agree 25% sure 25%" {
		t.Errorf("progress shows %q", got)
	}
}

// TestMoCoV3Layers: its transformers' projector has one more than its ResNets'.
func TestMoCoV3Layers(t *testing.T) {
	for layers, want := range map[int]int{0: 1, 2: 1, 3: 2} {
		p := mocoV3{Options{ProjHidden: 16, PredHidden: 16, Dim: 8, ProjLayers: layers}}.Parts()
		if len(p.Project.Hidden) != want || len(p.Predict.Hidden) != 1 || p.Project.Out != 8 || !p.Project.PlainOut {
			t.Errorf("%d layers: projector %+v, predictor %+v", layers, p.Project, *p.Predict)
		}
	}
}
