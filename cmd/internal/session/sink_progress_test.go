package session

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"resslt/train"
)

// The time that is left comes from this session's steps: 90,000 that an earlier one made in a
// day say nothing about how fast this one is.
func TestBarAfterResume(t *testing.T) {
	var out bytes.Buffer
	p := &progress{console: &console{stderr: &out}, bar: newBar(&out, 100_000, 90_000)}
	for step := int64(90_001); step < 90_004; step++ {
		time.Sleep(110 * time.Millisecond) // it draws ten times a second
		p.observe(train.Progress{Step: step, Steps: 100_000, Logged: true, Remaining: 5 * time.Hour})
	}
	if says := out.String(); !strings.Contains(says, "left 5h0m0s") || !strings.Contains(says, "(90002/100000)") {
		t.Errorf("it shows %q", says)
	}
	if predicted := regexp.MustCompile(`\[[0-9hms]+:[0-9hms]+\]`).FindString(out.String()); predicted != "" {
		t.Errorf("it predicts %s of its own", predicted)
	}
}
