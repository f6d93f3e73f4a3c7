// Package train is the method: ReSSL (relational self-supervised learning), and the
// objectives that its paper compares with, as a loop over batches that arrive from
// elsewhere. It knows neither NATS nor JPEG; it reads schemas.Batch from a Stream, and
// drives libtorch through train/torch.
//
// # Vocabulary
//
//	student     F_s, g_s, q: encoder, projector and predictor; sees strong views; has gradients
//	teacher     F_t, g_t: exponential moving average of the student (equation 6), or a frozen network from a file; sees the weak view
//	queue       Q, K past embeddings: the instances that relations are measured against
//	key         an embedding that enters the queue
//	relation    softmax of a view's similarities to the queue (equations 3 and 4)
//	α           weight of the relational loss; rises from 0 to 1 in the InfoNCE warm-up (equation 7)
//	objective   what is minimised (train/objective); says which of teacher, queue and
//	            predictor the learner is composed of
//	state       tensors of the objective's own, in checkpoints as objective.*
//	statistic   a number that describes a step (objective.Statistics)
//	micro-batch one of Accumulate equal parts of a batch, whose gradients add up
//	pass        one forward and backward of the student, of one view or of a coupled pair
//	in flight   said of a step that was given to the device and whose loss has not been read
//	settle      to take in a step's result: its loss, then what the step leads to (metrics, checkpoint)
//	drain       to settle the steps in flight
//	rank        one of several processes that train together, each with its rows of a batch
//
// # From Run to the equations
//
//	Run                     run.go         learner, loop, summary
//	loop.run                loop.go        steps, checkpoints, interruption
//	loop.next               loop.go        one batch, one step
//	Learner.Step            step.go        or StepAsync (async.go), which does not wait
//	Learner.step            step.go        the order of a step, equation 6
//	Learner.gradients       step.go        teacher, targets; a pass: forward, backward
//	Learner.forward         step.go        student, loss
//	ressl.Targets, Loss     objective/ressl.go   equations 4; 3, 5, 1 and 7
//
// # Files, in reading order
//
//	step.go        one step, like the paper; every other file of the learner is a part of it
//	objective/     the equations, a file for each objective, the statistics
//	criterion.go   the objective in a step
//	network.go     student and teacher: pixels in, unit embeddings out
//	queue.go       the queue
//	state.go       the objective's own tensors, and what a step collects for them
//	frozen.go      a teacher from a file
//	start.go       what both networks start from: an encoder from a file
//	freeze.go      what of the backbone stays as it starts
//	learner.go     Learner: all the state that the next step needs
//	model.go       encoder, projector, predictor
//	config.go      what a learner is built from
//	views.go       pixels by network, micro-batches, passes
//	stats.go       statistics of a step: summed over passes, averaged over ranks
//	recompute.go   activation checkpointing
//	parallel.go    a step over several processes
//	samples.go     whose pixels a batch's rows are, for an objective that keeps something of each
//	draws.go       the random numbers that an objective asks for
//	async.go       a step that is not waited for
//	streams.go     the teacher's CUDA stream
//	graph.go       steps replayed as CUDA graphs
//	timers.go      what the parts of a step take
//
//	run.go         Run: what it is given and what it leaves
//	loop.go        steps, log lines, checkpoints, interruption
//	prefetch.go    batches on their way to the device
//	inflight.go    steps in flight, and what to do about one that failed
//	stop.go        scores while training, and the end of a run by them
//	ranks.go       how ranks agree between steps
//	rendezvous.go  where they meet: torchrun's environment
//	pace.go        how fast a session trains
//	metrics.go     metrics.jsonl
//	hostcopy.go    a copy of the state in host memory
//	saver.go       checkpoints that are written while the next steps are made
//	checkpoint.go  the state on disk
//	summary.go     summary.json
//	probe.go       kNN and linear probe of a frozen encoder, trained or not
//	encoder.go     an encoder's weights in a file, and weights.go how they are read
//	modes.go       libtorch's switches
//
// # Invariants
//
//   - The weights after step s are a function of the recipe, the run spec, the libtorch
//     build, the number of threads and the type of machine: nothing here draws from a
//     global generator or reads the clock.
//   - A checkpoint holds all that the next step depends on; a run that stops at any step
//     and resumes ends with the bits of one that did not.
//   - A checkpoint appears whole or not at all.
//   - No weight that is saved has moved by a loss that is not finite: on the CPU none
//     moves; on a GPU, where losses are read some steps late, the run ends and its newest
//     checkpoint is older.
//   - A hyper-parameter has its default in the recipe and nowhere here.
package train
