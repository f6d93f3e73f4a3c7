// Package augmenttest has what the tests of augment and of its engines share: pictures
// on which golden digests pin every kind of step, which must come out the same on every
// architecture; real photos; and a rig that renders samples.
package augmenttest
