// Package schemas is the leaf of resslt: the words that its parts speak to one
// another. It holds no behaviour beyond validation, and imports Arrow and the
// standard library alone. ingest, augment, batcher and train import it and never
// one another; cmd wires them (imports_test.go enforces it).
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
//	tombstone  a chunk or sample that could not be made, with the reason
//	cursor     the next step that a trainer needs
//
// # What goes over the wire
//
//	message  field           type                shape, unit
//	task     slot            int32               row of the batch
//	         sample          int64               sample id
//	         index           int64               place in the epoch's order
//	chunk    slot            int32               row of the batch
//	         sample          int64               sample id whose pixels these are
//	         label           int32               class or -1; for evaluation only
//	         planned         int64               sample id that the order asked for
//	         reason          utf8                why it was replaced, or ""
//	         <view>.pixels   FixedSizeBinary     (S,S,3) uint8, HWC, RGB, 0–255
//	         <view>.plan     binary              augment's plan encoding
//
// Step and chunk stand in the subject; the spec's digest and the body's SHA-256
// in the headers. Pixels are never compressed (crops do not compress).
package schemas
