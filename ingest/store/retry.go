package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"resslt/schemas/errs"
)

// progress is a failure after some bytes had come: the count of attempts restarts.
type progress struct{ error }

func (p progress) Unwrap() error { return p.error }

// final reports whether no retry can cure err.
func final(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, context.Canceled) ||
		errors.Is(err, errs.ErrMismatch) || errors.Is(err, errs.ErrUnsupported) || errors.Is(err, errs.ErrUsage) ||
		errors.Is(err, errs.ErrNotFound)
}

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// retry calls do until it succeeds, ctx ends, the failure is final, or the attempts
// are used up. Pauses double, and vary by a quarter so that a farm's workers don't
// all return at once.
func (s *Store) retry(ctx context.Context, do func(context.Context) error) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := do(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		}
		if errors.As(err, new(progress)) {
			n, pause = 1, firstPause
		}
		if n >= s.o.Attempts {
			var e *errs.Error
			if errors.As(err, &e) {
				return err
			}
			return errs.New("", "", "check that the store can be reached, and run again",
				fmt.Errorf("%w (after %d attempts)", unavailable(err), n))
		}
		wait := time.NewTimer(pause*3/4 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
		pause = min(2*pause, maxPause)
	}
}

// unavailable makes err match ErrUnavailable.
func unavailable(err error) error {
	if errors.Is(err, errs.ErrUnavailable) {
		return err
	}
	return errs.BecauseErr(errs.ErrUnavailable, err)
}

var errSlow = errs.Because(errs.ErrUnavailable, "the connection stalled")

// watch cancels ctx if touch isn't called for the patience's length.
func watch(ctx context.Context, patience time.Duration) (_ context.Context, touch, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := time.AfterFunc(patience, func() { cancel(errSlow) })
	return ctx, func() { t.Reset(patience) }, func() {
		t.Stop()
		cancel(nil)
	}
}

// slow is errSlow where that caused err.
func slow(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSlow) {
		return errSlow
	}
	return err
}
