package batcher

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
)

// leaseTerm is how long a trainer that does not renew its lease holds a run.
const leaseTerm = 5 * time.Second

const (
	leaseRenewals = 5  // a term
	leaseLooks    = 20 // a term, of one who waits
	maxLeaseNote  = 4 << 10
)

// lease keeps a run to one trainer. Two that know nothing of one another would
// purge each other's tasks and chunks without end. The note under
// c.<run>.trainer is replaced again and again, each time on the condition that it
// is still the one that was written last; it is dead when its term has passed
// without that. No two machines' clocks are compared.
//
// A lease belongs to one goroutine at a time.
type lease struct {
	run  *Run
	term time.Duration
	note leaseNote
	seq  uint64 // of the note as it was written last
}

// leaseNote says who holds a run, JSON.
type leaseNote struct {
	ID      string `json:"id"` // of this holding
	Trainer string `json:"trainer"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
}

func (n leaseNote) String() string {
	if n.ID == "" {
		return "another trainer"
	}
	return reasonLine(fmt.Sprintf("trainer %.64s (process %d on %.64s)", n.Trainer, n.PID, n.Host))
}

// heldLease is a note as it lies in the broker.
type heldLease struct {
	leaseNote
	seq uint64
	age time.Duration // by the broker's clock; 0 where the broker does not tell it
}

// takeLease makes trainer the run's only one. A lease that nobody renews is
// waited for, no longer than its term and a fifth; it returns ErrUsage where
// another trainer is alive, which shows in a fifth of the term.
func takeLease(ctx context.Context, run *Run, trainer string, term time.Duration) (*lease, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name" // the note is for people to read
	}
	l := &lease{run: run, term: term, note: leaseNote{ID: rand.Text(), Trainer: trainer, Host: host, PID: os.Getpid()}}
	var (
		seen  uint64 // the note that is waited for
		since time.Time
		start = time.Now()
	)
	for {
		have, err := l.look(ctx)
		if err == nil {
			switch {
			case have == nil:
				err = l.write(ctx, 0)
			case have.age >= term, have.seq == seen && time.Since(since) >= term:
				err = l.write(ctx, have.seq)
			case seen != 0 && have.seq != seen, time.Since(start) > term+term/5:
				return nil, schemas.E("open stream", run.Name, "stop it or wait for its end, or choose another --run name",
					schemas.Because(schemas.ErrUsage, have.String()+" is training this run"))
			default:
				if seen == 0 {
					seen, since = have.seq, time.Now()
				}
				if err := sleep(ctx, term/leaseLooks); err != nil {
					return nil, unavailable(run.js.Conn(), "open stream", run.Name, err)
				}
				continue
			}
			if err == nil {
				return l, nil
			}
		}
		if !isWrongLast(err) { // else somebody was faster
			return nil, unavailable(run.js.Conn(), "open stream", run.Name, err)
		}
	}
}

// hold renews the lease until ctx ends. It returns ErrMismatch where another
// trainer has it.
func (l *lease) hold(ctx context.Context) error {
	for sleep(ctx, l.term/leaseRenewals) == nil {
		// A renewal that has begun is seen to its end: release must know the note.
		rctx, cancel := whileConnected(context.WithoutCancel(ctx), l.run.js.Conn(), closeWait)
		err := l.renew(rctx)
		cancel()
		if errors.Is(err, schemas.ErrMismatch) {
			return err
		}
		// A broker that is away, or that is being set up again, is the planner's
		// and the consumer's to wait for; the next renewal makes up for this one.
	}
	return nil
}

func (l *lease) renew(ctx context.Context) error {
	err := l.write(ctx, l.seq)
	if !isWrongLast(err) {
		return err
	}
	have, err := l.look(ctx)
	switch {
	case err != nil:
		return err
	case have == nil: // the broker lost it
		return l.write(ctx, 0)
	case have.ID == l.note.ID: // a renewal whose answer was lost
		l.seq = have.seq
		return nil
	}
	return schemas.E("stream of run", l.run.Name, "stop one of the two, then resume with --resume or choose another --run name",
		schemas.Because(schemas.ErrMismatch, have.String()+" has taken the run over"))
}

// release gives the run free at once. A lease that cannot be released runs out.
func (l *lease) release(ctx context.Context) error {
	have, err := l.look(ctx)
	if err == nil && have != nil && have.ID == l.note.ID {
		var s jetstream.Stream
		if s, err = l.run.js.Stream(ctx, schemas.CtrlStream(l.run.Name)); err == nil {
			err = s.DeleteMsg(ctx, have.seq)
		}
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return unavailable(l.run.js.Conn(), "close stream", l.run.Name, err)
	}
	return nil
}

// write puts the note in the place of the one of sequence last, 0 for none.
func (l *lease) write(ctx context.Context, last uint64) error {
	body, err := json.Marshal(l.note)
	if err != nil {
		return schemas.E("store lease", l.run.Name, "report this as a bug", schemas.BecauseErr(schemas.ErrUsage, err))
	}
	ack, err := l.run.js.PublishMsg(ctx, &nats.Msg{Subject: schemas.TrainerSubject(l.run.Name), Data: body}, jetstream.WithExpectLastSequencePerSubject(last))
	if err == nil {
		l.seq = ack.Sequence
	}
	return err
}

// look reads the note that lies there, nil for none.
func (l *lease) look(ctx context.Context) (*heldLease, error) {
	s, err := l.run.js.Stream(ctx, schemas.CtrlStream(l.run.Name))
	if err != nil {
		return nil, err
	}
	m, err := s.GetLastMsgForSubject(ctx, schemas.TrainerSubject(l.run.Name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h := &heldLease{seq: m.Sequence}
	if len(m.Data) > maxLeaseNote || json.Unmarshal(m.Data, &h.leaseNote) != nil {
		h.leaseNote = leaseNote{} // somebody's, who does not say it so that it can be read
	}
	// Brokers before 2.10 do not tell the time; their leases are watched for a term.
	if now := s.CachedInfo().TimeStamp; !now.IsZero() {
		h.age = now.Sub(m.Time)
	}
	return h, nil
}
