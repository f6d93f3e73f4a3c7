package web

import (
	"time"

	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/sheet"
	"resslt/schemas"
)

// Live is what a process that trains knows of its run beyond its files. Neither method waits for
// anything, and both are called only while somebody looks.
type Live interface {
	Now() Now
	// Views are a few samples of a step that was handed out lately, the same until there are newer
	// ones; nil before the first. To call it is to ask for newer ones.
	Views() *Views
}

// Now is the moment of a run.
type Now struct {
	Phase       string // preparing, training, evaluating; the folder's files are the run's from training on
	Begun       bool   // they are
	Step, Steps int64
	Remaining   time.Duration // 0: unknown
	Notices     []string      // newest last
	Queue       *Queue        // nil where no stream is open, or it is a recording's
	Workers     []runs.Heartbeat
}

// Queue is what lies between the workers and the step.
type Queue struct {
	stream.Stats
	Window   int64 // steps that workers may be ahead
	Buffered int64 // complete steps that the broker holds ahead of the trainer
}

// ShownSlots are how many samples of a step are shown.
const ShownSlots = 4

// Views are samples as they are trained on.
type Views struct {
	Of    []schemas.ViewSpec
	Slots []sheet.Slot
}
