package runs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

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
	// Live: the lease was neither left nor has it run out. Brokers before 2.10 do
	// not say the time; there, a trainer that was killed counts as live.
	Live bool `json:"live"`
}

// Trainers gives every trainer that ever had a lease on the run, by name.
func (r *Run) Trainers(ctx context.Context) ([]TrainerState, error) {
	notes, err := r.Leases(ctx)
	if err != nil {
		return nil, link.Unavailable(r.js.Conn(), "list trainers", r.Name, err)
	}
	var out []TrainerState
	for name, h := range notes {
		out = append(out, TrainerState{
			Name: name, Host: h.Host, PID: h.PID, Cursor: h.Cursor,
			Term: h.EffectiveTerm(), Age: h.Age, Left: h.Left, Live: !h.over(),
		})
	}
	slices.SortFunc(out, func(a, b TrainerState) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Cursor gives the next step that a trainer needs, or where it stopped. It returns
// ErrNotFound where the run had none of that name.
func (r *Run) Cursor(ctx context.Context, trainer string) (int64, error) {
	h, err := r.Lease(ctx, trainer)
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
	r := &Run{Name: run, js: js}
	notes, err := r.Leases(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	for name := range notes {
		if err == nil {
			_, err = r.AwaitFree(ctx, name)
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

// Leases reads the note of every trainer, by its name.
func (r *Run) Leases(ctx context.Context) (map[string]*Lease, error) {
	s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(schemas.AllTrainers(r.Name)))
	if err != nil {
		return nil, err
	}
	out := map[string]*Lease{}
	for subject := range info.State.Subjects {
		name := subject[strings.LastIndexByte(subject, '.')+1:]
		h, err := r.Lease(ctx, name)
		if err != nil {
			return nil, err
		}
		if h != nil {
			out[name] = h
		}
	}
	return out, nil
}
