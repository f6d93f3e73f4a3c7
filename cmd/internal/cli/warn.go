package cli

import (
	"fmt"
	"os"
	"sync"
)

// warned holds the lines that Warn has printed.
var warned sync.Map

// Warn prints a line that begins with "warning: " to standard error, once in a process: a
// verb may open the same data several times.
func Warn(why string) {
	if _, said := warned.LoadOrStore(why, true); !said {
		fmt.Fprintln(os.Stderr, "warning: "+why)
	}
}
