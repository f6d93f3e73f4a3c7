// Package worker produces chunks: it takes tasks from the queues of the broker's runs, has a
// produce.Source make the rows, and publishes each chunk once.
//
// # In pseudo-code
//
//	one loop a goroutine:
//	    task ← pull from the run least served that has one; keep it alive meanwhile
//	    it asks for a tombstone → publish that
//	    for each row: Make; undecodable → the next sample of the order
//	        other trouble: other samples succeed → send back after a growing delay
//	                       they fail, too        → send back at once, and rest
//	    publish the chunk if its subject is empty
//	        refused, same digest  → somebody was faster
//	        refused, other digest → stop the run
//	        full, away            → wait, try again
//	    acknowledge
//
// # Invariants
//
// A task is acknowledged after its chunk is stored, never before.
//
// A worker that can make nothing of a run (data, disk, engine) distinguishes that from a chunk that
// cannot be made by trying other samples: then it sends the task back and rests, and that
// delivery does not count against the task. Its heartbeat says so. Data that changed refuse the
// run, and a worker that is alone (GiveUp) ends it where waiting is in vain.
//
// Fair. Runs that have tasks waiting get equal shares of a worker's time, whatever their
// chunks cost; what one leaves unused goes to the others (turns).
//
// Asked once. A slot asks the queues of its runs, least served first, for a task that is there.
// Where there is none, one request of the worker stands with each queue (lobby), for all slots
// that wait. Answers are never given up on: a task that came after its request's time would be
// lost to all until its ack wait has passed.
//
// # Goroutines
//
// A Worker has one for each chunk that it makes at once, and one or two more. The return of
// Serve joins them.
package worker
