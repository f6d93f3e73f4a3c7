package train

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"resslt/schemas/errs"
)

// inFlightStep is a step that was made, or given to the device.
type inFlightStep struct {
	step    int64
	hyper   Hyper
	slot    *slot
	stats   Stats        // where pending is nil
	pending *PendingStep // nil: the step is done
	copied  bool         // the state behind it is being copied, for a checkpoint
}

// launch makes a step, or gives it to the device.
func (l *loop) launch(f *inFlightStep) (err error) {
	v := f.slot.views
	if l.InFlight == 0 {
		f.stats, err = l.learner.Step(v.teacher, v.student, f.hyper)
	} else {
		f.pending, err = l.learner.StepAsync(v.teacher, v.student, f.hyper)
	}
	return err
}

// drain takes in steps, oldest first, until at most leave of them are in flight, and waits
// for the device where it has to. What a step leads to comes in one order, however late it
// comes: its line of metrics, then the checkpoint of the state behind it. With none left,
// the device has done all that it was given.
func (l *loop) drain(leave int) error {
	for len(l.inFlight) > leave {
		f := l.inFlight[0]
		l.inFlight = l.inFlight[1:]
		if err := l.settle(f); err != nil {
			return err
		}
	}
	return nil
}

// settle takes in the result of a step.
func (l *loop) settle(f inFlightStep) error {
	if f.pending != nil {
		began := time.Now()
		var err error
		if f.stats, err = f.pending.Wait(); err != nil {
			return l.failed(f, err)
		}
		l.pace.spend(time.Since(began), 0)
	}
	l.pace.made()
	if f.hyper.Stats {
		l.stats = f.stats
	}
	l.prefetch.release(f.slot)
	if err := l.ranks.deferError(l.report(f)); err != nil {
		return err
	}
	if f.copied {
		return l.handOff(f.step + 1)
	}
	return nil
}

// catchUp takes in the steps that the device finishes while there is no batch to give it:
// a run that waits for its input shows all that it has done. Not with several ranks, which
// come to their messages in one order.
func (l *loop) catchUp() error {
	for l.Group == nil && len(l.inFlight) > 0 && l.prefetch.starved() {
		began := time.Now()
		done, err := l.inFlight[0].pending.isDone()
		if err != nil {
			return l.failed(l.inFlight[0], err)
		}
		if !done {
			time.Sleep(pollEvery)
			l.pace.spend(time.Since(began), 0)
			continue
		}
		if err := l.drain(len(l.inFlight) - 1); err != nil {
			return err
		}
	}
	return nil
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
