// Package runbook reads what runs have left in their folders, to list and to compare them:
//
//	runs, err := runbook.Find("runs")     // every run's folder below, in order of name
//	a, err := runbook.Read("runs/a")      // one, with its curves
//	c := runbook.Compare(a, b)            // differing keys, scores, paired differences
//
//	book := runbook.Open("runs")          // the same runs again and again, as they change
//	runs, changed, err := book.Look()
//	f := runbook.Follow("runs/a")         // one of them
//	a, changed, err := f.Look()
//
// A run is a folder with a recipe.yaml. Nothing is written but the notes that people add
// (notes.json: tags and a text), and no lock is taken: who follows a run does not disturb it. A
// look reads what files have more than at the look before, and those that are others.
package runbook
