// Package process reports whether a process on this machine is alive, by a name that another process
// can check.
package process
