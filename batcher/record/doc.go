// Package record keeps what a run was trained on, proves it, and hands it out again.
//
// # Vocabulary
//
//	log        the recipe log: for every slot of every step the sample, the sample that
//	           was planned, the reason where they differ, each view's plan, and the
//	           digest of its chunk; always on, 40 to 50 B a sample
//	pixels     the chunks themselves, of a window of steps or the whole run
//	segment    one Arrow IPC file of either; sealed when it has its footer and its name
//	record     all segments of one run, a folder: OUT/record
//	ledger     what a record proves: every sample visited once an epoch
//	replay     the recorded batches, as a stream: the weights come out the same
//
// # Who writes it
//
// The trainer, from the chunks that its stream hands out (Recorder), and nobody else. So
// the log says what the weights were made from, not what workers made; it costs the broker
// no message, and needs no permission. A subject a chunk, kept for a whole run over
// ImageNet, would be 36 million subjects in the broker's memory.
//
// # Files
//
//	OUT/record/log-000000.arrow           rows of chunks in order of steps; zstd
//	OUT/record/pixels-000000.arrow        one batch a chunk, as they came; not compressed
//	OUT/record/log-000001.arrow.open      the segment that is being written
//	OUT/record/log-000000.arrow.damaged   a segment that was found damaged, as it was
//
// Schema: schemas.RecordSchema, one row a slot; its metadata hold the run's record, so
// that each file says by itself what it is of, to any Arrow reader.
//
// # Invariants
//
// No checkpoint is ahead of the log: Sync comes before each. A session that resumes seals
// what the last one left open, every batch of it that is whole, names the steps that it
// lost (Lacking), and writes no chunk twice: what
// the log has beyond the checkpoint is compared with what comes now, and other bytes are
// ErrDeterminism.
//
// A damaged segment keeps no session from going on: it is set aside, those of its batches that
// are whole are kept in its place, and the steps of the others come again or are lacking. What
// is whole and of another run or version is refused.
//
// A tombstone is logged when it comes, as rows whose sample is schemas.Unmade; the chunk
// follows, if it is made later.
//
// Nothing in a file is trusted: its run is validated, its schema compared
// with the one that this build writes for that run, byte for byte or, where another program has
// written the file again, column for column (package layout says what of theirs is taken), every
// length checked against the file's
// size and the run's limits before anything is allocated (batcher/internal/layout), each
// chunk checked as one from the wire, and the digest of pixels computed again from their rows.
//
// # In pseudo-code
//
//	Recorder.Chunk(ctx, c):  in the window, not there → append a batch of pixels
//	                    keep a copy without pixels
//	Recorder.Step(s):   append the copies' rows to the log, but for those it has
//	Recorder.Sync:      write, fsync
//
//	Replay:   for each step: chunks from the Source at once → assembler → Next
//	          of pixels: Folder, or batcher.Stored, what a broker keeps
//	          of a log: a stream.Stream over workers, given to Folder.Check
//	Ledger:   for each chunk: there already? planned by the order? → epoch's samples
//	          at an epoch's end: all different?
package record
