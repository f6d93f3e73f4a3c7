package session

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"resslt/train"
	"resslt/train/torch/torchtest"
)

// TestRateBefore: the time is estimated by a neighbour whose steps cost the same, and by no other.
func TestRateBefore(t *testing.T) {
	torchtest.Require(t)
	data := images(t)
	for name, c := range map[string]struct {
		set     []string // of the neighbour, beside what the plan has
		summary train.Summary
		counts  bool
	}{
		"the same":          {counts: true},
		"another seed":      {set: []string{"seed=9", "base_lr=1", "epochs=2"}, counts: true},
		"another width":     {set: []string{"width=16"}},
		"another size":      {set: []string{"image_size=16", "upscale=true"}},
		"another batch":     {set: []string{"batch_size=4"}},
		"another precision": {set: []string{"precision=bf16"}},
		"another method":    {set: []string{"objective=byol"}},
		"another machine":   {summary: train.Summary{Hardware: "elsewhere"}},
		"no batches made":   {summary: train.Summary{EngineTier: "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p, err := MakePlan(t.Context(), smoke(t, data, filepath.Join(dir, "new")))
			if err != nil {
				t.Fatal(err)
			}
			o := smoke(t, data, filepath.Join(dir, "old"))
			o.Set = append(o.Set, c.set...)
			old, err := MakePlan(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			s := c.summary
			s.ImagesPerSecond = 123
			if s.Hardware == "" {
				s.Hardware = hardware(old.Recipe.Device)
			}
			switch s.EngineTier {
			case "":
				s.EngineTier = "avx2"
			case "none":
				s.EngineTier = ""
			}
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(old.Out, 0o755); err != nil {
				t.Fatal(err)
			}
			for file, body := range map[string][]byte{"summary.json": raw, recipeFile: old.Recipe.YAML()} {
				if err := os.WriteFile(filepath.Join(old.Out, file), body, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := "0 "
			if c.counts {
				want = "123 " + old.Out
			}
			rate, by := p.rateBefore()
			if got := fmt.Sprintf("%.0f %s", rate, by); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}
