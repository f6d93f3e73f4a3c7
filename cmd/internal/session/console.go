package session

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"

	"resslt/cmd/internal/cli"
	form "resslt/cmd/internal/console"
)

// console is where a process writes for people, or for the collector that reads its log.
type console struct {
	stdout, stderr io.Writer
	log            *slog.Logger
	plain          bool // stderr is read by people, not a log
}

func newConsole(o *Options) (*console, error) {
	lines, log, err := o.Form.Open(o.Stderr)
	if err != nil {
		return nil, err
	}
	return &console{stdout: o.Stdout, stderr: lines, log: log, plain: o.Form.Plain()}, nil
}

// ofRank is the console of a rank other than 0: it prints no result, and names itself before
// every line.
func (c *console) ofRank(rank int) *console {
	r := &console{stdout: io.Discard, stderr: rankLines{rank, c.stderr}, log: c.log.With("rank", rank), plain: c.plain}
	if !c.plain {
		r.stderr = form.Lines(r.log)
	}
	return r
}

func (c *console) print(line string) { fmt.Fprintln(c.stderr, line) }

// clearLine brings the cursor to the beginning of a terminal's line and empties it (ECMA-48: CR, EL).
const clearLine = "\r\x1b[K"

// interject prints a line in the place of a progress bar, which may be on the terminal's last one and
// is drawn again at the next step.
func (c *console) interject(line string) {
	if cli.Terminal(c.stderr) {
		line = clearLine + line
	}
	fmt.Fprintln(c.stderr, line)
}

// warn prints an error that ends nothing.
func (c *console) warn(err error) { c.print("warning: " + cli.Line(err)) }

// rankLines puts the rank before each line.
type rankLines struct {
	rank int
	to   io.Writer
}

func (w rankLines) Write(p []byte) (int, error) {
	for line := range bytes.Lines(bytes.TrimLeft(p, "\n")) {
		if _, err := fmt.Fprintf(w.to, "rank %d: %s", w.rank, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
