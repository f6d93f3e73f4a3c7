// Package memory is how much memory this process may take, so that what a run would need can be
// refused before it is allocated.
package memory
