// Package runreport turns a run's folder into its page, OUT/report.html: it reads the
// metrics, the recipe, summary.json, knn.jsonl, linear.jsonl and eval.json, and gives package report what
// to lay out. A run that has not finished has a page, too; what cannot be read is named on it.
//
//	err := runreport.Write(ctx, "runs/quickstart")
package runreport
