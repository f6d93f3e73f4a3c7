// Package layout finds the buffers of Arrow record batches in bytes that nobody
// vouches for, without Arrow's own reader: that one allocates what the bytes ask
// for, copies every buffer, and can be made to crash the process by one flipped
// bit in a schema message.
//
// A Layout is made from a schema that this process knows. A message's schema must
// equal it byte for byte; of the record batch's metadata every number is held
// against what is there; buffers are then parts of the message. Flatbuffers'
// accessors index the metadata without checks of their own, so that a wild offset
// panics: bounded by the metadata's length it can do nothing worse, and is recovered.
//
//	bytes ─► schema message = l.prefix? ─► Open: metadata in place ─► Batch ─► Column
//
// Chunks and tasks are whole streams of one batch (Parse). A record's files hold
// many batches, whose schema message also carries the run (SchemaMetadata), and
// those of a recipe log are compressed by zstd: what a buffer claims to hold is
// bounded by the rows before anything is allocated.
//
// A file may have been written again by another Arrow. Of it is taken: another schema
// message that says the same of the columns (SameFields), columns that may have nulls and have
// none, validity bitmaps then, LZ4 as well as zstd, and buffers that a compressing writer left
// as they were. No byte of it reaches Arrow's own reader.
package layout
