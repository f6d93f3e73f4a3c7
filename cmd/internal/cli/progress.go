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

// DrawEvery is how often a progress bar is drawn on w: where there is no terminal, it leaves
// a line each time.
func DrawEvery(w io.Writer) time.Duration {
	if Terminal(w) {
		return 100 * time.Millisecond
	}
	return LineEvery
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
