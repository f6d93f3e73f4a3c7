package boundedtest

import (
	"runtime"
	"testing"
)

// Allocates runs do, and fails t where it allocated more than fixed bytes and times bytes for
// each of the size bytes that it was given. It counts the whole process, so nothing else may
// run in it: no parallel tests.
func Allocates(t testing.TB, fixed, times, size int, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(fixed+times*size); got > most {
		t.Errorf("%d bytes of input: %d bytes were allocated, at most %d may be", size, got, most)
	}
}
