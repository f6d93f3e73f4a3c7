package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar is one line of progress on a terminal: what is told of it, as much as the line has room
// for, a bar, and a count. It belongs to one goroutine.
type Bar struct {
	w     io.Writer
	width func() int // columns of the terminal now; it may be resized
	bar   *progressbar.ProgressBar
	total int64
	told  []string
	shown string // of what is told, in the width at the time
}

// barCells is the width of the bar itself.
const barCells = 10

// NewBar is a bar from one count to another, or nil where w is no terminal, or one that obeys no
// codes (TERM=dumb). It has no colour, whatever NO_COLOR says. Methods of a nil
// Bar do nothing. It predicts no time: it would take what an earlier session did for this one's.
func NewBar(w io.Writer, total, from int64) *Bar {
	if !Terminal(w) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return newBar(w, total, from, func() int { return columns(w) })
}

func newBar(w io.Writer, total, from int64, width func() int) *Bar {
	b := &Bar{w: w, width: width, total: total, bar: progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(barCells),
		progressbar.OptionUseANSICodes(true), // clears the line as it is, where a resize has left more of it
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(w) }))}
	b.Set(from)
	return b
}

// columns is the terminal's width, 80 where it does not tell.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}

// Tell says what stands before the bar: fields, the most important first. Those that the
// terminal has no room for are left out, the last ones first.
func (b *Bar) Tell(fields ...string) {
	if b != nil {
		b.told = fields
	}
}

// Set draws the bar at a count, ten times a second at most.
func (b *Bar) Set(n int64) {
	if b == nil {
		return
	}
	if line := b.fit(); line != b.shown {
		b.shown = line
		b.bar.Describe(line)
	}
	_ = b.bar.Set64(n) // a bar that cannot draw is no reason to stop the work
}

// fit is what is told, as far as the line has room.
func (b *Bar) fit() string {
	room := b.width() - len(fmt.Sprintf("  100%% || (%d/%d)  ", b.total, b.total)) - barCells
	line := ""
	for _, f := range b.told {
		next := strings.TrimSpace(line + " " + f)
		if utf8.RuneCountInString(next) > room {
			break
		}
		line = next
	}
	return line
}

// Close leaves the terminal on a line of its own, also before the last count.
func (b *Bar) Close() {
	if b != nil && !b.bar.IsFinished() {
		_ = b.bar.Exit() // as in Set
		fmt.Fprintln(b.w)
	}
}
