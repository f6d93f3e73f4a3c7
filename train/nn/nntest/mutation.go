package nntest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// Mutation is a fault that a parity test must detect.
type Mutation struct {
	Parity string // the comparison
	Fault  string // the fault; "" for none, which must pass
	Check  func(testing.TB)
}

// Mutations runs each check, with the comparison and bound of the parity test, and fails
// for an undetected fault and for a check without fault that does not pass.
func Mutations(t *testing.T, all []Mutation) {
	t.Helper()
	torchtest.Require(t)
	slices.SortStableFunc(all, func(a, b Mutation) int {
		return cmp.Or(strings.Compare(a.Parity, b.Parity), strings.Compare(a.Fault, b.Fault))
	})
	var table strings.Builder
	for _, m := range all {
		r := &recorder{TB: t}
		m.Check(r)
		r.end()
		fault, verdict := m.Fault, "seen"
		switch {
		case fault == "" && r.failures == 0:
			fault, verdict = "none", "passes"
		case fault == "":
			fault, verdict = "none", "FAILS"
			t.Errorf("%s: fails without a fault: %s", m.Parity, r.first)
		case r.failures == 0:
			verdict = "NOT SEEN"
			t.Errorf("%s: does not see %s", m.Parity, fault)
		}
		fmt.Fprintf(&table, "mutation | %-34s | %-32s | %-8s | %.110s\n", m.Parity, fault, verdict, r.first)
	}
	t.Logf("\n%s", table.String())
}

// recorder is a test whose failures are counted, not reported. A fatal failure ends the
// real test, since no comparison fails that way.
type recorder struct {
	testing.TB
	failures int
	first    string
	cleanups []func()
}

// Cleanup runs f at the end of the check.
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func (r *recorder) Errorf(format string, args ...any) {
	if r.failures == 0 {
		r.first = fmt.Sprintf(format, args...)
	}
	r.failures++
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) Helper() {}

func (r *recorder) Logf(string, ...any) {}

// Scaled is a copy of v in which the elements of the named tensor, or of all if name is
// "", are multiplied by by.
func Scaled(v Values, name string, by float64) Values {
	out := Values{}
	for n, e := range v {
		out[n] = e
		if name == "" || n == name {
			out[n] = make([]float64, len(e))
			for i := range e {
				out[n][i] = e[i] * by
			}
		}
	}
	return out
}

// Transpose swaps the last two dimensions of a square weight.
func Transpose(w *torch.Tensor) {
	torch.NoGrad(func() {
		torch.ScopeDo(func() {
			d := int64(w.Dim())
			torch.Copy_(w, torch.Clone(torch.Transpose(w, d-2, d-1)), false)
		})
	})
}

// BFloat16 makes the CPU's bf16 convolutions run in this test, see torchtest.BFloat16.
func BFloat16(t testing.TB) {
	t.Helper()
	torchtest.BFloat16(t)
}
