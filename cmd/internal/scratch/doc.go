// Package scratch makes temporary folders that do not outlive their process: Close removes
// one, and where the process was killed, the next start of any program of ours does (Sweep).
//
//	TMPDIR/resslt-broker-1234/.resslt-scratch   "resslt temporary folder resslt-broker-1234"
//
// # Invariants
//
// The mark is locked (flock) from before it has its name until its process ends, however it
// ends. So a mark that can be locked is that of a dead process, and a folder without one is
// not ours, or is not one yet.
//
// Sweep, and Remove for `resslt gc`, remove a folder only where it is this user's own, has our
// prefix, and its mark is a regular file that names this very folder: a copy, or a link to one,
// stays.
package scratch
