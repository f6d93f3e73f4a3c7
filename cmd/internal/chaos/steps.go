package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"resslt/schemas/errs"
)

// pollSteps is the interval at which the driver looks for new steps: the resolution of
// its measured times.
const pollSteps = 5 * time.Millisecond

// stepLine is the part of a metrics.jsonl line that the driver reads.
type stepLine struct {
	Step int64   `json:"step"`
	Loss float64 `json:"loss"`
}

// stepEvent is a step that the trainer finished; after a resumption the same step may
// occur again.
type stepEvent struct {
	step int64
	at   time.Time
}

// stepWatch follows the trainer by OUT/metrics.jsonl, to which it appends a line after
// each step.
type stepWatch struct {
	path string

	mu      sync.Mutex
	events  []stepEvent   // guarded by mu
	changed chan struct{} // closed and replaced at each event; guarded by mu
}

func newStepWatch(path string) *stepWatch {
	return &stepWatch{path: path, changed: make(chan struct{})}
}

// follow reads until ctx ends.
func (w *stepWatch) follow(ctx context.Context) error {
	tick := time.NewTicker(pollSteps)
	defer tick.Stop()
	at := int64(0) // bytes read
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n, err := w.read(at)
		if err != nil {
			return err
		}
		at = n
	}
}

// read parses the complete lines from byte at on, and returns the offset after them. A
// file that has shrunk was cut to its checkpoint's step by a resuming trainer.
func (w *stepWatch) read(at int64) (int64, error) {
	info, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // before the first step, or moved away
	}
	if err == nil && info.Size() <= at {
		return info.Size(), nil
	}
	var raw []byte
	if err == nil {
		raw, err = os.ReadFile(w.path)
	}
	if err != nil {
		return 0, errs.New("read", w.path, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	raw = raw[min(at, int64(len(raw))):]
	now := time.Now()
	for line := range bytes.Lines(raw) {
		if line[len(line)-1] != '\n' {
			break // still being written
		}
		at += int64(len(line))
		var s stepLine
		if json.Unmarshal(line, &s) == nil && s.Step > 0 {
			w.add(stepEvent{s.Step, now})
		}
	}
	return at, nil
}

func (w *stepWatch) add(e stepEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	close(w.changed)
	w.changed = make(chan struct{})
}

// last returns the newest event, zero before the first, and a channel that is closed at
// the next.
func (w *stepWatch) last() (stepEvent, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		return stepEvent{}, w.changed
	}
	return w.events[len(w.events)-1], w.changed
}

// longest is the longest time without a step that overlaps [from, to].
func (w *stepWatch) longest(from, to time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var gap time.Duration
	for i := 1; i < len(w.events); i++ {
		a, b := w.events[i-1].at, w.events[i].at
		if b.After(from) && a.Before(to) {
			gap = max(gap, b.Sub(a))
		}
	}
	return gap
}

// readSteps reads the losses of a finished run, one for each step, in order.
func readSteps(path string) ([]stepLine, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, errs.New("read", path, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	var out []stepLine
	for line := range bytes.Lines(raw) {
		var s stepLine
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, errs.New("read", path, "", errs.BecauseErr(errs.ErrCorrupt, err))
		}
		out = append(out, s)
	}
	return out, nil
}
