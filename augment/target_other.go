//go:build !amd64.v3

package augment

// goTarget is empty where GOARCH alone determines how floating point is compiled.
const goTarget = ""
