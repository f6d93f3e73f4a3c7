// Package assemble puts chunks together to batches, in whatever order they come. It knows no
// network.
//
//	Add(chunk)   copies the rows into their slots; a second chunk of other bytes is ErrDeterminism
//	Take(step)   the batch, when all of its chunks are there; nil before
//	Release      gives the batch's buffers back, for a later one
//
// A trainer that trains one model together with others takes a Part of the rows, and waits
// for the chunks alone that hold some of them.
package assemble
