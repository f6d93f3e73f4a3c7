// Package sniff says what a file is that is not what it should be, by its first bytes: a
// PyTorch checkpoint in place of safetensors, a page that a web server sent in place of a
// file, a Git LFS pointer. Errors can then name the true cause.
//
//	kind := sniff.What(head)             // "a gzip file", "unpack it with gunzip"
//	err := sniff.Instead("open checkpoint", path, "a safetensors file", "name one")
package sniff
