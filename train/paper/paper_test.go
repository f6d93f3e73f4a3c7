package paper_test

import (
	"slices"
	"strings"
	"testing"

	"resslt/train/objective"
	"resslt/train/paper"
	"resslt/train/recipe"
)

// TestTables reads the file: fourteen tables in order, each row's recipe, objective and sweep
// among the project's, each figure a percentage.
func TestTables(t *testing.T) {
	tables := paper.Tables()
	if len(tables) != 14 {
		t.Fatalf("%d tables", len(tables))
	}
	figures := 0
	for i, table := range tables {
		if table.Number != i+1 || table.Title == "" || len(table.Rows) == 0 && table.Sweep == "" {
			t.Errorf("table %d is %+v", i+1, table)
		}
		for _, sweep := range []string{table.Sweep, table.OnCPU} {
			if sweep != "" && !slices.Contains(recipe.SweepNames(), sweep) {
				t.Errorf("table %d: sweep %s", table.Number, sweep)
			}
		}
		for _, row := range table.Rows {
			if row.Recipe != "" && row.Recipe != paper.ResNet50 && !slices.Contains(recipe.Names(), row.Recipe) {
				t.Errorf("table %d, %s: recipe %s", table.Number, row.Method, row.Recipe)
			}
			if row.Objective != "" && !slices.Contains(recipe.Objectives(), row.Objective) {
				t.Errorf("table %d, %s: objective %s", table.Number, row.Method, row.Objective)
			}
			if m, err := objective.MethodOf(row.Objective); row.Objective != "" && (err != nil || m.Parts().Frozen != (row.Teacher != "")) {
				t.Errorf("table %d, %s: objective %s and teacher %q", table.Number, row.Method, row.Objective, row.Teacher)
			}
			if f, found := paper.Find(paper.Wanted{Protocol: table.Protocol, Data: table.Data, Score: "top1", Objective: row.Objective, Backbone: row.Backbone}); row.Alone() && found && strings.HasSuffix(f.Source, ", "+row.Method) {
				t.Errorf("table %d, %s: its figure is found for any encoder of the objective", table.Number, row.Method)
			}
			for _, f := range row.Figures {
				if f != nil && (*f <= 0 || *f >= 100) {
					t.Errorf("table %d, %s: %g", table.Number, row.Method, *f)
				}
				if f != nil {
					figures++
				}
			}
		}
	}
	if figures < 250 {
		t.Errorf("%d figures", figures)
	}
}

// TestEachRecipeClaimsOneRow: no recipe trains two rows of one table.
func TestEachRecipeClaimsOneRow(t *testing.T) {
	for _, table := range paper.Tables() {
		for _, name := range recipe.Names() {
			n := 0
			for _, row := range table.Rows {
				if row.Trains(name) {
					n++
				}
			}
			if n > 1 {
				t.Errorf("table %d: recipe %s trains %d rows", table.Number, name, n)
			}
		}
	}
}
