//go:build !race

package racetest

// Enabled is whether this program was built with the race detector.
const Enabled = false
