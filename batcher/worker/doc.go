// Package worker produces chunks: it takes tasks from the queues of the broker's runs, has a
// produce.Source make the rows, and publishes each chunk once.
//
// # In pseudo-code
//
//	discover, every 5 s and when a run is opened: names of runs; new → a keeper each
//
//	keeper, one goroutine a run (keep.go), by the run's phase (life.go):
//	    opening      read spec and options; nobody trains it → asleep
//	                 open the data, under a deadline      → serving, or quarantined
//	    serving      not proven: one task, made outside of the slots
//	                 no task for a while and nobody trains it → asleep
//	    quarantined  wait 1 s, 2 s, 4 s, …; what failed goes well → serving, not proven
//	    asleep       data closed; wait for a lease, or for options → opening
//	    closed       gone from the broker
//
//	slot, one of Workers (workloop.go):
//	    task ← pull from the proven run least served that has one (turns.go)
//	    a goroutine does it; after 10 s without a step forward the slot goes on without it
//
//	task (task.go); kept alive at the broker meanwhile:
//	    it asks for a tombstone → publish that
//	    for each row: Make, in 5 min; undecodable → the next sample of the order
//	        other trouble: other samples succeed → send back after a growing delay
//	                       they fail, too        → send back at once, quarantine
//	    held in this process: put the rows into the store; what is published has no body
//	    publish the chunk if its subject is empty
//	        refused, same digest      → somebody was faster
//	        refused, other digest     → stop the run
//	        broker away               → wait, try again
//	        stream gone, full for 30 s → send back, quarantine
//	    acknowledge
//
// # Invariants
//
// A task is acknowledged after its chunk is stored, never before. It is settled once, by who
// claims it: the goroutine that makes the chunk, or the one that watches it and finds that it hangs.
//
// One run cannot hurt another. Whatever may hang for a run, its data's opening, its queue, its first
// chunk after it was opened or failed, is done by a goroutine of the run's; a slot of the worker's
// waits for nothing but chunks of runs that have proved themselves, and for none of them longer
// than SlowAfter. A run with chunks that hang has no more of them than its share of the slots, and no
// run more than Workers.
//
// A worker that can make nothing of a run (data, disk, engine) distinguishes that from a chunk that
// cannot be made by trying other samples: then it sends the task back and rests, and that
// delivery does not count against the task. Its heartbeat says so, before the task goes back. A
// worker that is alone (ServeRun with GiveUp) ends its run where waiting is in vain.
//
// Fair. Runs that have tasks waiting get a worker's time by their priorities, whatever their
// chunks cost; what one leaves unused goes to the others (turns). Time that a chunk hangs is
// charged as long as it holds a slot.
//
// Quiet. Heartbeats are no more than ten a period over all runs, and ten a second of one that has
// news; one that has nothing new to say comes every third time. A look for new runs is one request.
// A run that sleeps costs nothing: two subscriptions to leases and options of all runs tell when
// one wakes, and in a farm of many runs a worker that begins takes all for asleep until it hears of
// them. A queue in which as many stand as the broker lets is asked seldomer and seldomer.
//
// Asked once. A slot asks the queues of its runs, least served first, for a task that is there.
// Where there is none, one request of the worker stands with each queue (lobby), for all slots
// that wait. Answers are never given up on: a task that came after its request's time would be
// lost to all until its ack wait has passed.
//
// # Goroutines
//
// A Worker has one for each run and each slot, and two for each chunk in work. The return of Serve
// joins them, but for those that hang: a store that heeds no context keeps them, for Grace at most
// (crew).
package worker
