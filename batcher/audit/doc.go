// Package audit produces a sample of the chunks that a stream takes in again, with data of its
// own, and compares. A chunk's digest says that its bytes are what its worker made, not that
// its worker made the right ones. Nobody can foresee which chunks are sampled, so that a worker
// whose memory is bad, or that lies, is caught after some thousands of chunks, not after the
// run.
package audit
