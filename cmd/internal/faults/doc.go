// Package faults is the matrix of the stores' faults: every fault of every store, met by a
// run of each data format through the whole farm (ingest, augment, worker, broker,
// stream). It has tests alone: `make faults` runs all of it and prints the table that
// docs/faults.md shows, `go test` a part.
//
//	a fault that passes   the run ends with the calm run's batches, bit for bit
//	a fault that stays    so it does, or it stops with one line that has place and hint
//	any fault             no sample is replaced, and no batch has other bits
//
// The weights are a function of the batches and the spec, so equal batches are equal
// weights; a test of cmd/resslt compares those of whole runs.
package faults
