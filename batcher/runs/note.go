package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/internal/process"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// DefaultLeaseTerm is how long a trainer that does not renew its lease still counts
// as live. It outlasts a step on a GPU and a checkpoint: the lease is renewed by a
// goroutine of its own, which only a stopped process or a lost broker holds up.
const DefaultLeaseTerm = 15 * time.Second

const (
	leaseLooks   = 20 // a term, of one who waits
	MaxNoteBytes = 4 << 10
	// maxTerm bounds the term that another trainer's note may claim.
	MaxTerm = 10 * time.Minute
)

// LeaseNote is c.<run>.trainer.<trainer>, JSON: who trains the run under that name,
// and what it needs of it.
type LeaseNote struct {
	ID      string `json:"id"` // of this holding
	Trainer string `json:"trainer"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Process string `json:"process,omitempty"` // thisProcess, with which another of the same machine can look for it

	Term   time.Duration `json:"term"` // ns
	Cursor int64         `json:"cursor"`
	Issued int64         `json:"asked"`
	Window int64         `json:"window"`
	Keep   int64         `json:"keep"`
	Left   bool          `json:"left"` // it has closed; Cursor is where it stopped
}

func (n LeaseNote) String() string {
	if n.ID == "" {
		return "another trainer"
	}
	return wire.ReasonLine(fmt.Sprintf("trainer %.64s (process %d on %.64s)", n.Trainer, n.PID, n.Host))
}

// AwaitFree waits until no live trainer has the name, and gives the sequence of the
// note that is there, 0 for none. It returns ErrUsage where one is alive.
func (r *Run) AwaitFree(ctx context.Context, trainer string) (uint64, error) {
	var (
		seen  *Lease // the note that is waited for
		since time.Time
		start = time.Now()
	)
	for {
		have, err := r.Lease(ctx, trainer)
		if err != nil {
			return 0, err
		}
		switch {
		case have == nil:
			return 0, nil
		case have.over(), seen != nil && have.Seq == seen.Seq && time.Since(since) >= have.EffectiveTerm():
			return have.Seq, nil
		case seen != nil && have.Seq != seen.Seq, time.Since(start) > have.EffectiveTerm()+have.EffectiveTerm()/5:
			return 0, errs.New("open stream", r.Name, "stop it or wait for its end, give this one another --trainer name, or choose another --run name",
				errs.Because(errs.ErrUsage, have.String()+" is training this run"))
		case seen == nil:
			seen, since = have, time.Now()
		}
		if err := link.Sleep(ctx, have.EffectiveTerm()/leaseLooks); err != nil {
			return 0, err
		}
	}
}

// Lease is a note as it is in the broker.
type Lease struct {
	LeaseNote
	Seq uint64
	Age time.Duration // by the broker's clock; 0 where the broker does not say
}

// over says whether the lease is known to hold nothing any more: left, run out by
// the broker's clock, or of a process of this machine that has ended.
func (h *Lease) over() bool {
	return h.Left || h.Age >= h.EffectiveTerm() || process.HasEnded(h.Process, h.PID)
}

// EffectiveTerm is the note's own term, within bounds: it comes from outside.
func (h *Lease) EffectiveTerm() time.Duration {
	if h.Term <= 0 || h.Term > MaxTerm {
		return DefaultLeaseTerm
	}
	return h.Term
}

// Lease reads the note under a trainer's name, nil for none.
func (r *Run) Lease(ctx context.Context, trainer string) (*Lease, error) {
	s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
	if err != nil {
		return nil, err
	}
	m, err := s.GetLastMsgForSubject(ctx, schemas.TrainerSubject(r.Name, trainer))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h := &Lease{Seq: m.Sequence}
	if len(m.Data) > MaxNoteBytes || json.Unmarshal(m.Data, &h.LeaseNote) != nil || h.Cursor < 0 || h.Window < 0 {
		h.LeaseNote = LeaseNote{} // somebody's, who writes notes that cannot be read
	}
	// Brokers before 2.10 do not say the time; their leases are watched for a term.
	if now := s.CachedInfo().TimeStamp; !now.IsZero() {
		h.Age = now.Sub(m.Time)
	}
	return h, nil
}
