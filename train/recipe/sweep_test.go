package recipe_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/recipe"
)

// Every embedded sweep is a table whose cells are valid, distinct recipes.
func TestEveryEmbeddedSweepResolves(t *testing.T) {
	racetest.SkipNumbers(t)
	names := recipe.SweepNames()
	if !slices.Contains(names, "smoke") {
		t.Fatalf("sweeps %v", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			s, err := recipe.LoadSweep(name)
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != name || s.Claim == "" || s.Source == "" || s.Hardware == "" || s.Measured == "" {
				t.Errorf("does not say what it claims: %+v", s)
			}
			ids, seen := map[string]bool{}, map[string]string{}
			for _, c := range s.Cells() {
				r, err := recipe.Load(c.Recipe)
				if err == nil {
					err = r.Set(c.Set...)
				}
				if err == nil {
					err = r.Resolve(host)
				}
				if err != nil {
					t.Errorf("%s: %v", c.ID, err)
					continue
				}
				if ids[c.ID] || schemas.CheckRunName(c.ID) != nil {
					t.Errorf("id %q is used twice or cannot be a name", c.ID)
				}
				ids[c.ID] = true
				if other, ok := seen[string(r.YAML())]; ok {
					t.Errorf("%s is the same run as %s", c.ID, other)
				}
				seen[string(r.YAML())] = c.ID
			}
		})
	}
}

func TestSweepCells(t *testing.T) {
	s, err := recipe.ParseSweep("t.yaml", []byte(`
recipe: cifar10
set: [epochs=3, tau_s=0.5]
seeds: [1, 2]
rows: {title: data, points: [{name: CIFAR-10}, {name: STL-10, recipe: stl10, set: [K=512]}]}
columns: {key: tau_t, values: [0.03, "0.04"]}
paper: [[1, 2.5], [null, 4]]
`))
	if err != nil {
		t.Fatal(err)
	}
	cells := s.Cells("epochs=1")
	if len(cells) != 8 {
		t.Fatalf("%d cells, want 2 × 2 × 2 seeds", len(cells))
	}
	c := cells[7]
	if got := strings.Join(c.Set, " "); got != "epochs=3 tau_s=0.5 epochs=1 K=512 tau_t=0.04 seed=2" {
		t.Errorf("overrides %s", got)
	}
	if c.ID != "r2_STL10-c2_0_04-s2" || c.Recipe != "stl10" || *c.Paper != 4 || *c.Seed != 2 {
		t.Errorf("cell %+v", c)
	}
	if cells[4].Paper != nil || cells[0].Recipe != "cifar10" || s.Name != "t" || s.Columns.Heading() != "tau_t" || s.Rows.Heading() != "data" {
		t.Errorf("cells %+v %+v", cells[0], cells[4])
	}
}

func TestGridSweep(t *testing.T) {
	s, err := recipe.GridSweep("smoke", []string{"m=0.99,0.999", "K=256,512", "knn_k=[20,200],[5]"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, columns := s.RowPoints(), s.ColumnPoints()
	if len(rows) != 4 || len(columns) != 2 || rows[1].Name != "0.99 512" || strings.Join(rows[3].Set, " ") != "m=0.999 K=512" ||
		columns[0].Set[0] != "knn_k=[20,200]" || s.Rows.Heading() != "m K" || s.Columns.Heading() != "knn_k" {
		t.Errorf("rows %+v, columns %+v", rows, columns)
	}
	if one, err := recipe.GridSweep("smoke", nil, []uint64{1, 2}); err != nil || len(one.Cells()) != 2 {
		t.Errorf("seeds alone: %v", err)
	}
}

func TestSweepRefusals(t *testing.T) {
	for name, tc := range map[string]struct{ yaml, text string }{
		"unknown key":  {"recipe: smoke\nrow: {}", "row"},
		"no recipe":    {"columns: {key: K, values: [1]}", "recipe"},
		"two recipes":  {"rows: {points: [{name: a, recipe: smoke}]}\ncolumns: {points: [{name: b, recipe: smoke}]}", "column b"},
		"no values":    {"recipe: smoke\nrows: {key: K}", "without values"},
		"key, points":  {"recipe: smoke\nrows: {key: K, values: [1], points: [{name: a}]}", "both"},
		"paper rows":   {"recipe: smoke\npaper: [[1], [2]]", "2 rows, the table 1"},
		"paper width":  {"recipe: smoke\npaper: [[1, 2]]", "2 figures"},
		"paper > 100":  {"recipe: smoke\npaper: [[101]]", "percent"},
		"paper NaN":    {"recipe: smoke\npaper: [[.nan]]", "percent"},
		"metric":       {"recipe: smoke\nmetric: top5", "linear or knn"},
		"seed twice":   {"recipe: smoke\nseeds: [1, 1]", "twice"},
		"two in a row": {"recipe: smoke\n---\nrecipe: smoke", "second document"},
		"half a seed":  {"recipe: smoke\nseeds: [1.5]", "seeds is 1.5, not a whole number"},
		"near a key":   {"recipe: smoke\nrows: {titel: a}", "did you mean title?"},
		"empty":        {"", "recipe"},
	} {
		_, err := recipe.ParseSweep("t.yaml", []byte(tc.yaml))
		if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, g := range []string{"m", "=1", "m=", "m=1,,2"} {
		if _, err := recipe.GridSweep("smoke", []string{g}, nil); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("--grid %s: %v", g, err)
		}
	}
	if _, err := recipe.LoadSweep("table99"); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "smoke") {
		t.Errorf("unknown sweep: %v", err)
	}
}

func TestMeanStd(t *testing.T) {
	if m, s := recipe.MeanStd([]float64{1, 2, 3}); m != 2 || s != 1 {
		t.Errorf("%g ± %g", m, s)
	}
	if m, s := recipe.MeanStd([]float64{7}); m != 7 || s != 0 {
		t.Errorf("%g ± %g", m, s)
	}
}
