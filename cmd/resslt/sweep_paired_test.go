package main

import (
	"slices"
	"testing"

	"resslt/train/recipe"
)

// TestPairedGrid: differences of equal seeds, with Student's interval. Its quantiles are the tables':
// 12.706 for one degree of freedom, 4.303 for two; of 1, 2, 3 the half width is 4.303·1/√3 = 2.484.
func TestPairedGrid(t *testing.T) {
	table := &recipe.Sweep{Name: "t", Recipe: "smoke", Seeds: []uint64{1, 2, 3}, Rows: recipe.Axis{Key: "K", Values: []string{"512", "256", "1024", "128"}}}
	scores := [][]float64{{10, 20, 30}, {11, 22, 33}, {9, 18}, {5}}
	b := &sweepBook{table: table, results: map[string]*sweepResult{}}
	for _, c := range table.Cells() {
		r := &sweepResult{ID: c.ID, Seed: *c.Seed}
		if i := int(*c.Seed) - 1; i < len(scores[c.Row]) {
			r.Done, r.KNNTop1 = true, &scores[c.Row][i]
		}
		b.cells, b.results[c.ID] = append(b.cells, &sweepCell{Cell: c}), r
	}
	got := b.pairedGrid("%.2f", func(r *sweepResult) *float64 { return r.KNNTop1 })
	want := [][]string{{"less 512", ""}, {"256", "+2.00 (-0.48 to 4.48)"}, {"1024", "-1.50 (-7.85 to 4.85)"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := b.pairedGrid("%.2f", func(r *sweepResult) *float64 { return r.LinearTop1 }); got != nil {
		t.Errorf("of scores that there are not: %q", got)
	}
}
