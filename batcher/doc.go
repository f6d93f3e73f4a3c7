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
//	trainer    one of those that consume the run's batches, under a name of its own
//	cursor     the next step that a trainer needs
//	window     how many steps from the cursor on may be asked for: the credits
//	lease      a trainer's claim to its name, and word to the others of its cursor
//	backup     a task given out a second time, because its worker does not come back
//	order      which sample stands at an index of an epoch (Order)
//
// # The parts
//
//	Broker     a NATS server inside this process; Connect finds it or another
//	Role       what a worker, a trainer, an observer may do in a locked-down broker
//	Run        streams and record: OpenRun, LookupRun, ListRuns, DeleteRun
//	Planner    issues tasks, purges what was consumed, mends what was lost
//	Worker     takes tasks, has a Maker make them, publishes each chunk once
//	Encoder    chunk → Arrow IPC stream; Decoder: the way back, trusting nothing
//	Assembler  chunks → batches; knows no network
//	Stream     planner + consumer + assembler: the trainer's end
//	MemoryStream   the same face without a broker
//	Auditor    makes some chunks again, and finds workers out
//	Recorder   hears what a Stream hands out; package record keeps, proves and replays it
//	Stored     the chunks that a broker keeps, for reading
//
// # Streams
//
//	TASKS_<run>  t.<run>.<step>.<chunk>   work queue, in files
//	BATCH_<run>  b.<run>.<step>.<chunk>   chunks, in memory or files, discard-new
//	CTRL_<run>   c.<run>.spec             RunInfo, written once
//	             c.<run>.options          window, limits, where the data is (RunOptions)
//	             c.<run>.trainer.<name>   a trainer's lease of seconds, with its cursor
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
// Who publishes what. Workers publish chunks, tombstones, heartbeats and the stop
// notice; trainers publish tasks, leases, spec and options, and no chunk ever. A
// broker can hold them to it.
//
// Credits. Tasks exist for steps in [cursor, cursor+window) alone. Without this the
// byte limit of a discard-new stream deadlocks: later steps fill it and shut out the
// one chunk that is missing. The limit is the backstop; a worker that meets it waits
// and keeps its task, and where the trainer goes hungry over it, the last of the
// stored steps is purged, to be made again later (makeRoom).
//
// Several trainers. Each has a name, and a lease under it that it renews; a second
// live one of that name is refused. Trainers no more than a window apart go
// together: the slowest holds the credits, so that every batch is made once for all
// of them. One whose lease runs out, or that leaves, holds nobody any more. When it
// comes back at its checkpoint, it opens a window of its own, and what it needs is
// made again, without holding up the others until it has caught up (credit). What is
// kept is what somebody alive wants: nobody purges a step in another's window, and
// the last who wants it does. What a trainer records (Keep -1) nobody purges from then
// on, whether that trainer lives or not, and Stream.Seal has made again whatever was
// purged before. A trainer that is alone is the same with n = 1.
//
// Nothing hangs. A sample that no machine can decode is replaced by the next of the
// epoch's order that can be, and the row says so; sixteen in a row make the chunk a
// tombstone, and the trainer's Next an ErrTombstone. A worker that can make nothing
// (data, disk, engine) tells so from a chunk that cannot be made by trying other
// samples: then it sends the task back and rests, and that delivery does not count.
// A task that has spent its deliveries otherwise has killed its workers, or failed
// where others did not: a worker is asked for a tombstone in its place (give up). The
// broker advises of spent deliveries, and where the advice is missed Heal finds the
// task lying in an idle queue. A task that is out while none wait and the trainer is
// hungry is given to a second worker (backup), so that a worker that is slow, stopped
// or dead holds a step up for HealAfter and the making of one chunk, not for its
// whole ack wait. Tombstones from before a trainer came are cleared, so that what was
// mended is tried again. A broker that is away is waited for (BrokerTimeout), one
// that came back empty is set up again, a stream whose messages are damaged on disk is
// made anew (Run.damaged), workers that do not come are waited for
// (StallTimeout); then Next returns ErrUnavailable, and the trainer writes its
// checkpoint.
//
// Fair. Runs with tasks waiting get equal shares of a worker's time, whatever their
// chunks cost; what one leaves unused goes to the others (turns).
//
// Untrusted bytes. Decode checks in this order: size cap computed from the spec,
// spec digest, SHA-256 of the body, schema message byte for byte against the local
// one, then the record batch's metadata in place with every bound checked. Nothing
// is allocated by a size that the bytes name, and pixels are not copied. A chunk of
// no use is deleted and asked for again, three times.
//
// # In pseudo-code
//
//	Planner.Plan, woken by the cursor, by another's lease, every half second:
//	    others ← places of the trainers whose leases live
//	    purge chunks of steps < cursor − keep that no other wants
//	    for steps in [next, credit), chunks that are not there:
//	        publish task if its subject is empty     // still queued: fine
//	    one that was alive is gone: purge chunks and tasks that nobody wants
//
//	Planner.Heal, when the trainer goes hungry:
//	    ask again for what is neither there nor queued
//	    no task waits, and one is out → backup
//	    no task waits, and none is out, yet one lies there → give up
//	    the stream is full → make room
//
//	Worker, one loop a goroutine:
//	    task ← pull from the run least served that has one; keep it alive meanwhile
//	    it says give up → tombstone
//	    for each row: Make; undecodable → order.At(epoch, index+1), …
//	        other trouble: other samples go  → back after a growing delay
//	                       they do not, too  → back at once, and rest
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
