// Package batcher is the map of the packages below it, which carry augmented views from
// workers to trainers over NATS JetStream: tasks out, chunks back, batches in step order.
// They decode and draw nothing themselves; cmd hands them a produce.Source that does.
//
// # The packages
//
//	wire       what travels: Task, Chunk, Encoder, Decoder, digests
//	produce    a task's chunk from a Source, without a network
//	held       the rows of chunks, where workers and readers are one process: the broker has messages
//	assemble   chunks → batches, without a network
//	broker     a NATS server inside this process; connections; roles and their permissions
//	runs       a run's streams in the broker: open, look up, list, delete, seal; what it holds
//	worker     takes tasks, has chunks produced, publishes each once
//	stream     the trainer's end: the planner, its driver, the consumer, the lease
//	audit      produces some chunks again, and catches workers whose bytes are wrong
//	record     keeps what a stream hands out, proves it and replays it
//
// Imports go one way: wire ← produce ← assemble; wire ← runs, held; produce, runs, held ← worker;
// assemble, runs, held ← stream ← record; produce ← audit. Neither worker nor stream knows the
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
//	asleep     what a run is of which the broker keeps CTRL_ alone, until a trainer opens it
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
//	             c.<run>.stop             why the run must not continue
//	BEATS_<run>  c.<run>.worker.<name>    a worker's heartbeat (runs.Heartbeat), the last one
//
// Every stream is bounded: a message of CTRL_ by what the run's spec and options take, a
// heartbeat by 16 KiB and all of a run by 4 MiB.
//
// # Invariants
//
// Pure. Row i of step s holds the sample at index (s mod StepsPerEpoch)·B + i of epoch
// ⌊s / StepsPerEpoch⌋. A chunk's bytes are a function of the run spec and of the chunk's
// position, whoever produces it and when. What is lost can be produced again.
//
// Exactly once. A chunk is published with the expectation that its subject is empty. The
// server refuses a repeat (10071). Then digests are compared, or the rows themselves where they are
// held: equal is a success; unequal is ErrDeterminism, which leaves a notice under c.<run>.stop,
// ends the trainer, and keeps others from opening the run until it is deleted. The task is
// acknowledged (twice, so that the worker knows) after the chunk is stored, never before.
// Deduplication windows are not relied on.
//
// Who publishes what. Workers publish chunks, tombstones, heartbeats and the stop notice;
// trainers publish tasks, leases, spec and options, and no chunk ever. A broker can hold
// them to it (broker.Role).
//
// Credits. Tasks exist for steps in [cursor, cursor+window) alone. Without this the byte
// limit of a discard-new stream deadlocks: later steps fill it and shut out the one chunk
// that is missing. The limit is the backstop.
//
// Nothing is believed. What comes from the broker or a file is bounded before memory is
// allocated for it, by one validation (schemas.RunSpec.Validate) that holds for the command
// line, too: who opens a run and who serves it agree on what can be.
//
// One run cannot hurt another. What hangs or fails in a run is that run's: package worker has a
// bulkhead for each.
//
// Nothing hangs. Whatever a sample, a worker, a task or the broker does, a batch comes, or
// an error that says why it does not; packages worker and stream say how.
//
// # Builds that meet
//
// Workers and trainers of neighbouring versions share a farm. What may change between two
// minor versions:
//
//	RunSpec               nothing: its digest is over its JSON. Another field or meaning is
//	                      another schemas.SpecVersion, which older builds refuse by name
//	RunInfo, Options      new fields that may be left out, whose absence means what builds
//	                      without them do. Readers refuse a field that they do not know, by
//	                      its name: it may be what the batches, or the room for them, depend on
//	leases, heartbeats,   new fields that may be left out. Readers pass over what they do not
//	summaries             know
//	tasks, chunks         new headers that may be left out; bodies are those of the spec's version
//	subjects              none is renamed or gets another meaning; more may come
//	streams               more may come, and subjects may move to them. Readers look where
//	                      earlier builds have them, and who opens a run moves them
//
// A worker serves runs that either build opened, and what a build recorded or left behind, its
// successors replay and continue. The way back is not promised: a trainer of an earlier build
// is refused where a later one has opened the run, before it has made anything; a new --run
// name, or `resslt farm rm` by the later build, helps. Open reads record and options before it
// makes a stream, so that a build refuses what it does not know in a sentence; builds of before
// November 29, 2026 made the streams first, and those of before BEATS_<run> pass on what the
// broker says of them (subjects that overlap). Nothing that a later build writes could change
// that: a field that they refuse by name would keep their workers from the run, too. cmd/resslt's
// tests hold builds of two states to this.
package batcher
