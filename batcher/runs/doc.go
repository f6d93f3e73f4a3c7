// Package runs is what a broker holds of training runs: their streams, and what is in them.
// batcher's doc lists the streams and subjects.
//
//	Open, Lookup, List, Delete   a run by its name
//	Run.Ensure                   creates what is missing; repairs a broker that lost its memory
//	Run.Trainers, Run.Workers    who trains and who works, by leases and heartbeats
//	Run.Stored                   the chunks that the broker keeps, for reading
//	Run.Store, Run.Seal          chunks that were produced before; a recording, read-only for good
//	Publish                      a chunk, exactly once
//
// # Invariants
//
// A run's spec is written once; another under its name is ErrMismatch. Options are those it
// was last opened with, but a byte limit is never lowered.
//
// A stream that lists messages which it cannot give was damaged on disk. It is deleted, and
// whoever needs it makes it again: all that a run's streams hold can be produced again. That of
// a recording is kept, and reported.
package runs
