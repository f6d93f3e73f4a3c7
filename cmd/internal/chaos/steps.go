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

// pollSteps is how often the driver looks for new steps: the resolution of every
// time that it measures.
const pollSteps = 5 * time.Millisecond

// stepLine is what the driver reads of a line of metrics.jsonl.
type stepLine struct {
	Step int64   `json:"step"`
	Loss float64 `json:"loss"`
}

// stepEvent is a step that the trainer finished; after a resumption the same step
// comes again.
type stepEvent struct {
	step int64
	at   time.Time
}

// stepWatch follows the trainer by OUT/metrics.jsonl, which it appends to after
// each step: the trainer is a process, and this is what it tells the world.
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
	at := int64(0) // bytes that were read
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

// read takes in the whole lines after byte at, and gives the place behind them. A
// file that shrank was cut to its checkpoint's step by a trainer that resumes.
func (w *stepWatch) read(at int64) (int64, error) {
	info, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // before the first step, or set aside
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

// last gives the newest event, zero before the first, and what is closed at the
// next.
func (w *stepWatch) last() (stepEvent, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		return stepEvent{}, w.changed
	}
	return w.events[len(w.events)-1], w.changed
}

// longest is the longest time without a step that touches [from, to].
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

// readSteps reads a finished run's losses, one a step in order.
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
