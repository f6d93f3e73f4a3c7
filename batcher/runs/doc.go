// Package runs is what a broker holds of training runs: their streams, and what is in them.
// batcher's doc lists the streams and subjects.
//
//	Open, Lookup, List, Delete   a run by its name
//	Overviews, Overview.State    what the broker holds of each run, and where it is in its life
//	Sweep, Run.SleepIfEnded      delete what can be made again of runs that nobody trains
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
// A run sleeps when it has ended, or when nobody trains it: TASKS_, BATCH_ and BEATS_ are
// deleted, CTRL_ stays. Open wakes it, and so does Ensure. State is a pure function of what
// the broker holds. A recording never sleeps.
//
//	opened ── a trainer ──► live ── all left, one at the end ──► ended ── at once ──┐
//	                         ▲│                                                    ▼
//	                         │└─ left or died ──► abandoned ── SleepAfter ──► only CTRL_ is left:
//	                         └───────────── Open, Ensure ◄──────────────────── ended, or asleep
//
// A stream that lists messages which it cannot give was damaged on disk. It is deleted, and
// whoever needs it makes it again: all that a run's streams hold can be produced again. That of
// a recording is kept, and reported.
package runs
