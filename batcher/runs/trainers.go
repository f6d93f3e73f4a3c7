package runs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/link"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// TrainerState is a trainer of a run, as its lease says.
type TrainerState struct {
	Name   string        `json:"name"`
	Host   string        `json:"host"`
	PID    int           `json:"pid"`
	Cursor int64         `json:"cursor"` // next step that it needs
	Term   time.Duration `json:"term"`   // of its lease
	Age    time.Duration `json:"age"`    // of the last renewal; 0 where the broker does not say
	Left   bool          `json:"left"`   // it has closed its stream
	// Renewed is when the broker took the last renewal.
	Renewed time.Time `json:"renewed"`
	// Rate is its steps a second over the last minute, as it says; 0 where it does not.
	Rate float64 `json:"rate,omitempty"`
	// Live: the lease was neither left nor has it run out. Brokers before 2.10 do
	// not say the time; there, a trainer that was killed counts as live.
	Live bool `json:"live"`
}

// Trainers gives every trainer that ever had a lease on the run, by name.
func (r *Run) Trainers(ctx context.Context) ([]TrainerState, error) {
	notes, err := leases.ReadAll(ctx, r.js, r.Name)
	if err != nil {
		return nil, link.Unavailable(r.js.Conn(), "list trainers", r.Name, err)
	}
	var out []TrainerState
	for name, h := range notes {
		out = append(out, trainerState(name, h))
	}
	slices.SortFunc(out, func(a, b TrainerState) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func trainerState(name string, h *leases.Held) TrainerState {
	return TrainerState{
		Name: name, Host: h.Host, PID: h.PID, Cursor: h.Cursor, Renewed: h.At,
		Term: h.BoundedTerm(), Age: max(0, h.Age), Left: h.Left, Live: !h.Over(), Rate: h.BoundedRate(),
	}
}

// lag is how many steps the trainer may have gone on since it renewed its lease; -1 where it does
// not say how fast it is.
func (t *TrainerState) lag() int64 {
	if t.Rate == 0 {
		return -1
	}
	const renewal = 2 * time.Second // of a lease whose trainer has no peer, and a little
	return int64(t.Rate*(t.Age+renewal).Seconds()) + 1
}

// Cursor gives the next step that a trainer needs, or where it stopped. It returns
// ErrNotFound where the run had none of that name.
func (r *Run) Cursor(ctx context.Context, trainer string) (int64, error) {
	h, err := leases.Read(ctx, r.js, r.Name, trainer)
	switch {
	case err != nil:
		return 0, link.Unavailable(r.js.Conn(), "read cursor", r.Name, err)
	case h == nil:
		return 0, errs.New("read cursor", r.Name+" "+trainer, "name a trainer that has begun this run", errs.ErrNotFound)
	case h.ID == "":
		return 0, errs.New("read cursor", r.Name+" "+trainer, "see who else publishes to "+schemas.TrainerSubject(r.Name, trainer), errs.ErrCorrupt)
	}
	return h.Cursor, nil
}

// refuseWhileTrained returns ErrUsage while a trainer of the run is alive. One that
// was killed without notice is waited for.
func refuseWhileTrained(ctx context.Context, js jetstream.JetStream, run string) error {
	notes, err := leases.ReadAll(ctx, js, run)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	for name := range notes {
		if err == nil {
			_, err = leases.AwaitFree(ctx, js, run, name)
		}
	}
	var typed *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed) && errors.Is(err, errs.ErrUsage):
		return errs.New("delete run", run, "stop it first, or choose another --run name", typed.Err)
	}
	return link.Unavailable(js.Conn(), "delete run", run, err)
}
