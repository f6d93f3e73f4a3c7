package main

import (
	"fmt"
	"slices"

	"resslt/train/recipe"
)

// pairedGrid is the table of differences to the first row's cell of the same column and seed, as
// text: mean, and the interval that it is in with a confidence of 95 %, by Student's t. The
// seeds are paired, because cells with the same batches share them and the beginning weights, so
// that most of what a seed does to both is not in the difference. It is nil where no row has two
// seeds in common with the first.
func (b *sweepBook) pairedGrid(format string, of func(*sweepResult) *float64) [][]string {
	if len(b.cells) == 0 {
		return nil
	}
	rows, columns, values := b.table.RowPoints(), b.table.ColumnPoints(), b.values(of)
	first := b.cells[0].Row // cells are row by row
	out := [][]string{{"less " + rows[first].Name}}
	for _, c := range columns {
		out[0] = append(out[0], c.Name)
	}
	for i := first + 1; i < len(rows); i++ {
		line, shown := []string{rows[i].Name}, false
		for j := range columns {
			text := "-"
			if d := differences(values[[2]int{i, j}], values[[2]int{first, j}]); len(d) > 1 {
				mean, half := recipe.Interval(d)
				text = fmt.Sprintf("%+"+format[1:]+" ("+format+" to "+format+")", mean, mean-half, mean+half)
				shown = true
			}
			line = append(line, text)
		}
		if shown {
			out = append(out, line)
		}
	}
	if len(out) == 1 {
		return nil
	}
	return out
}

// differences are x−y for the seeds that both have.
func differences(x, y []seeded) (d []float64) {
	for _, v := range x {
		if at := slices.IndexFunc(y, func(w seeded) bool { return w.seed == v.seed }); at >= 0 {
			d = append(d, v.score-y[at].score)
		}
	}
	return d
}
