package train

import (
	"errors"
	"fmt"
	"strings"

	"resslt/schemas/errs"
)

// flight is a step that was given to the device.
type flight struct {
	step     int64
	slot     *slot
	launched *Launched
	log      bool
}

// settle looks at the losses of steps in flight until no more than so many are
// unseen. Afterwards, if none is, the device has done all that it was given.
func (l *loop) settle(unseen int) error {
	for len(l.flight) > unseen {
		f := l.flight[0]
		l.flight = l.flight[1:]
		stats, err := f.launched.Wait()
		if err != nil {
			return l.failed(f, err)
		}
		l.done(f, stats)
	}
	return nil
}

// done takes what a step has left.
func (l *loop) done(f flight, stats Stats) {
	if f.log {
		l.stats = stats
	}
	l.feed.release(f.slot)
}

// failed ends a run at a step that may have moved a part of the state: it is not
// saved.
func (l *loop) failed(f flight, err error) error {
	l.torn = true
	at := func(hint string) error {
		return errs.New("train", fmt.Sprintf("step %d", f.step), hint, bare(err))
	}
	switch {
	case errors.Is(err, errs.ErrDiverged):
		return l.diverged(f, err)
	case errors.Is(err, errs.ErrTooLarge):
		graph := "" // whose memory stands beside that of the steps before it
		if strings.HasPrefix(l.Recipe.Device, "cuda") && l.Recipe.CUDAGraph != "false" {
			graph = "cuda_graph=false, "
		}
		return at(fmt.Sprintf("set %saccumulate=%d, activation_checkpointing=true or precision=bf16, or lower batch_size, then go on with --resume or begin again", graph, 2*l.Recipe.Accumulate))
	case errors.Is(err, errs.ErrUnsupported) && l.Recipe.Deterministic:
		return at("set deterministic=false: this operator has no deterministic form on this device")
	case errors.Is(err, errs.ErrUnavailable):
		l.abandon()
		hint := "the newest checkpoint is sound: go on from it with --resume"
		if e := (*errs.Error)(nil); errors.As(err, &e) && e.Hint != "" {
			hint += "; " + e.Hint
		}
		return at(hint)
	}
	return err
}

// bare is the error without its own hint, for another.
func bare(err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// divergedHint is the hint for numbers that are no numbers.
const divergedHint = "lower base_lr, then go on from the last sound checkpoint with --resume --set base_lr=…"

// diverged ends a run at the step whose loss is not finite: no weight that is saved
// has changed by it. The batch is kept, to be looked at; the newest checkpoint is
// older, and sound.
func (l *loop) diverged(f flight, err error) error {
	hint := divergedHint
	if l.Keep != nil {
		if file, err := l.Keep(f.slot.batch); err != nil {
			hint += "; its batch could not be kept: " + err.Error()
		} else {
			hint = fmt.Sprintf("look at its batch, kept in %s, with `resslt inspect --step %d --record %s`; %s", file, f.step, l.Out, hint)
		}
	}
	return errs.New("train", fmt.Sprintf("step %d", f.step), hint, bare(err))
}
