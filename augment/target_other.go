//go:build !amd64.v3

package augment

// goTarget is empty where GOARCH alone says how floating point is compiled.
const goTarget = ""
