// Parquetlib compares our Parquet reader with the two libraries for Go, for what a data
// set of images needs: see docs/writers.md. run.sh runs all of it.
//
//	parquetlib matrix TRUTH              files read as pyarrow reads them
//	parquetlib cost RUNS FILE...         a full scan's and a row's cost
//	parquetlib safety SEEDS FILE...      mutated files
package main
