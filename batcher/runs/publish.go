package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publish writes a chunk that must be written once, and reports whether it was not there. The
// server refuses a repeat (10071): equal digests are a success, unequal ones
// ErrDeterminism. alive is called while it waits, to keep the task.
//
// A broker that is away is waited for until ctx ends, a stream that is full until patience is
// over, 0 for ever: then it returns ErrUnavailable. A stream that is gone returns ErrNotFound
// at once: only a trainer of the run makes it again.
func (r *Run) Publish(ctx context.Context, m *nats.Msg, patience time.Duration, alive func()) (fresh bool, err error) {
	var since time.Time // when the broker that is there refused it first; zero while it is away
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		pctx, cancel := link.WhileConnected(ctx, r.js.Conn(), link.APITimeout)
		_, err := r.js.PublishMsg(pctx, m, jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithRetryAttempts(0))
		cancel()
		switch {
		case err == nil:
			return true, nil
		case link.IsWrongLast(err):
			if err := r.compareStored(ctx, m); !errors.Is(err, errs.ErrNotFound) {
				return false, err
			}
			// It was purged between the two requests: its step is over.
			return false, nil
		case link.IsSealed(err):
			err := r.compareStored(ctx, m)
			if errors.Is(err, errs.ErrNotFound) {
				err = sealedError("publish chunk", m.Subject)
			}
			return false, err
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed):
			return false, link.Unavailable(r.js.Conn(), "publish chunk", m.Subject, err)
		}
		if no := link.Refused(r.js.Conn(), m.Subject); no != nil {
			return false, link.Denial("publish chunk", m.Subject, no)
		}
		// Full, timed out, disconnected: all pass. A publish that timed out may have been
		// stored; the repeat shows.
		switch {
		case !r.js.Conn().IsConnected():
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case patience > 0 && time.Since(since) > patience:
			return false, errs.New("publish chunk", m.Subject, "see that the run's trainer is at work, and that the broker's store has room",
				errs.BecauseErr(errs.ErrUnavailable, refused{patience, err}))
		}
		if patience > 0 && r.isGone(ctx, err) {
			return false, errs.New("publish chunk", m.Subject, "start the run's trainer again", errs.Because(errs.ErrNotFound, "stream "+schemas.BatchStream(r.Name)+" is gone"))
		}
		alive()
		if err := link.Sleep(ctx, wait); err != nil {
			return false, err
		}
	}
}

// refused says for how long the broker would not take a chunk.
type refused struct {
	after time.Duration
	err   error
}

func (r refused) Error() string { return "refused for " + r.after.String() + ": " + r.err.Error() }
func (r refused) Unwrap() error { return r.err }

// isGone reports whether a publish failed with err because BATCH_<run> is not there. A
// broker that is just starting has no ears for its streams' subjects, either.
func (r *Run) isGone(ctx context.Context, err error) bool {
	if !errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	lctx, cancel := link.WhileConnected(ctx, r.js.Conn(), link.APITimeout)
	defer cancel()
	_, err = r.js.Stream(lctx, schemas.BatchStream(r.Name))
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

// compareStored compares m with what the stream holds under its subject: the same bytes of
// a redelivered task, or a tombstone for a task that was given up, are as good as m. It
// returns ErrNotFound where the subject is empty again.
func (r *Run) compareStored(ctx context.Context, m *nats.Msg) error {
	s, err := r.js.Stream(ctx, schemas.BatchStream(r.Name))
	if err == nil {
		var have *jetstream.RawStreamMsg
		if have, err = s.GetLastMsgForSubject(ctx, m.Subject); err == nil {
			a, b := have.Header.Get(schemas.HeaderDigest), m.Header.Get(schemas.HeaderDigest)
			switch {
			case a == b:
				return nil
			case have.Header.Get(schemas.HeaderTombstone) != "" && have.Header.Get(schemas.HeaderSpec) == r.Info.Digest:
				return nil
			case have.Header.Get(schemas.HeaderSpec) != r.Info.Digest:
				return errs.New("publish chunk", m.Subject, "delete the run and open it again",
					errs.Because(errs.ErrMismatch, fmt.Sprintf("a chunk of spec %.12q is there", have.Header.Get(schemas.HeaderSpec))))
			}
			return errs.New("publish chunk", m.Subject, "run the same build on every worker, then start the run with --fresh",
				errs.Because(errs.ErrDeterminism, fmt.Sprintf("worker %s made digest %.12s, worker %s %.12s of the same task",
					wire.ReasonLine(have.Header.Get(schemas.HeaderWorker)), a, m.Header.Get(schemas.HeaderWorker), b)))
		}
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return errs.New("publish chunk", m.Subject, "publish it again if its step is not over", errs.ErrNotFound)
	}
	return link.Unavailable(r.js.Conn(), "publish chunk", m.Subject, err)
}

// Stop leaves a notice that the run must not continue. That it is left twice does no harm.
func (r *Run) Stop(ctx context.Context, why error) error {
	_, err := r.js.Publish(ctx, schemas.StopSubject(r.Name), []byte(why.Error()))
	return err
}

// Stopped gives the notice that the run must not continue, ErrDeterminism; nil where there is
// none.
func (r *Run) Stopped(ctx context.Context) error {
	s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
	if err != nil {
		return link.Unavailable(r.js.Conn(), "open stream", r.Name, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, schemas.StopSubject(r.Name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return link.Unavailable(r.js.Conn(), "open stream", r.Name, err)
	}
	return r.StopError(m.Data)
}

// StopError is the error of a stop notice.
func (r *Run) StopError(notice []byte) error {
	return errs.New("run", r.Name, "run the same build on every worker, then start with --fresh",
		errs.Because(errs.ErrDeterminism, "stopped by a worker: "+wire.ReasonText(notice)))
}
