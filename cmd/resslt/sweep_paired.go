package main

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"resslt/train/recipe"

	"gonum.org/v1/gonum/stat/distuv"
)

// confidence of the intervals, percent.
const confidence = 95

// pairedGrid is the table of differences to the first row's cell of the same column and seed, as
// text: mean, and the interval that it is in with a confidence of 95 %, by Student's t. The
// seeds are paired, because cells with the same batches share them and the beginning weights, so
// that most of what a seed does to both is not in the difference. It is nil where no row has two
// seeds in common with the first.
func (b *sweepBook) pairedGrid(format string, of func(*sweepResult) *float64) [][]string {
	rows, columns := b.table.RowPoints(), b.table.ColumnPoints()
	values := map[[2]int]map[uint64]float64{}
	first := -1
	for _, c := range b.cells {
		if first < 0 || c.Row < first {
			first = c.Row
		}
		if r := b.results[c.ID]; r.Done && of(r) != nil {
			at := [2]int{c.Row, c.Column}
			if values[at] == nil {
				values[at] = map[uint64]float64{}
			}
			values[at][r.Seed] = *of(r)
		}
	}
	if first < 0 {
		return nil
	}
	out := [][]string{{"less " + rows[first].Name}}
	for _, c := range columns {
		out[0] = append(out[0], c.Name)
	}
	some := false
	for i := first + 1; i < len(rows); i++ {
		line, shown := []string{rows[i].Name}, false
		for j := range columns {
			text := "-"
			if d := differences(values[[2]int{i, j}], values[[2]int{first, j}]); len(d) > 1 {
				mean, half := interval(d)
				text = fmt.Sprintf("%+"+format[1:]+" ("+format+" to "+format+")", mean, mean-half, mean+half)
				shown = true
			}
			line = append(line, text)
		}
		if shown {
			out, some = append(out, line), true
		}
	}
	if !some {
		return nil
	}
	return out
}

// differences are x−y for the seeds that both have.
func differences(x, y map[uint64]float64) (d []float64) {
	for _, seed := range slices.Sorted(maps.Keys(x)) {
		if w, ok := y[seed]; ok {
			d = append(d, x[seed]-w)
		}
	}
	return d
}

// interval is the mean of two or more values, and half the width of its interval by Student's t.
func interval(d []float64) (mean, half float64) {
	mean, std := recipe.MeanStd(d)
	n := float64(len(d))
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.5 + confidence/200.0)
	return mean, t * std / math.Sqrt(n)
}
