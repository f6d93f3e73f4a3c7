// Package wire is what travels between trainers and workers: tasks and chunks, as messages
// that hold an Arrow IPC stream and a few headers. It knows no network.
//
//	Task  ── EncodeTask ──► message ── DecodeTask ──► Task
//	Chunk ── Encoder ──► body ── ChunkMessage ──► message ── Decoder ──► Chunk
//
// # Invariants
//
// Equal rows give equal bytes, on every machine: a chunk's digest is the SHA-256 of its body.
//
// Decoding trusts nothing. It checks in this order: size cap computed from the spec, spec
// digest, SHA-256 of the body, schema message byte for byte against the local one, then the
// record batch's metadata in place with every bound checked (internal/layout). Nothing is
// allocated by a size that the bytes name, and pixels are not copied: they stay parts of the
// message.
package wire
