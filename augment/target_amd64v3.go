//go:build amd64.v3

package augment

// goTarget marks builds whose compiler may fuse multiply and add.
const goTarget = "v3"
