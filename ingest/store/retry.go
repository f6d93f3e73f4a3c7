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

// final reports whether no retry can cure err, of a file that is looked for.
func final(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || hopeless(err) ||
		errors.Is(err, errs.ErrMismatch) || errors.Is(err, errs.ErrUnsupported) || errors.Is(err, errs.ErrNotFound)
}

// hopeless reports whether no retry can cure err, of a file that was there when it was
// opened. Of a long run's many requests, some meet a server that is behind or ahead of the
// others: "not found", "denied" and "changed" are believed when all tries agree. A fault of the
// cache's disk is none of the store's: the file is read without the cache.
func hopeless(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errs.ErrUsage) || errors.As(err, new(cacheFault))
}

// maxPause bounds the pauses that double.
const maxPause = 5 * time.Second

// retry calls do until it succeeds, ctx ends, the failure is final, or the attempts
// are used up. Pauses double, and vary by a quarter so that a farm's workers don't
// all return at once; a server may ask for a longer one.
func (s *Store) retry(ctx context.Context, final func(error) bool, do func(context.Context) error) error {
	pause := s.o.Pause
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
			n, pause = 1, s.o.Pause
		}
		if n >= s.o.Attempts {
			return givenUp(err, n)
		}
		var asked later
		errors.As(err, &asked)
		wait := time.NewTimer(max(pause, asked.after)*3/4 + rand.N(pause/2) + asked.after/4)
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
		pause = min(2*pause, maxPause)
	}
}

// givenUp is the error of a request that failed n times, the last time with err.
func givenUp(err error, n int) error {
	hint := "check that the store can be reached, and run again"
	var e *errs.Error
	if errors.As(err, &e) {
		if e.Hint != "" {
			hint = e.Hint
		}
		return errs.New("", "", hint, fmt.Errorf("%w (after %d attempts)", e.Err, n))
	}
	if errors.Is(err, errs.ErrNotFound) {
		return errs.New("", "", "it was there when it was opened: restore it, then --resume", fmt.Errorf("%w (after %d attempts)", err, n))
	}
	return errs.New("", "", hint, fmt.Errorf("%w (after %d attempts)", unavailable(err), n))
}

// unavailable makes err match ErrUnavailable, and nothing else: a connection that is reset is
// an EOF, which readers of a tar would take for the file's.
func unavailable(err error) error {
	if errors.Is(err, errs.ErrUnavailable) {
		return err
	}
	return errs.Because(errs.ErrUnavailable, err.Error())
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
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return errSlow
	}
	return err
}
