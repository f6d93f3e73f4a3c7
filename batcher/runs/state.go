package runs

import (
	"slices"
	"time"

	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

// Options are what the run was last opened with, with defaults.
func (r *Run) Options() Options { return r.opts }

// JetStream is the broker that the run is in.
func (r *Run) JetStream() jetstream.JetStream { return r.js }

// Window is how many steps workers may be ahead of the slowest trainer.
func (r *Run) Window() int64 { return r.opts.Window }

// State is where a run is in its life.
type State string

// The states of a run.
const (
	// StateLive has a live trainer.
	StateLive State = "live"
	// StateOpened is being opened, or waits for its first trainer.
	StateOpened State = "opened"
	// StateEnded has been trained to its last step, and every trainer has left.
	StateEnded State = "ended"
	// StateAbandoned has no live trainer, and steps left: interrupted, or its trainer died.
	StateAbandoned State = "abandoned"
	// StateAsleep is an abandoned run that holds nothing but its record.
	StateAsleep State = "asleep"
	// StateStopped has a notice that it must not continue.
	StateStopped State = "stopped"
	// StateRecording keeps every chunk, and is not whole; nobody is at it.
	StateRecording State = "recording"
	// StateSealed is a recording, whole.
	StateSealed State = "sealed"
	// StateOrphan is what is left of a run that has no spec.
	StateOrphan State = "orphan"
	// StateUnreadable has a spec or options that this build cannot read.
	StateUnreadable State = "unreadable"
)

// States are all of them.
func States() []State {
	return []State{
		StateLive, StateOpened, StateEnded, StateAbandoned, StateAsleep, StateStopped, StateRecording, StateSealed, StateOrphan, StateUnreadable,
	}
}

// openedFor is how long a run counts as being opened: without a spec, or without a trainer.
const openedFor = 10 * time.Minute

// State says where the run is in its life.
func (o *Overview) State() State {
	switch {
	case o.Slowest() != nil:
		return StateLive
	case o.Run == nil && o.Err != nil:
		return StateUnreadable
	case o.Run == nil && o.has(schemas.CtrlStream(o.Name)) && o.Now.Sub(o.Opened) < openedFor:
		return StateOpened
	case o.Run == nil:
		return StateOrphan
	case o.Sealed:
		return StateSealed
	case o.records():
		return StateRecording
	case o.Stopped != nil:
		return StateStopped
	case o.Opened.After(o.lastRenewal()) && o.Now.Sub(o.Opened) < openedFor:
		return StateOpened
	case o.isOver():
		return StateEnded
	case !o.isAwake():
		return StateAsleep
	}
	return StateAbandoned
}

// Since is when that began: when a live, opened or sealed run was last opened, and when a trainer
// was last heard of otherwise.
func (o *Overview) Since() time.Time {
	last := o.lastRenewal()
	switch o.State() {
	case StateLive, StateOpened, StateSealed, StateOrphan:
		return o.Opened
	}
	if last.IsZero() {
		return o.Opened
	}
	return last
}

// lastRenewal is when a trainer last renewed its lease; zero where none ever had one.
func (o *Overview) lastRenewal() (last time.Time) {
	for _, t := range o.Trainers {
		if t.Renewed.After(last) {
			last = t.Renewed
		}
	}
	return last
}

func (o *Overview) has(stream string) bool { return slices.Contains(o.Kept, stream) }

// isAwake reports whether the run holds what could be made again.
func (o *Overview) isAwake() bool {
	return slices.ContainsFunc(o.Kept, func(s string) bool { return s != schemas.CtrlStream(o.Name) })
}

// records reports whether the run is a recording that is not sealed: a trainer keeps every
// step, or chunks are imported, into a run that no trainer has gone on with since. A run that
// is not awake has none left.
func (o *Overview) records() bool {
	if !o.has(schemas.BatchStream(o.Name)) {
		return false
	}
	imported := o.Opened.After(o.lastRenewal()) && o.Run.opts.Storage == StorageFile && o.Run.opts.MaxBytes == RecordingBytes(o.Run.Spec())
	return o.keepsSteps || imported
}

// isOver reports whether every trainer has left, and one of them at the end.
func (o *Overview) isOver() bool {
	end := false
	for _, t := range o.Trainers {
		if !t.Left {
			return false
		}
		end = end || t.Cursor >= o.Run.Spec().Steps()
	}
	return end
}

// SleepsNow reports whether the run can be put to sleep: nobody is at it, and nothing
// happened for longer than after, 0 for the time that it was opened with. One that has ended
// need not wait.
func (o *Overview) SleepsNow(after time.Duration) bool {
	if !o.isAwake() {
		return false
	}
	switch o.State() {
	case StateEnded:
		return true
	case StateAbandoned, StateStopped:
		if after == 0 {
			after = o.Run.opts.SleepAfter
		}
		return o.Now.Sub(o.Stirred) >= after
	}
	return false
}
