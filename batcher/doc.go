// Package batcher carries augmented views from workers to trainers: tasks out,
// chunks back, batches in step order, over NATS JetStream. It decodes and draws
// nothing itself; cmd hands it a Source that does.
//
// # Vocabulary
//
//	run        one training job's streams in the broker, under a name (Run)
//	step       one update of the weights, and the batch that it uses
//	chunk      a run of slots of one step, near 2.4 MB: the unit of work (Chunk)
//	task       the request for a chunk: slot, sample, index of each row (Task)
//	tombstone  what is published in the place of a chunk that cannot be made
//	cursor     the next step that a trainer needs
//	window     how many steps from the cursor on may be asked for: the credits
//	order      which sample stands at an index of an epoch (Order)
//
// # The parts
//
//	Broker     a NATS server inside this process; Connect finds it or another
//	Run        streams and record: OpenRun, LookupRun, ListRuns, DeleteRun
//	Planner    issues tasks, purges what was consumed, mends what was lost
//	Worker     takes tasks, has a Maker make them, publishes each chunk once
//	Encoder    chunk → Arrow IPC stream; Decoder: the way back, trusting nothing
//	Assembler  chunks → batches; knows no network
//	Stream     planner + consumer + assembler: the trainer's end
//	MemoryStream   the same face without a broker
//
// # Streams
//
//	TASKS_<run>  t.<run>.<step>.<chunk>   work queue, in files
//	BATCH_<run>  b.<run>.<step>.<chunk>   chunks, in memory or files, discard-new
//	CTRL_<run>   c.<run>.spec             RunRecord, written once
//	             c.<run>.options          window, limits, where the data is (RunOptions)
//	             c.<run>.trainer          who trains the run: a lease of seconds
//	             c.<run>.cursor.<name>    a trainer's cursor
//	             c.<run>.worker.<name>    a worker's heartbeat (WorkerBeat)
//	             c.<run>.stop             why the run must not go on
//
// # Invariants
//
// Pure. Row i of step s holds the sample at index (s mod StepsPerEpoch)·B + i of
// epoch ⌊s / StepsPerEpoch⌋. A chunk's bytes are a function of the run spec and its
// place, whoever makes it and when. What can be lost can be made again.
//
// Exactly once. A chunk is published with the expectation that its subject is
// empty. The server refuses a repeat (10071). Then digests are compared: equal is a
// success; unequal is ErrDeterminism, which leaves a notice under c.<run>.stop,
// ends the trainer, and keeps others from opening the run until it is deleted. The
// task is acknowledged (twice, so that the worker knows) after the chunk is stored,
// never before. Deduplication windows are not relied on.
//
// Credits. Tasks exist for steps in [cursor, cursor+window) alone, where the
// slowest trainer's cursor counts. Without this the byte limit of a discard-new
// stream deadlocks: later steps fill it and shut out the one chunk that is missing.
// The limit is the backstop; a worker that meets it waits and keeps its task.
//
// One trainer. Who has a run to itself renews a lease, and purges what it did not
// ask for. Another is refused while the lease lives, and waits for it to run out
// where its holder was killed. Trainers that share a run (StreamOptions.Cursor)
// purge nothing of each other's, and take none.
//
// Nothing hangs. A sample that no machine can decode is replaced by the next of the
// epoch's order that can be, and the row says so. Sixteen in a row, or a task that
// has spent its deliveries, become a tombstone, and the trainer an ErrTombstone: the
// broker advises of spent deliveries, and where the advice is missed Heal finds the
// task lying in an idle queue. Tombstones from before a trainer came are cleared, so
// that what was mended is tried again. A broker that is away is waited for
// (BrokerTimeout), one that came back empty is set up again, workers that do not
// come are waited for (StallTimeout); then Next returns ErrUnavailable, and the
// trainer writes its checkpoint.
//
// Untrusted bytes. Decode checks in this order: size cap computed from the spec,
// spec digest, SHA-256 of the body, schema message byte for byte against the local
// one, then the record batch's metadata in place with every bound checked. Nothing
// is allocated by a size that the bytes name, and pixels are not copied. A chunk of
// no use is deleted and asked for again, three times.
//
// # In pseudo-code
//
//	Planner.Plan, woken by the cursor:
//	    purge chunks of steps < cursor − keep
//	    for steps in [next, cursor+window), chunks that are not there:
//	        publish task if its subject is empty     // still queued: fine
//
//	Worker, one loop a goroutine:
//	    task ← pull from the next run that has one; keep it alive meanwhile
//	    for each row: Make; undecodable → order.At(epoch, index+1), …
//	    publish chunk if its subject is empty
//	        refused, same digest  → somebody was faster
//	        refused, other digest → stop the run
//	        full, away            → wait, try again
//	    acknowledge
//
//	Stream, the consumer's goroutine:
//	    wait until fewer than prefetch batches lie ready
//	    chunk ← Decode(next message);  Assembler.Add(chunk)
//	    no message for HealAfter and the trainer hungry → Planner.Heal
//
//	Stream.Next:
//	    wait until the assembler has all of the step;  cursor++;  wake the others
//
// # Locks and goroutines
//
// A Stream has four goroutines (planner, consumer, watcher, lease), a Worker one for each
// chunk that it makes at once and one or two more; Close and the return of Serve
// join them. No lock is held over a call of Next's into the broker: a trainer that
// has a batch ready never waits for the network.
package batcher
