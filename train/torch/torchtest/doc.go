// Package torchtest finds libtorch for the tests that need it, or skips them, and runs
// a test in several processes that form a torch.Group.
package torchtest
