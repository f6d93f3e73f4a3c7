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

// published says how a chunk came to be in the stream.
type Published int

const (
	PublishedNew  Published = iota
	PublishedTwin           // the same bytes were there: a redelivered task
	publishedLate           // a tombstone was there: the task had been given up
)

// publishOnce writes a chunk that must be written once. The server refuses a
// repeat (10071): equal digests are a success, unequal ones ErrDeterminism. A
// full stream, or a broker that is away, is waited for until ctx ends; alive is
// called meanwhile, to keep the task.
func Publish(ctx context.Context, run *Run, m *nats.Msg, alive func()) (Published, error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		pctx, cancel := link.WhileConnected(ctx, run.js.Conn(), link.APITimeout)
		_, err := run.js.PublishMsg(pctx, m, jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithRetryAttempts(0))
		cancel()
		switch {
		case err == nil:
			return PublishedNew, nil
		case link.IsWrongLast(err):
			how, err := compareStored(ctx, run, m)
			if err == nil || !errors.Is(err, errs.ErrNotFound) {
				return how, err
			}
			// It was purged between the two requests: its step is over.
			return PublishedTwin, nil
		case link.IsSealed(err):
			how, err := compareStored(ctx, run, m)
			if errors.Is(err, errs.ErrNotFound) {
				err = sealedError("publish chunk", m.Subject)
			}
			return how, err
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed):
			return 0, link.Unavailable(run.js.Conn(), "publish chunk", m.Subject, err)
		}
		if no := link.Refused(run.js.Conn(), m.Subject); no != nil {
			return 0, link.Denial("publish chunk", m.Subject, no)
		}
		// Full, timed out, disconnected, or the stream is being made again: all
		// pass. A publish that timed out may have been stored; the repeat tells.
		alive()
		if err := link.Sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// compareStored compares m with what the stream holds under its subject. It
// returns ErrNotFound where the subject is empty again.
func compareStored(ctx context.Context, run *Run, m *nats.Msg) (Published, error) {
	s, err := run.js.Stream(ctx, schemas.BatchStream(run.Name))
	if err == nil {
		var have *jetstream.RawStreamMsg
		if have, err = s.GetLastMsgForSubject(ctx, m.Subject); err == nil {
			a, b := have.Header.Get(schemas.HeaderDigest), m.Header.Get(schemas.HeaderDigest)
			switch {
			case a == b:
				return PublishedTwin, nil
			case have.Header.Get(schemas.HeaderTombstone) != "" && have.Header.Get(schemas.HeaderSpec) == run.Info.Digest:
				return publishedLate, nil
			case have.Header.Get(schemas.HeaderSpec) != run.Info.Digest:
				return 0, errs.New("publish chunk", m.Subject, "delete the run and open it again",
					errs.Because(errs.ErrMismatch, fmt.Sprintf("a chunk of spec %.12q lies there", have.Header.Get(schemas.HeaderSpec))))
			}
			return 0, errs.New("publish chunk", m.Subject, "run the same build on every worker, then start the run with --fresh",
				errs.Because(errs.ErrDeterminism, fmt.Sprintf("worker %s made digest %.12s, worker %s %.12s of the same task",
					wire.ReasonLine(have.Header.Get(schemas.HeaderWorker)), a, m.Header.Get(schemas.HeaderWorker), b)))
		}
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, errs.New("publish chunk", m.Subject, "publish it again if its step is not over", errs.ErrNotFound)
	}
	return 0, link.Unavailable(run.js.Conn(), "publish chunk", m.Subject, err)
}

// publishStop leaves the notice. That it is left twice does no harm.
func Stop(ctx context.Context, run *Run, why error) error {
	_, err := run.js.Publish(ctx, schemas.StopSubject(run.Name), []byte(why.Error()))
	return err
}

// stopNotice gives the run's stop notice, or nil.
func stopNotice(ctx context.Context, run *Run) error {
	s, err := run.js.Stream(ctx, schemas.CtrlStream(run.Name))
	if err != nil {
		return link.Unavailable(run.js.Conn(), "open stream", run.Name, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, schemas.StopSubject(run.Name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return link.Unavailable(run.js.Conn(), "open stream", run.Name, err)
	}
	return StopError(run.Name, m.Data)
}

func StopError(run string, notice []byte) error {
	return errs.New("run", run, "run the same build on every worker, then start with --fresh",
		errs.Because(errs.ErrDeterminism, "stopped by a worker: "+wire.ReasonText(notice)))
}
