// Package leases reads the notes by which trainers claim their names in a run, and says which
// of them still hold. Trainers of the same run write them (package stream), and everybody else
// goes by them (package runs).
//
// No two machines' clocks are compared: a note's age is the broker's to say, or is measured by
// who watches it.
package leases
