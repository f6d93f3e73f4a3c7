// Package reclaim finds what piles up on a disk, and removes it: what killed processes have
// left, and what old runs and the cache hold beyond what somebody wants to keep.
//
//	leftovers, always      what of                             known by
//	temporary folder       TMPDIR/resslt-*, brokers' stores    its mark, which nobody locks (scratch)
//	socket                 the Python client's socket folder   nobody listens (serve)
//	interrupted download   the cache of remote shards          a .part that nobody locks (ingest/store)
//	half-written file      the cache of indexes, runs          its name, which only durable gives, an hour, and its lock;
//	                                                           tensors of a checkpoint without their JSON
//	run that never began   runs                                nothing in it but a lock that nobody holds
//
//	by policy              what of
//	cached shard, index    the cache, the least recently used first    Policy.Cache
//	checkpoint             runs that no process holds                  Policy.Checkpoints
//	earlier run            previous-N in the folder of a run           Policy.Earlier
//	parts                  OUT.parts of an embed that was stopped      Policy.Parts
//
// What no policy asks for is counted (Found.Left), so that people see what each would give.
//
// # In pseudo-code
//
//	Find:    look everywhere; remove nothing and hold no lock
//	Remove:  for each item: take the lock that its owner would have, look again, remove
//
// # Invariants
//
//   - Nothing goes that a living process holds: a lock is taken before a removal and kept until
//     its end. What has come into use between Find and Remove stays, and is told.
//   - Nothing goes that is not known by its name and its contents: a file of anybody else, in
//     whatever folder, stays. Links are not followed.
//   - Bytes are those that the disk gives back: blocks, and none of a file with another name.
package reclaim
