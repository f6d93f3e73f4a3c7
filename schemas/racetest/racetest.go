package racetest

import "testing"

// SkipNumbers skips, under the race detector, a test of what one goroutine or libtorch computes.
func SkipNumbers(tb testing.TB) {
	tb.Helper()
	skip(tb, "is of one goroutine or of libtorch, where the race detector finds nothing")
}

// SkipPrograms skips, under the race detector, a test of programs whose goroutines another
// test runs.
func SkipPrograms(tb testing.TB) {
	tb.Helper()
	skip(tb, "runs programs whose goroutines other tests have under the race detector")
}

func skip(tb testing.TB, why string) {
	tb.Helper()
	if Enabled {
		tb.Skip(why)
	}
}
