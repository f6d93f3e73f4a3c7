// Package process tells whether a process of this machine lives, by a name that another process
// can check.
package process
