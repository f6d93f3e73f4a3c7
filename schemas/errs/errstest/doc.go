// Package errstest checks errors in tests: their kind, what they say, and that they are
// one line.
package errstest
