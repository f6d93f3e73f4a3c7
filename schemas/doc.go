// Package schemas is the leaf of resslt: the types and names that its parts share.
// It holds no behaviour beyond validation, and imports only Arrow and the standard
// library. ingest, augment, batcher and train import it and never one another; cmd
// wires them together (imports_test.go enforces this). Two packages below it serve
// all of them: errs has the error type, durable replaces files.
//
// # The flow
//
//	shards           plan              views             chunks             batches           step
//	ingest ───────►  augment ───────►  augment ───────►  batcher ── NATS ─► batcher ───────►  train
//	Source           Draw              Render            encode, publish    assemble          Trainer
//	  ▲                                                                        │
//	  └───────────────  tasks (a work queue)  ◄──  batcher/stream   ◄─ credits ┘
//
// # Vocabulary
//
//	run        one training job's stream of batches, under a name in the broker
//	run spec   everything that the batches depend on; its digest is the identity
//	sample     one image of the data set, by its position in the manifest
//	view       one augmented crop of a sample; weak for the teacher, strong for the student
//	plan       every random number of one view, drawn beforehand
//	step       one update of the weights; uses one batch of B slots
//	slot       a row of a batch, 0 ≤ slot < B
//	chunk      a run of slots of one step: the unit of work and of transport
//	tombstone  what stands for a chunk that could not be made, with the reason
//	cursor     the next step that a trainer will take
//
// # What goes over the wire
//
//	message  field           type                shape, unit
//	task     slot            int32               row of the batch
//	         sample          int64               sample to visit
//	         index           int64               position in the epoch's order; a replacement is found from it
//	chunk    slot            int32               row of the batch
//	         sample          int64               sample id whose pixels these are
//	         label           int32               class or -1; for evaluation only
//	         planned         int64               sample id that the order asked for
//	         reason          utf8                why it was replaced, or ""
//	         <view>.pixels   FixedSizeBinary     (S,S,3) uint8, HWC, RGB, 0–255
//	         <view>.plan     binary              augment's plan encoding
//
// The subject holds step and chunk; headers hold the spec's digest and the SHA-256
// of the body. Pixels are never compressed, since crops do not compress.
package schemas
