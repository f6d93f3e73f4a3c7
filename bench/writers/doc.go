// Command writers reads the data sets that bench/writers/parquet.py and tars.py have
// written with today's tools, and holds samples and labels against what each tool reads
// itself. run.sh runs all of it:
//
//	make writers
//
// It reads the scripts' lines of JSON and prints a table: a row for each set that is
// read right or refused as it should be, in one line that names the column or file. Any
// other set is named on standard error, and the exit status is 1.
//
//	go run ./bench/writers [-docs docs/writers.md] LINES.jsonl…
//
// With -docs the table, shortened to a row for a writer and a verdict, replaces what is
// between the file's markers.
package main
