// Package report makes a run's page, OUT/report.html: one file that needs no
// network and no other file, for a phone and a wide screen, light and dark.
//
// It is given what the run's folder holds, already read, and knows no trainer and
// no broker:
//
//	Page      everything on the page: facts, tables, charts, pictures, the recipe
//	Chart     curves over steps, drawn as SVG by the package (Chart.SVG)
//	Picture   a PNG, kept in the page as data
//
// Text comes from recipes, class names and file names of other people's making:
// html/template escapes all of it, and charts write no text but numbers and the
// names that the program gives them.
package report
