package cli

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestBarFits draws a bar in terminals of several widths, one of them resized: no line is
// longer than the terminal, which would scroll it, and the most important field stays longest.
func TestBarFits(t *testing.T) {
	codes := regexp.MustCompile("\x1b\\[[0-9]*K")
	fields := []string{"left 5h0m0s", "loss 7.1234", "812 img/s", "wait 3%", "α 0.50", "lr 0.0600"}
	for _, c := range []struct {
		name         string
		width        func(draw int) int
		shows, drops []string
	}{
		{"wide", func(int) int { return 120 }, fields, nil},
		{"80 columns", func(int) int { return 80 }, fields[:3], nil},
		{"60 columns", func(int) int { return 60 }, fields[:1], fields[3:]},
		{"40 columns", func(int) int { return 40 }, nil, fields},
		{"resized", func(draw int) int { return []int{120, 60}[draw/2] }, fields, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			draw := 0
			b := newBar(&out, 100_000, 90_000, func() int { return c.width(draw) })
			b.Tell(fields...)
			for ; draw < 4; draw++ {
				time.Sleep(110 * time.Millisecond) // it draws ten times a second
				before := out.Len()
				b.Set(90_001 + int64(draw))
				for line := range strings.SplitSeq(codes.ReplaceAllString(out.String()[before:], ""), "\r") {
					if n := utf8.RuneCountInString(line); n > c.width(draw) {
						t.Errorf("%d columns in a terminal of %d: %q", n, c.width(draw), line)
					}
				}
			}
			b.Close()
			says := out.String()
			for _, f := range c.shows {
				if !strings.Contains(says, f) {
					t.Errorf("it does not show %q: %q", f, says)
				}
			}
			for _, f := range c.drops {
				if strings.Contains(says, f) {
					t.Errorf("it shows %q: %q", f, says)
				}
			}
			if !strings.Contains(says, "(90004/100000)") || !strings.HasSuffix(says, "\n") {
				t.Errorf("it shows %q", says)
			}
		})
	}
}

// A bar that is none draws nothing: into a pipe, lines are for its callers.
func TestNoBarWithoutTerminal(t *testing.T) {
	var out bytes.Buffer
	b := NewBar(&out, 10, 0)
	b.Tell("embedding")
	b.Set(3)
	b.Close()
	if b != nil || out.Len() > 0 {
		t.Errorf("into a pipe it draws %q", out.String())
	}
}
