// Package supply opens a run somewhere, so that streams of its batches can be opened: in this
// process, with a broker and a worker of its own, or in a farm's broker. What is done with the
// batches is for others: packages session and serve.
//
//	Embedded   broker and worker in this process; they end with Close
//	Farm       a connection to a farm's broker
//
// # In pseudo-code
//
//	e ← OpenEmbedded(spec)    broker, run; the worker is prepared
//	s ← e.Open(options)       the worker begins with the first; several may be open at once
//	s.Next …                  fails with the worker's error where that has failed
//	s.Close, e.Close
//
// # Invariants
//
//   - Where nobody else can reach the broker, and it keeps chunks in memory, their pixels do not go
//     through it (package batcher/held). With a broker that listens, or that keeps them in files,
//     they do, as in a farm. Batches and digests are the same.
//   - A worker's failure is reported once: by the Next that it interrupts, else by Close.
//   - Streams are closed before the supply is.
package supply
