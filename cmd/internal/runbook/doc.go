// Package runbook reads what runs have left in their folders, to list and to compare them:
//
//	runs, err := runbook.Find("runs")     // every run's folder below, in order of name
//	a, err := runbook.Read("runs/a")      // one, with its curves
//	c := runbook.Compare(a, b)            // differing keys, scores, paired differences
//
// A run is a folder with a recipe.yaml. Nothing is written but the notes that people add
// (notes.json: tags and a text), and no lock is taken.
package runbook
