package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/augment"
	"resslt/train/eval"
	"resslt/train/paper"
	"resslt/train/recipe"
)

// TestPaper lists the tables with a run and a sweep in a folder: a figure stands beside the
// paper's only where recipe, epochs, protocol and overrides are the paper's.
func TestPaper(t *testing.T) {
	dir := t.TempDir()
	scored := func(name, sum string, epochs int, value float64, paper *eval.Figure) {
		r, err := recipe.Load("cifar10")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "recipe.yaml"), r.YAML())
		e := eval.Encoder{Backbone: "resnet18", Width: 64, Recipe: "cifar10", Objective: "ressl", Epochs: epochs, SHA256: sum}
		if err := eval.Append(filepath.Join(dir, name), eval.Result{
			Protocol: "linear", Data: "cifar10", Encoder: e, Settings: map[string]any{},
			Scores: []eval.Score{{Name: "top1", Label: "top-1", Value: value, Paper: paper}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	figure := &eval.Figure{Value: 90.76, Source: "Table 1"}
	scored("a", "aa", 200, 89, figure)
	scored("a", "aa", 200, 90, figure) // scored again: the last counts
	scored("b", "bb", 200, 91, figure)
	scored("short", "cc", 4, 50, figure)
	scored("unlike", "dd", 200, 10, nil)

	s, err := recipe.LoadSweep("table6")
	if err != nil {
		t.Fatal(err)
	}
	cell := s.Cells()[0]
	value := 88.5
	book := sweepFile{Name: "table6", Metric: "linear"}
	for i, set := range [][]string{{"seed=2"}, {"threads=1"}, {"epochs=3"}} {
		book.Cells = append(book.Cells, &sweepResult{
			ID: cell.ID, Row: s.RowPoints()[0].Name, Column: s.ColumnPoints()[0].Name, Recipe: cell.Recipe,
			Set: append(append([]string{}, cell.Set...), set...), Done: true, LinearTop1: &value, StudentSHA256: string(rune('a' + i)),
		})
	}
	raw, err := json.Marshal(book)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sweep-table6", "sweep.json"), raw)

	tables := paperStates(t, "--runs", dir)
	if len(tables) != len(paper.Tables()) {
		t.Fatalf("%d tables", len(tables))
	}
	claim := tables[0].Rows[len(tables[0].Rows)-1]
	if f := claim.Figures[0]; claim.State != rowMeasured || f.N != 2 || *f.Ours != 90.5 || *f.Paper != 90.76 {
		t.Errorf("Table 1's claim: %+v %+v", claim, f)
	}
	queue := tables[5].Rows
	if f := queue[0].Figures[0]; queue[0].State != rowMeasured || f.N != 2 || *f.Ours != 88.5 || *f.Paper != 89.52 {
		t.Errorf("Table 6's first cell: %+v %+v", queue[0], f)
	}
	if tables[5].count(rowMeasured) != 1 || tables[5].count(rowReady) != len(queue)-1 {
		t.Errorf("Table 6: %d measured, %d ready", tables[5].count(rowMeasured), tables[5].count(rowReady))
	}
	for _, table := range tables {
		for _, r := range table.Rows {
			if r.State == rowReady && (r.Start == "" || r.Needs == "") || r.State == rowNone && r.Start != "" {
				t.Errorf("Table %d, %s is %s, starts with %q, needs %q", table.Table, r.Method, r.State, r.Start, r.Needs)
			}
		}
	}
	if got := resslt(t, "paper", "--runs", dir).stdout; strings.Count(got, "\n") != 1+len(tables) || !strings.Contains(got, "resslt sweep --file table1") {
		t.Errorf("paper prints\n%s", got)
	}
	for number, want := range map[string]string{"1": "90.50 ± 0.71 (n 2)", "6": "89.52 / 88.50 ± 0.00 (n 2)", "7": "ReSSL (1 crop)", "9": "Caltech101"} {
		if got := resslt(t, "paper", number, "--runs", dir).stdout; !strings.Contains(got, want) {
			t.Errorf("paper %s has no %q:\n%s", number, want, got)
		}
	}
}

// paperStates is what `resslt paper --json` prints.
func paperStates(t *testing.T, args ...string) (tables []tableState) {
	t.Helper()
	o := resslt(t, append([]string{"paper", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(o.stdout), &tables); err != nil {
		t.Fatalf("%v: exit %d: %s", err, o.code, o.stderr)
	}
	return tables
}

// TestPaperRefuses: what is not a table or a folder is named.
func TestPaperRefuses(t *testing.T) {
	for _, args := range [][]string{{"15"}, {"0"}, {"seven"}, {"7", "8"}, {"--runs", "nothing-here"}} {
		if o := resslt(t, append([]string{"paper"}, args...)...); o.code == 0 || !strings.Contains(o.stderr, args[0]) && len(args) == 1 {
			t.Errorf("%q: exit %d: %s", args, o.code, o.stderr)
		}
	}
}

// TestPaperOurs: without runs nothing is measured.
func TestPaperOurs(t *testing.T) {
	if _, err := os.Stat("runs"); err == nil {
		t.Skip("this folder has runs")
	}
	for _, table := range paperStates(t) {
		if n := table.count(rowMeasured, rowRunning); n > 0 {
			t.Errorf("Table %d: %d rows measured without runs", table.Table, n)
		}
	}
}

// TestPaperPolicies: the policy that a row names has views that its objective takes.
func TestPaperPolicies(t *testing.T) {
	rows := 0
	for _, table := range paper.Tables() {
		for _, row := range table.Rows {
			if row.Policy == "" {
				continue
			}
			rows++
			p, err := augment.Preset(row.Policy)
			if err != nil {
				t.Errorf("table %d, %s: %v", table.Number, row.Method, err)
				continue
			}
			if _, student, err := recipe.Sides(row.Objective, 0, p.ViewSpecs()); err != nil || len(student) <= 2 {
				t.Errorf("table %d, %s: the student of objective %s sees views %v of policy %s: %v", table.Number, row.Method, row.Objective, student, row.Policy, err)
			}
		}
	}
	if rows == 0 {
		t.Error("no row names a policy")
	}
}
