// Package train is the method: ReSSL (relational self-supervised learning), and
// the objectives that its paper compares with, as a loop over batches that somebody
// else made. It knows neither NATS nor JPEG; it reads schemas.Batch from a Stream,
// and drives libtorch through train/torch.
//
// # Vocabulary
//
//	student    F_s, g_s, q: encoder, projector and predictor; sees strong views; has gradients
//	teacher    F_t, g_t: exponential moving average of the student (equation 6); sees the weak view
//	queue      K past embeddings, the instances that relations are measured against
//	relation   softmax of a view's similarities to the queue (equations 3 and 4)
//	α          weight of the relational loss; rises from 0 to 1 in the InfoNCE warm-up (equation 7)
//	objective  what is minimised (train/objective); says which of teacher, queue and
//	           predictor the learner is composed of
//	pass       one forward and backward of the student, of one view or of a coupled pair
//
// # One step
//
// Of ReSSL; the other objectives fill the same frame.
//
//	z² = normalise(g_t(F_t(weak)))                        no gradient
//	for every student view: z¹ = normalise(q(g_s(F_s(strong))))
//	    p¹ = softmax(z¹·Qᵀ/τ_s), p² = softmax(z²·Qᵀ/τ_t)   equations 3, 4
//	    L  = α·H(p², p¹) + (1−α)·InfoNCE(z¹, z², Q)        equations 5, 1, 7
//	    a loss that is not finite ends the run here
//	mean of L over the views; backward; optimiser step
//	F_t, g_t ← m·(F_t, g_t) + (1−m)·(F_s, g_s)             equation 6
//	enqueue z²                                            after the loss: similarities use the queue before this batch
//
// # Files, in reading order
//
//	objective/     the equations, and a file for each objective
//	queue.go       the queue
//	momentum.go    the teacher's update
//	model.go       encoder, projector, predictor
//	learner.go     Learner: all the state that the next step needs
//	step.go        one step, in micro-batches and passes
//	recompute.go   activation checkpointing
//	parallel.go    a batch over several processes
//	stats.go       the loss's parts and the collapse watch
//	launch.go      a step that is not waited for
//	graph.go       steps replayed as CUDA graphs
//	timers.go      what the parts of a step take
//	feed.go        batches ahead, into memory that the device reads
//	flight.go      steps on the device whose losses have not been seen
//	loop.go        Run: steps, log lines, checkpoints, interruption
//	checkpoint.go  the state on disk
//	probe.go       kNN and linear probe of a frozen encoder, trained or not
//	ranks.go       what the ranks of a group tell each other between steps
//	rendezvous.go  where they meet: torchrun's environment
//	summary.go     summary.json
//
// # Invariants
//
//   - The weights after step s are a function of the recipe, the run spec, the
//     libtorch build, the number of threads and the type of machine: nothing
//     here draws from a global generator or looks at the clock.
//   - A checkpoint holds all that the next step depends on; a run that stops at
//     any step and resumes ends with the bits of one that did not.
//   - A checkpoint appears whole or not at all.
//   - No weight that is saved has moved by a loss that is not finite: on the CPU none
//     moves; on a GPU, where losses are seen some steps late, the run ends and its newest
//     checkpoint is older.
package train
