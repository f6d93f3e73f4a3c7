// Package produce makes the chunk of a task, in this goroutine and without a network. What
// decodes and draws is a Source, which cmd provides.
//
//	for each row of the task:
//	    maker.Make(row); a bad sample → the one at index+1, index+2, … of the epoch's order
//	    16 bad ones in a row          → the chunk is a tombstone
//	    any other error               → there is no chunk
//
// A bad sample is a schemas.BadSample: no machine can decode it. It is replaced by the next of
// the epoch's order that can be decoded, and the row says so. Any other error is a fault of this
// machine or of its store.
package produce
