// Package augmenttest has the pictures on which the tests of augment and of its engines
// draw every kind of step: golden digests say that all of them, on every architecture,
// give the same bytes.
package augmenttest
