package record

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"resslt/schemas/errs"
)

const fileSuffix = ".arrow"

// segmentName is "log-000000.arrow" or "pixels-000000.arrow".
func segmentName(pixels bool, n int) string {
	kind := "log"
	if pixels {
		kind = "pixels"
	}
	return fmt.Sprintf("%s-%06d%s", kind, n, fileSuffix)
}

// segmentNumber is the number in a segment's name, false where that is none.
func segmentNumber(path string) (int, bool) {
	name := filepath.Base(path)
	_, digits, _ := strings.Cut(strings.TrimSuffix(name, fileSuffix), "-")
	n, err := strconv.Atoi(digits)
	return n, err == nil && (name == segmentName(false, n) || name == segmentName(true, n))
}

// Window is a half-open range of steps, [From, To).
type Window struct{ From, To int64 }

// Empty reports whether it holds no step.
func (w Window) Empty() bool { return w.To <= w.From }

// has reports whether it holds the step.
func (w Window) has(step int64) bool { return step >= w.From && step < w.To }

// String is "step 3", or "steps 3 to 7", both included.
func (w Window) String() string {
	if w.To-w.From == 1 {
		return fmt.Sprintf("step %d", w.From)
	}
	return fmt.Sprintf("steps %d to %d", w.From, w.To-1)
}

// ParseWindow reads "FROM-TO", both included, "FROM-" to the end, or "STEP"; steps is
// the run's number of them. It returns ErrUsage.
func ParseWindow(s string, steps int64) (Window, error) {
	from, to, dash := strings.Cut(s, "-")
	a, err := strconv.ParseInt(from, 10, 64)
	b := a
	if err == nil && dash && to == "" {
		b = steps - 1
	} else if err == nil && dash {
		b, err = strconv.ParseInt(to, 10, 64)
	}
	if err != nil || a < 0 || b < a || a >= steps {
		return Window{}, errs.New("steps", strconv.Quote(s), "give FROM-TO, both included, FROM- or one step",
			errs.Because(errs.ErrUsage, fmt.Sprintf("the run has steps 0 to %d", steps-1)))
	}
	return Window{a, min(b+1, steps)}, nil
}
