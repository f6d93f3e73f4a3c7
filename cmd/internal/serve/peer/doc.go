// Package peer is a client of `resslt serve` in Go, for tests and measurements. It is written
// from docs/wire.md, and shares nothing with the server.
package peer
