package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// warned holds the lines that Warn has printed.
var warned sync.Map

// warnings is where Warn prints: standard error, in the form that the flags ask for.
var warnings atomic.Pointer[io.Writer]

// Warn prints a line that begins with "warning: " to standard error, once in a process: a
// verb may open the same data several times.
func Warn(why string) {
	if _, said := warned.LoadOrStore(why, true); said {
		return
	}
	w := io.Writer(os.Stderr)
	if lines := warnings.Load(); lines != nil {
		w = *lines
	}
	fmt.Fprintln(w, "warning: "+why)
}
