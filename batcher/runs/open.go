package runs

import (
	"context"
	"errors"
	"slices"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/link"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// sleepWhenFull is how long a run is without a trainer before it is put to sleep for
	// another's sake, whatever it was opened with.
	sleepWhenFull = 10 * time.Minute
	// undoWait bounds how long what a refused opening had made is removed.
	undoWait = 5 * time.Second
)

// begun is what an opening has made so far: streams, by name, and the sequences of what it wrote
// to CTRL_<run>, 0 for nothing.
type begun struct {
	streams       []string
	spec, options uint64
}

// before is what CTRL_<run> held when an opening began: its options as they are stored, nil for
// none, and their sequence, 0 for none.
type before struct {
	options []byte
	seq     uint64
}

// open makes what is missing of the run. Where the broker is full, runs without a trainer
// are put to sleep, and it is tried once more. An opening that is refused leaves nothing, and one
// that the run's record refuses makes nothing.
func (r *Run) open(ctx context.Context) error {
	was, made, err := r.claim(ctx)
	if err != nil {
		return err
	}
	err = r.ensure(ctx, &made, r.storeOptions)
	if link.IsOverQuota(err) {
		// What could not be swept does not matter where others could.
		if slept, _ := Sweep(ctx, r.js, sleepWhenFull); len(slept) > 0 {
			err = r.ensure(ctx, &made, r.storeOptions)
		}
	}
	if err == nil {
		return nil
	}
	uctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWait)
	defer cancel()
	return errors.Join(err, r.undo(uctx, was, made))
}

// claim writes the options of a run that is there, if nobody else has since they were read: who
// puts the run to sleep does the same, and one of the two sees the other before it deletes or
// makes a stream.
func (r *Run) claim(ctx context.Context) (was before, made begun, err error) {
	for {
		if was, err = r.readBefore(ctx); err != nil || was.seq == 0 {
			return was, made, err
		}
		err = r.publishOptions(ctx, &made, jetstream.WithExpectLastSequencePerSubject(was.seq))
		if err != nil || made.options != 0 {
			return was, made, err
		}
	}
}

// readBefore reads what is there of the run, waits while somebody may be deleting its streams,
// and checks that this build may open it: that the spec is the same, and that neither record nor
// options have a field that only a later build knows. Such a run may be laid out otherwise, which
// the broker would say in its own words, after some of it was changed.
func (r *Run) readBefore(ctx context.Context) (was before, err error) {
	s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return was, nil
	}
	if err != nil {
		return was, link.Unavailable(r.js.Conn(), "open run", r.Name, err)
	}
	spec, err := s.GetLastMsgForSubject(ctx, schemas.SpecSubject(r.Name))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return was, link.Unavailable(r.js.Conn(), "open run", r.Name, err)
	default:
		if err := r.checkStored(spec.Data); err != nil {
			return was, err
		}
	}
	options, err := s.GetLastMsgForSubject(ctx, schemas.OptionsSubject(r.Name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return was, nil
	}
	if err != nil {
		return was, link.Unavailable(r.js.Conn(), "open run", r.Name, err)
	}
	was = before{options.Data, options.Sequence}
	if _, err := parseOptions(options.Data, Options{}, r.Spec()); errors.Is(err, errs.ErrUnsupported) {
		return was, errs.New("open run", r.Name, "use the build that opened it last, or choose another --run name", err)
	}
	if sleepNoteOf(options.Data) != fallsAsleep {
		return was, nil
	}
	age := time.Duration(0)
	if now := s.CachedInfo().TimeStamp; !now.IsZero() {
		age = now.Sub(options.Time)
	}
	return was, link.Sleep(ctx, max(0, sleepWait-age))
}

// undo removes what a refused opening made, and puts the options back that it wrote over, unless
// another trainer goes by them: one that has a lease, has stored the spec in the CTRL_<run> that
// was made here, or has opened the run since.
func (r *Run) undo(ctx context.Context, was before, made begun) error {
	if len(made.streams) == 0 && made.options == 0 && made.spec == 0 || !r.js.Conn().IsConnected() {
		return nil
	}
	failed := func(err error) error { return link.Unavailable(r.js.Conn(), "open run", r.Name, err) }
	ctrl := schemas.CtrlStream(r.Name)
	held, err := link.Latest(ctx, r.js, ctrl, schemas.SpecSubject(r.Name), schemas.OptionsSubject(r.Name), schemas.AllTrainers(r.Name))
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return failed(err)
	}
	var now brokerClock
	l := looker{js: r.js}
	if err := l.readClock(ctx, ctrl); err == nil {
		now = l.clock
	}
	madeCtrl := slices.Contains(made.streams, ctrl)
	for _, m := range held {
		others := false
		switch m.Subject {
		case schemas.SpecSubject(r.Name):
			others = madeCtrl && m.Sequence != made.spec
		case schemas.OptionsSubject(r.Name):
			// Who puts a run to sleep writes them, too: the sweep above, say.
			others = m.Sequence != made.options && (madeCtrl || m.Sequence != was.seq) && sleepNoteOf(m.Data) == ""
		default:
			others = !leases.Parse(m, now.now()).Over()
		}
		if others {
			return nil
		}
	}
	for _, name := range slices.Backward(made.streams) {
		if err := r.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return failed(err)
		}
	}
	if madeCtrl {
		return nil
	}
	if err := r.putBack(ctx, was, made); err != nil {
		return failed(err)
	}
	if len(made.streams) > 0 && sleepNoteOf(was.options) != "" {
		shrinkCtrl(ctx, r)
	}
	return nil
}

// putBack has CTRL_<run> hold what it held before an opening.
func (r *Run) putBack(ctx context.Context, was before, made begun) error {
	if made.options != 0 && was.options != nil {
		_, err := r.js.Publish(ctx, schemas.OptionsSubject(r.Name), was.options, jetstream.WithExpectLastSequencePerSubject(made.options))
		if err != nil && !link.IsWrongLast(err) { // else somebody has opened it at this moment
			return err
		}
		made.options = 0
	}
	for _, seq := range []uint64{made.options, made.spec} {
		if seq == 0 {
			continue
		}
		s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
		if err == nil {
			err = s.DeleteMsg(ctx, seq)
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return err
		}
	}
	return nil
}
