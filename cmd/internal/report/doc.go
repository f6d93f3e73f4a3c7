// Package report writes a run's page, OUT/report.html: one file that needs neither a
// network nor other files, for phones and wide screens, light and dark.
//
// Its input is the content of the run's folder, already read; it depends on neither the
// trainer nor the broker:
//
//	Page      everything on the page: facts, tables, charts, pictures, the recipe
//	Chart     curves over steps, drawn as SVG by the package (Chart.SVG)
//	Picture   a PNG, embedded in the page
//
// Package web shows some of these parts as they change: Table.HTML, Chart.HTML, Headline and
// Facts give them alone, Style and Script what they need.
//
// Text from recipes, class names and file names is untrusted: html/template escapes all
// of it, and charts contain no text but numbers and names from the program.
package report
