// Package batcher is the map of the packages below it, which carry augmented views from
// workers to trainers over NATS JetStream: tasks out, chunks back, batches in step order.
// They decode and draw nothing themselves; cmd hands them a produce.Source that does.
//
// # The packages
//
//	wire       what travels: Task, Chunk, Encoder, Decoder, digests
//	produce    a task's chunk from a Source, without a network
//	assemble   chunks → batches, without a network
//	broker     a NATS server inside this process; connections; roles and their permissions
//	runs       a run's streams in the broker: open, look up, list, delete, seal; what it holds
//	worker     takes tasks, has chunks produced, publishes each once
//	stream     the trainer's end: the planner, its driver, the consumer, the lease
//	audit      produces some chunks again, and catches workers whose bytes are wrong
//	record     keeps what a stream hands out, proves it and replays it
//
// Imports go one way: wire ← produce ← assemble; wire ← runs; produce, runs ← worker;
// assemble, runs ← stream ← record; produce ← audit. Neither worker nor stream knows the
// other.
//
// # Vocabulary
//
//	run        one training job's streams in the broker, under a name
//	step       one update of the weights, and the batch that it uses
//	chunk      some consecutive slots of one step, near 2.4 MB: the unit of work
//	task       the request for a chunk: slot, sample and index of each row
//	tombstone  what is published in the place of a chunk that cannot be produced
//	trainer    a process that consumes the run's batches, under a name of its own
//	peer       a live other trainer of the same run
//	cursor     the next step that a trainer needs
//	window     how many steps from the cursor on may be requested: the credits
//	lease      a trainer's claim to its name, which also tells its peers its position
//	quarantine a run that failed at a worker is left alone by it for a while
//	backup     a second copy of a task whose worker does not come back
//	order      which sample an index of an epoch has
//
// # Streams in the broker
//
//	TASKS_<run>  t.<run>.<step>.<chunk>   work queue, in files
//	BATCH_<run>  b.<run>.<step>.<chunk>   chunks, in memory or files, discard-new
//	CTRL_<run>   c.<run>.spec             schemas.RunInfo, written once
//	             c.<run>.options          window, limits, where the data is (runs.Options)
//	             c.<run>.trainer.<name>   a trainer's lease of seconds, with its cursor
//	             c.<run>.worker.<name>    a worker's heartbeat (runs.Heartbeat)
//	             c.<run>.stop             why the run must not continue
//
// # Invariants
//
// Pure. Row i of step s holds the sample at index (s mod StepsPerEpoch)·B + i of epoch
// ⌊s / StepsPerEpoch⌋. A chunk's bytes are a function of the run spec and of the chunk's
// position, whoever produces it and when. What is lost can be produced again.
//
// Exactly once. A chunk is published with the expectation that its subject is empty. The
// server refuses a repeat (10071). Then digests are compared: equal is a success; unequal
// is ErrDeterminism, which leaves a notice under c.<run>.stop, ends the trainer, and keeps
// others from opening the run until it is deleted. The task is acknowledged (twice, so that
// the worker knows) after the chunk is stored, never before. Deduplication windows are not
// relied on.
//
// Who publishes what. Workers publish chunks, tombstones, heartbeats and the stop notice;
// trainers publish tasks, leases, spec and options, and no chunk ever. A broker can hold
// them to it (broker.Role).
//
// Credits. Tasks exist for steps in [cursor, cursor+window) alone. Without this the byte
// limit of a discard-new stream deadlocks: later steps fill it and shut out the one chunk
// that is missing. The limit is the backstop.
//
// One run cannot hurt another. What hangs or fails in a run is that run's: package worker has a
// bulkhead for each.
//
// Nothing hangs. Whatever a sample, a worker, a task or the broker does, a batch comes, or
// an error that says why it does not; packages worker and stream say how.
package batcher
