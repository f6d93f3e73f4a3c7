// Package rig is what the tests of several packages share: brokers that can be stopped, cables
// that can be cut, a source of pixels that can be checked from end to end.
package rig
