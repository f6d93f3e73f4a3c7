package nntest

import (
	"math"
	"testing"
)

// Deviation is max|a−b| / max|b|, or max|a−b| if b is empty or zero.
func Deviation[F float32 | float64](a, b []F) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var diff, most float64
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		diff, most = max(diff, d), max(most, math.Abs(float64(b[i])))
	}
	if most == 0 {
		return diff
	}
	return diff / most
}

// Close fails the test if the deviation is above tolerance, and returns it.
func Close[F float32 | float64](t testing.TB, what string, got, want []F, tolerance float64) float64 {
	t.Helper()
	d := Deviation(got, want)
	if !(d <= tolerance) {
		t.Errorf("%s deviates by %.2g, want at most %.2g", what, d, tolerance)
	}
	return d
}

// Stored fails the test unless float64 results equal those that a fixture stores in
// fp32: each was rounded once, by at most Unit of itself. The float64 error of both
// programs is taken to be a tenth of that, 6e-9: a condition number of 5e7 for float64's
// unit 2⁻⁵³.
func Stored(tb testing.TB, what string, got []float64, want []float32) {
	tb.Helper()
	var most float64
	for _, w := range want {
		most = max(most, math.Abs(float64(w)))
	}
	StoredOf(tb, what, got, want, most)
}

// StoredOf is Stored for a tensor that is part of a larger one, whose largest magnitude
// is most: deviations are relative to that.
func StoredOf(tb testing.TB, what string, got []float64, want []float32, most float64) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Errorf("%s has %d elements, the fixture %d", what, len(got), len(want))
		return
	}
	var worst float64
	for i, w := range want {
		d := math.Abs(got[i] - float64(w))
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		worst = max(worst, d)
	}
	if most == 0 {
		most = 1
	}
	if worst /= most; !(worst <= 1.1*Unit) {
		tb.Errorf("%s deviates by %.2g, want at most %.2g: a rounding to fp32", what, worst, 1.1*Unit)
	}
}
