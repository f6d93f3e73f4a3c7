package train

import (
	"errors"
	"fmt"
	"strings"

	"resslt/schemas/errs"
)

// inFlightStep is a step that was given to the device.
type inFlightStep struct {
	step    int64
	slot    *slot
	pending *PendingStep
	log     bool
}

// drain waits for steps in flight, oldest first, until at most leave of them remain.
// With none left, the device has done all that it was given.
func (l *loop) drain(leave int) error {
	for len(l.inFlight) > leave {
		f := l.inFlight[0]
		l.inFlight = l.inFlight[1:]
		stats, err := f.pending.Wait()
		if err != nil {
			return l.failed(f, err)
		}
		l.done(f, stats)
	}
	return nil
}

// done takes in the result of a step.
func (l *loop) done(f inFlightStep, stats Stats) {
	if f.log {
		l.stats = stats
	}
	l.prefetch.release(f.slot)
}

// failed ends a run at a step that may have moved a part of the state: it is not saved.
// The error says what to change and how to continue.
func (l *loop) failed(f inFlightStep, err error) error {
	l.inconsistent = true
	hint := ""
	switch {
	case errors.Is(err, errs.ErrDiverged):
		hint = l.divergedHint(f)
	case errors.Is(err, errs.ErrTooLarge):
		graph := "" // whose memory is needed besides that of the steps before it
		if strings.HasPrefix(l.Recipe.Device, "cuda") && l.Recipe.CUDAGraph != "false" {
			graph = "cuda_graph=false, "
		}
		hint = fmt.Sprintf("set %saccumulate=%d, activation_checkpointing=true or precision=bf16, or lower batch_size, then continue with --resume or begin again", graph, 2*l.Recipe.Accumulate)
	case errors.Is(err, errs.ErrUnsupported) && l.Recipe.Deterministic:
		hint = "set deterministic=false: this operator has no deterministic form on this device"
	case errors.Is(err, errs.ErrUnavailable):
		l.ranks.abandon()
		hint = "the newest checkpoint is sound: continue from it with --resume"
		if e := (*errs.Error)(nil); errors.As(err, &e) && e.Hint != "" {
			hint += "; " + e.Hint
		}
	default:
		return err
	}
	return errs.New("train", fmt.Sprintf("step %d", f.step), hint, withoutHint(err))
}

// withoutHint is the error that err wraps with a hint, or err.
func withoutHint(err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// divergedHint is the hint for a loss or a weight that is not finite.
const divergedHint = "lower base_lr, then continue from the last sound checkpoint with --resume --set base_lr=…"

// divergedHint keeps the batch of the step whose loss is not finite, and says how to look
// at it. No weight that is saved has changed by that step: the newest checkpoint is older,
// and sound.
func (l *loop) divergedHint(f inFlightStep) string {
	if l.Keep == nil {
		return divergedHint
	}
	file, err := l.Keep(f.slot.batch)
	if err != nil {
		return divergedHint + "; its batch could not be kept: " + err.Error()
	}
	return fmt.Sprintf("look at its batch, kept in %s, with `resslt inspect --step %d --record %s`; %s", file, f.step, l.Out, divergedHint)
}
