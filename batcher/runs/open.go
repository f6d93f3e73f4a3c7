package runs

import (
	"context"
	"errors"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/link"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// sleepWhenFull is how long a run is without a trainer before it is put to sleep for
	// another's sake, whatever it was opened with.
	sleepWhenFull = 10 * time.Minute
	// undoWait bounds how long what a refused opening had made is removed.
	undoWait = 5 * time.Second
)

// open makes what is missing of the run. Where the broker is full, runs without a trainer
// are put to sleep, and it is tried once more. An opening that is refused leaves nothing.
func (r *Run) open(ctx context.Context) error {
	if err := r.awaitAsleep(ctx); err != nil {
		return err
	}
	made, err := r.ensure(ctx, r.storeOptions)
	if link.IsOverQuota(err) {
		// What could not be swept does not matter where others could.
		if slept, _ := Sweep(ctx, r.js, sleepWhenFull); len(slept) > 0 {
			var more []string
			more, err = r.ensure(ctx, r.storeOptions)
			made = append(made, more...)
		}
	}
	if err == nil || len(made) == 0 {
		return err
	}
	uctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWait)
	defer cancel()
	return errors.Join(err, r.undo(uctx, made))
}

// undo deletes the streams that a refused opening made, unless another trainer goes by them:
// one that has a lease, or has stored the spec in the CTRL_<run> that was made here.
func (r *Run) undo(ctx context.Context, made []string) error {
	if !r.js.Conn().IsConnected() {
		return nil
	}
	held, err := link.Latest(ctx, r.js, schemas.CtrlStream(r.Name), schemas.SpecSubject(r.Name), schemas.AllTrainers(r.Name))
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return link.Unavailable(r.js.Conn(), "open run", r.Name, err)
	}
	var now brokerClock
	l := looker{js: r.js}
	if err := l.readClock(ctx, schemas.CtrlStream(r.Name)); err == nil {
		now = l.clock
	}
	for _, m := range held {
		isSpec := m.Subject == schemas.SpecSubject(r.Name)
		if isSpec && made[0] == schemas.CtrlStream(r.Name) || !isSpec && !leases.Parse(m, now.now()).Over() {
			return nil
		}
	}
	for i := len(made) - 1; i >= 0; i-- {
		if err := r.js.DeleteStream(ctx, made[i]); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return link.Unavailable(r.js.Conn(), "open run", r.Name, err)
		}
	}
	return nil
}
