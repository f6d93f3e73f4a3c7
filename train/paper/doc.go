// Package paper has the figures of the paper's tables, row by row, and which recipe of this
// project trains a row.
//
//	for _, t := range paper.Tables() {
//	    for _, row := range t.Rows { row.Figures[0] … }
//	}
//	f := paper.Of("linear", "imagenet", "imagenet-multi", "top1") // 76.0, Table 8
//
// Tables 1 to 6 are sweeps, which have their figures themselves (package recipe); their rows
// here are those that a recipe claims. tables.yaml has the tables. Package eval puts a figure
// beside a score of the same protocol, `resslt paper` lists them.
package paper
