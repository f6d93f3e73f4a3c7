// Package stream is a trainer's end of a run: batches, step after step.
//
// # The parts
//
//	Stream     what a trainer uses: Next, Stats, Seal, Close
//	planner    decides what is requested, purged and repaired; a pure value
//	driver     executes the planner's actions, and brings it events
//	peers      the planner's view of the other trainers; positions.go says what follows from it
//	lease      keeps the trainer's name to one process, and reports its position to the peers
//	consumer   decodes chunks, and gives them to an assemble.Assembler (consume.go)
//	Recorder   receives what a Stream hands out; packages record and audit are two
//	Memory     the same face without a broker
//
// # Planner and driver
//
// The planner has no clock, no lock and no broker. decide takes an event, with the moment at
// which it happened, and returns the actions that follow from it; the driver executes them in
// order, and feeds back what came of each as another event. An event that begins a conversation
// lays out an agenda of phases; each gives one round of actions after another, until it
// has none. The planner learns from results alone: an action that fails ends the conversation,
// and nothing is lost with it.
//
//	cycle, woken by the cursor, by a peer's lease, every half second:
//	    meetPeers    peers ← trainers whose leases live
//	    clear        at the beginning, and when a peer is gone: purge what nobody wants
//	    purge        chunks of steps < cursor − keep that no peer wants
//	    dropBackups  second tasks of chunks that are over
//	    issue        for steps in [next, credit), chunks that are not there:
//	                     put a task into the queue, unless one is there
//
//	starved, when the trainer waits for a step longer than RepairAfter:
//	    checkDamage  drop streams that were damaged on disk; create what is missing
//	    repair       request again what is neither there nor in the queue
//	                 no task waits, and some are with workers  → place a backup
//	                 no task waits, and none is with a worker  → it is orphaned: replace it
//	                 so is its replacement                     → request a tombstone
//	                 a worker fell silent lately               → back up later steps' tasks, too
//	    makeRoom     the stream is full → purge the last step that nobody waits for
//
//	exhausted, when the broker reports that a task has spent its deliveries:
//	    replace it; request a tombstone, unless a worker had sent it back for its own trouble
//
//	unusable, when what came was unusable:     request the chunk again
//	sealing, while a recording must become whole: request what the broker lacks
//	closing:                                    purge what is due
//
// # Invariants
//
// Several trainers. Each has a name, and a lease under it that it renews; a second live one of
// that name is refused. Trainers no more than a window apart keep pace: the slowest holds the
// credits, so that every batch is produced once for all of them. One whose lease runs out, or
// that leaves, delays nobody any more. When it comes back at its checkpoint, it is aside: it
// opens a window of its own, and what it needs is produced again, without delaying the others
// until it has caught up (credit). What a live trainer wants is kept: nobody purges a step in a
// peer's window, and the last that wants it does. What a trainer records (Keep -1) nobody purges
// from then on, whether that trainer lives or not, and Seal has whatever was purged before
// produced again. A trainer that is alone is the same with n = 1.
//
// Nothing hangs. A task that is out while none wait and the trainer is starved is given to a
// second worker, so that a worker that is slow, stopped or dead delays a step by RepairAfter and
// the making of one chunk, not by its whole ack wait. A task that has spent its deliveries has
// killed its workers, or failed where others did not: a tombstone is requested in its place.
// The broker reports spent deliveries, and where the report is missed, repair finds the task in
// an idle queue. Tombstones from before a trainer came are cleared, and so are the tasks that are
// in the queue when it takes its lease and no other is live, so that what was fixed is tried again.
// A broker that is away is waited for (BrokerTimeout), one that came back empty is set up again,
// workers that do not come are waited for (StallTimeout); then Next returns ErrUnavailable, and the
// trainer writes its checkpoint. A chunk that cannot be used is deleted and requested again, three
// times.
//
// # Locks and goroutines
//
// A Stream has four goroutines (driver, consumer, watcher, lease), and at its beginning one that
// sweeps, unless another trainer of the broker has done so in the last minute; Close joins them. No
// lock is held over a call of Next's into the broker: a trainer that has a batch ready never waits
// for the network.
//
//	consumer:
//	    wait until fewer than Prefetch batches are ready
//	    chunk ← Decode(next message);  Assembler.Add(chunk)
//	    no message for RepairAfter, and the trainer waits → driver.repair
//
//	Next:
//	    wait until the assembler has all of the step;  cursor++;  wake the others
package stream
