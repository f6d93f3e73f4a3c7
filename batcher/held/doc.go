// Package held keeps chunks in the process that makes them, where their readers are in it, too.
// What the broker then has of a chunk is its message without a body: who makes what, in which
// order, once, and for how long it stays is decided there as for any other chunk. The rows
// themselves are not encoded, sent, stored, fetched and checked to come back where they were.
//
//	worker                            broker                         stream
//	fill a chunk;  Put  ────────────► Store  ◄──────────────────────  Get, at the message
//	publish the message, no body ───► b.<run>.<step>.<chunk>  ──────► take it in
//	                                  purged, deleted  ─────────────► Drop, DropStep
//
// # Invariants
//
// Put before the message is published, Drop after it is deleted: whoever sees a message finds
// the chunk, unless it is being deleted at that moment. Then the chunk is requested again, as any
// that is unusable.
//
// A chunk that is there is compared with one that is made again, byte by byte: they are equal, or
// it is ErrDeterminism, as where the broker compares digests.
//
// Nothing is digested for the sake of the transport: what Put took is what Get gives. A reader
// that records has the digest computed, that which the chunk's body would have on the wire.
//
// A Store holds no more than its limit. A chunk beyond it is refused, as by a full stream, and the
// planner makes room.
package held
