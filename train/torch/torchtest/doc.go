// Package torchtest lets tests that need libtorch find it, or skip.
package torchtest
