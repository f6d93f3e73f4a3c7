package stream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/link"
	"resslt/batcher/internal/process"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	leaseRenewals = 5 // a term
	// A moving cursor is reported so often to peers, which it may delay, and so often
	// where there are none.
	cursorEvery      = 20 * time.Millisecond
	cursorEveryAlone = time.Second
)

// lease keeps a trainer's name to one process, and reports its position to the others. The
// note is replaced again and again, each time on the condition that it is still the one
// that was written last; it is dead when its term has passed without that. No two
// machines' clocks are compared.
//
// A lease belongs to one goroutine at a time, but for advance, plan and announce, which
// any may call, and which do not wait.
type lease struct {
	run  *runs.Run
	note leases.Note
	seq  uint64 // of the note as it was written last
	pace pace
	due  chan struct{} // capacity 1: the note is to be renewed now

	mu    sync.Mutex
	state leaseState // guarded by mu
}

// leaseState is what the next renewal says.
type leaseState struct {
	cursor, issued int64
	alone          bool      // no other trainer goes by it
	swept          time.Time // when it began to sweep; zero before
}

// newLease makes a lease that is not taken yet.
func newLease(run *runs.Run, at position, term time.Duration) *lease {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name" // the note is for people to read
	}
	return &lease{
		run: run, due: make(chan struct{}, 1), state: leaseState{cursor: at.cursor, issued: at.issued, alone: true},
		note: leases.Note{
			ID: rand.Text(), Trainer: at.trainer, Host: host, PID: os.Getpid(), Process: process.This(),
			Term: term, Window: at.window, Keep: at.keep,
		},
	}
}

// take makes this process the run's only trainer of the name. A lease that nobody renews
// is waited for, no longer than its term and a fifth; take returns ErrUsage where the
// holder is alive, which shows in a fifth of the term. What earlier trainers left in the queue is
// gone when the lease is there.
func (l *lease) take(ctx context.Context) error {
	for {
		seq, err := leases.AwaitFree(ctx, l.run.JetStream(), l.run.Name, l.note.Trainer)
		if err == nil {
			err = clearLeftTasks(ctx, l.run, seq)
		}
		if err == nil {
			err = l.write(ctx, seq)
		}
		var typed *errs.Error
		switch {
		case err == nil:
			return nil
		case errors.As(err, &typed):
			return err
		case !link.IsWrongLast(err): // else somebody was faster
			return link.Unavailable(l.run.JetStream().Conn(), "open stream", l.run.Name, err)
		}
	}
}

// advance says that the trainer needs no step below cursor any more.
func (l *lease) advance(cursor int64) {
	l.mu.Lock()
	l.state.cursor = cursor
	l.mu.Unlock()
	wake(l.due)
}

// plan says how far the trainer's tasks are issued, and whether it trains alone.
func (l *lease) plan(issued int64, alone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.issued, l.state.alone = issued, alone
}

// sweeps says that the trainer looks for runs to put to sleep, so that others need not.
func (l *lease) sweeps() {
	l.mu.Lock()
	l.state.swept = time.Now()
	l.mu.Unlock()
	wake(l.due)
}

// announce has the lease renewed at once.
func (l *lease) announce() { wake(l.due) }

func (l *lease) next() leaseState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// hold renews the lease until ctx ends, at once when the cursor moves. It returns
// ErrMismatch where another process has taken the name.
func (l *lease) hold(ctx context.Context) error {
	tick := time.NewTicker(l.note.Term / leaseRenewals)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.due:
		case <-ctx.Done():
			return nil
		}
		// A renewal that has begun is seen to its end: leave must know the note.
		rctx, cancel := link.WhileConnected(context.WithoutCancel(ctx), l.run.JetStream().Conn(), closeWait)
		err := l.renew(rctx)
		cancel()
		if errors.Is(err, errs.ErrMismatch) {
			return err
		}
		// A broker that is away, or that is being set up again, is the planner's
		// and the consumer's to wait for; the next renewal makes up for this one.
		every := cursorEvery
		if l.next().alone {
			every = cursorEveryAlone
		}
		if link.Sleep(ctx, min(every, l.note.Term/leaseRenewals)) != nil {
			return nil
		}
	}
}

func (l *lease) renew(ctx context.Context) error {
	err := l.write(ctx, l.seq)
	if !link.IsWrongLast(err) {
		return err
	}
	have, err := leases.Read(ctx, l.run.JetStream(), l.run.Name, l.note.Trainer)
	switch {
	case err != nil:
		return err
	case have == nil: // the broker lost it
		return l.write(ctx, 0)
	case have.ID == l.note.ID: // the answer to a renewal was lost
		return l.write(ctx, have.Seq)
	}
	return errs.New("stream of run", l.run.Name, "stop one of the two, then resume with --resume or give it another --trainer name",
		errs.Because(errs.ErrMismatch, have.String()+" has taken the run over"))
}

// leave says that the trainer needs nothing more, and where it stopped. A lease
// that cannot be left runs out.
func (l *lease) leave(ctx context.Context) error {
	l.note.Left = true
	err := l.renew(ctx)
	switch {
	case err == nil, errors.Is(err, errs.ErrMismatch), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse):
		return nil // it is another's by now, or gone with the run
	}
	return link.Unavailable(l.run.JetStream().Conn(), "close stream", l.run.Name, err)
}

// write puts the note in the place of the one of sequence last, 0 for none.
func (l *lease) write(ctx context.Context, last uint64) error {
	at := l.next()
	l.note.Cursor, l.note.Issued = at.cursor, at.issued
	now := time.Now()
	l.note.Swept = !at.swept.IsZero() && now.Sub(at.swept) < sweptFor
	l.pace.mark(now, at.cursor)
	l.note.Rate = l.pace.rate(now, at.cursor)
	body, err := json.Marshal(l.note)
	if err != nil {
		return errs.New("store lease", l.run.Name, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	ack, err := l.run.JetStream().PublishMsg(ctx, &nats.Msg{Subject: schemas.TrainerSubject(l.run.Name, l.note.Trainer), Data: body},
		jetstream.WithExpectLastSequencePerSubject(last))
	if err == nil {
		l.seq = ack.Sequence
	}
	return err
}
