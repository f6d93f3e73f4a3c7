package leases

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

// DefaultTerm is how long a trainer that does not renew its lease still counts
// as live. It outlasts a step on a GPU and a checkpoint: the lease is renewed by a
// goroutine of its own, which only a stopped process or a lost broker holds up.
const DefaultTerm = 15 * time.Second

const (
	looks = 20 // a term, of one who waits
	// MaxBytes is the largest note that is read.
	MaxBytes = 4 << 10
	// MaxTerm bounds the term that another trainer's note may claim.
	MaxTerm = 10 * time.Minute
)

// Note is c.<run>.trainer.<trainer>, JSON: who trains the run under that name,
// and what it needs of it.
type Note struct {
	ID      string `json:"id"` // of this holding
	Trainer string `json:"trainer"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Process string `json:"process,omitempty"` // by which another of the same machine can look for it (package process)

	Term   time.Duration `json:"term"` // ns
	Cursor int64         `json:"cursor"`
	Issued int64         `json:"asked"`
	Window int64         `json:"window"`
	Keep   int64         `json:"keep"`
	Left   bool          `json:"left"` // it has closed; Cursor is where it stopped
	// Reads: it takes batches and issues no tasks: the others issue them for it, while it is no
	// more than a window behind them. Builds that do not know it wait for it to issue them.
	Reads bool `json:"reads,omitempty"`
	// Rate is its steps a second over the last minute, by its own clock; absent before it has
	// done one, and from builds that do not say.
	Rate float64 `json:"rate,omitempty"`
	// Swept: within the last minute it has looked which runs of the broker are to be put to sleep.
	Swept bool `json:"swept,omitempty"`
}

func (n Note) String() string {
	if n.ID == "" {
		return "another trainer"
	}
	return wire.ReasonLine(fmt.Sprintf("trainer %.64s (process %d on %.64s)", n.Trainer, n.PID, n.Host))
}

// AwaitFree waits until no live trainer has the name, and gives the sequence of the
// note that is there, 0 for none. It returns ErrUsage where one is alive.
func AwaitFree(ctx context.Context, js jetstream.JetStream, run, trainer string) (uint64, error) {
	var (
		seen  *Held // the note that is waited for
		since time.Time
	)
	for {
		have, err := Read(ctx, js, run, trainer)
		if err != nil {
			return 0, err
		}
		switch {
		case have == nil:
			return 0, nil
		case have.Over(), seen != nil && have.Seq == seen.Seq && time.Since(since) >= have.BoundedTerm():
			return have.Seq, nil
		case seen != nil && have.Seq != seen.Seq: // it was renewed
			return 0, errs.New("open stream", run, "stop it or wait for its end, give this one another --trainer name, or choose another --run name",
				errs.Because(errs.ErrUsage, have.String()+" is training this run"))
		case seen == nil:
			seen, since = have, time.Now()
		}
		if err := link.Sleep(ctx, have.BoundedTerm()/looks); err != nil {
			return 0, err
		}
	}
}

// Held is a note as it is in the broker.
type Held struct {
	Note
	Seq uint64
	At  time.Time     // when the broker took it
	Age time.Duration // by the broker's clock; 0 where the broker does not say
}

// Over reports whether the lease is known to hold nothing any more: left, run out by
// the broker's clock, or of a process of this machine that has ended.
func (h *Held) Over() bool {
	return h.Left || h.Age >= h.BoundedTerm() || process.HasEnded(h.Process, h.PID)
}

// BoundedTerm is the note's own term, within bounds: it comes from outside.
func (h *Held) BoundedTerm() time.Duration {
	if h.Term <= 0 || h.Term > MaxTerm {
		return DefaultTerm
	}
	return h.Term
}

// BoundedRate is the note's own rate, 0 for one that cannot be.
func (h *Held) BoundedRate() float64 {
	if h.Rate < 0 || h.Rate > 1e9 {
		return 0
	}
	return h.Rate
}

// Read reads the note under a trainer's name, nil for none.
func Read(ctx context.Context, js jetstream.JetStream, run, trainer string) (*Held, error) {
	s, err := js.Stream(ctx, schemas.CtrlStream(run))
	if err != nil {
		return nil, err
	}
	m, err := s.GetLastMsgForSubject(ctx, schemas.TrainerSubject(run, trainer))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return Parse(m, s.CachedInfo().TimeStamp), nil
}

// ParseNote reads a note as it was published; false for one of somebody who writes notes that
// cannot be read.
func ParseNote(body []byte) (Note, bool) {
	var n Note
	if len(body) > MaxBytes || json.Unmarshal(body, &n) != nil || n.Cursor < 0 || n.Window < 0 {
		return Note{}, false
	}
	return n, true
}

// Parse reads a note as it is stored. now is the broker's clock; brokers before 2.10 do not
// say it, and their leases are watched for a term.
func Parse(m *jetstream.RawStreamMsg, now time.Time) *Held {
	h := &Held{Seq: m.Sequence, At: m.Time}
	if n, ok := ParseNote(m.Data); ok {
		h.Note = n
	}
	if !now.IsZero() {
		h.Age = now.Sub(m.Time)
	}
	return h
}

// ReadAll reads the note of every trainer, by its name.
func ReadAll(ctx context.Context, js jetstream.JetStream, run string) (map[string]*Held, error) {
	s, err := js.Stream(ctx, schemas.CtrlStream(run))
	if err != nil {
		return nil, err
	}
	notes, err := link.LatestOf(ctx, js, s, schemas.AllTrainers(run))
	if err != nil {
		return nil, err
	}
	out := map[string]*Held{}
	for _, m := range notes {
		out[link.LastToken(m.Subject)] = Parse(m, s.CachedInfo().TimeStamp)
	}
	return out, nil
}
