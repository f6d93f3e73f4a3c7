// Package produce makes the chunk of a task, in this goroutine and without a network. What
// decodes and draws is a Source, which cmd provides.
//
//	for each row of the task:
//	    maker.Make(row); undecodable → the sample at index+1, index+2, … of the epoch's order
//	    none of 16 can be decoded    → the chunk is a tombstone
//
// A sample that no machine can decode is replaced by the next of the epoch's order that can
// be, and the row says so. Any other error is this machine's own, and the chunk is unusable.
package produce
