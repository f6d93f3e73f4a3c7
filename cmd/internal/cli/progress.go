package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// LineEvery is the least time between two lines of progress where there is no terminal.
const LineEvery = 5 * time.Second

// Terminal reports whether w is a terminal.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// TerminalInput reports whether what is read from r is typed at a terminal.
func TerminalInput(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Counting shows how much of something is done, and how long the rest takes at this session's
// rate: a bar on a terminal, a line every few seconds elsewhere. It counts from what an
// earlier session did, and belongs to one goroutine. done is called at the end, in any case.
func Counting(w io.Writer, what string, total, from int64) (set func(n int64), done func()) {
	bar, line, began := NewBar(w, max(total, 1), from), Periodically(w), time.Now()
	return func(n int64) {
		left := "?"
		if n > from {
			left = (time.Since(began) * time.Duration(total-n) / time.Duration(n-from)).Round(time.Second).String()
		}
		if bar != nil {
			bar.Tell(what, "left "+left)
			bar.Set(n)
			return
		}
		line("%s: %d of %d, left %s", what, n, total, left)
	}, bar.Close
}

// Periodically gives a function that prints a line every few seconds, and leaves out those
// that come sooner. It belongs to one goroutine.
func Periodically(w io.Writer) func(format string, args ...any) {
	last := time.Now()
	return func(format string, args ...any) {
		if now := time.Now(); now.Sub(last) >= LineEvery {
			last = now
			fmt.Fprintf(w, format+"\n", args...)
		}
	}
}
