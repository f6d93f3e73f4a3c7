// Package racetest says which tests `make race` leaves out, and why.
//
// The race detector watches the Go code of one process, which it makes several times slower.
// A test is left out where it can find nothing new:
//
//   - SkipNumbers: the test compares numbers, or tries inputs, in one goroutine or in libtorch, whose
//     C++ the detector does not see. What hands the results from goroutine to goroutine has
//     tests of its own.
//   - SkipPrograms: the test runs resslt and augmentd as processes. Some tests run builds of
//     them with the detector; the others run the same goroutines again.
package racetest
