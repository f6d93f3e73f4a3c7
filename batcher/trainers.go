package batcher

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// TrainerState is a trainer of a run, as its lease tells.
type TrainerState struct {
	Name   string        `json:"name"`
	Host   string        `json:"host"`
	PID    int           `json:"pid"`
	Cursor int64         `json:"cursor"` // next step that it needs
	Term   time.Duration `json:"term"`   // of its lease
	Age    time.Duration `json:"age"`    // of the last renewal; 0 where the broker does not tell
	Left   bool          `json:"left"`   // it has closed its stream
	// Live: the lease was neither left nor has it run out. Brokers before 2.10 do
	// not tell the time; there, a trainer that was killed counts as live.
	Live bool `json:"live"`
}

// Trainers gives every trainer that ever had a lease on the run, by name.
func (r *Run) Trainers(ctx context.Context) ([]TrainerState, error) {
	notes, err := readLeases(ctx, r)
	if err != nil {
		return nil, unavailable(r.js.Conn(), "list trainers", r.Name, err)
	}
	var out []TrainerState
	for name, h := range notes {
		out = append(out, TrainerState{
			Name: name, Host: h.Host, PID: h.PID, Cursor: h.Cursor,
			Term: h.term(), Age: h.age, Left: h.Left, Live: !h.over(),
		})
	}
	slices.SortFunc(out, func(a, b TrainerState) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Cursor gives the next step that a trainer needs, or where it stopped. It returns
// ErrNotFound where the run had none of that name.
func (r *Run) Cursor(ctx context.Context, trainer string) (int64, error) {
	h, err := readLease(ctx, r, trainer)
	switch {
	case err != nil:
		return 0, unavailable(r.js.Conn(), "read cursor", r.Name, err)
	case h == nil:
		return 0, errs.New("read cursor", r.Name+" "+trainer, "name a trainer that has begun this run", errs.ErrNotFound)
	case h.ID == "":
		return 0, errs.New("read cursor", r.Name+" "+trainer, "see who else publishes to "+schemas.TrainerSubject(r.Name, trainer), errs.ErrCorrupt)
	}
	return h.Cursor, nil
}

// refuseWhileTrained returns ErrUsage while a trainer of the run is alive. One that
// was killed without a word is waited for.
func refuseWhileTrained(ctx context.Context, js jetstream.JetStream, run string) error {
	r := &Run{Name: run, js: js}
	notes, err := readLeases(ctx, r)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	for name := range notes {
		if err == nil {
			_, err = awaitFree(ctx, r, name)
		}
	}
	var typed *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed) && errors.Is(err, errs.ErrUsage):
		return errs.New("delete run", run, "stop it first, or choose another --run name", typed.Err)
	}
	return unavailable(js.Conn(), "delete run", run, err)
}

// readLeases reads the note of every trainer, by its name.
func readLeases(ctx context.Context, run *Run) (map[string]*heldLease, error) {
	s, err := run.js.Stream(ctx, schemas.CtrlStream(run.Name))
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(schemas.AllTrainers(run.Name)))
	if err != nil {
		return nil, err
	}
	out := map[string]*heldLease{}
	for subject := range info.State.Subjects {
		name := subject[strings.LastIndexByte(subject, '.')+1:]
		h, err := readLease(ctx, run, name)
		if err != nil {
			return nil, err
		}
		if h != nil {
			out[name] = h
		}
	}
	return out, nil
}

// roster is what a trainer knows of the others of its run. It hears their notes as
// they are published, and reads them now and then for what it did not hear.
type roster struct {
	run  *Run
	self string
	seen map[string]sighting
	read time.Time // when the notes were last read; zero: they must be
}

// sighting is a note, and when it was renewed, by this machine's clock.
type sighting struct {
	heldLease
	at time.Time
}

// rereadEvery is how long a roster goes by what it hears alone.
const rereadEvery = 5 * time.Second

// hear takes in a note as it was published. That it was published does not say that
// the broker took it, so only a renewal of a known lease counts at once.
func (r *roster) hear(m *nats.Msg) {
	name := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	if name == r.self || len(m.Data) > maxLeaseNote {
		return
	}
	var n leaseNote
	s, known := r.seen[name]
	if err := json.Unmarshal(m.Data, &n); err != nil || !known || n.ID != s.ID || n.Cursor < 0 || n.Window < 0 {
		r.read = time.Time{}
		return
	}
	// Notes wait in line: one may be older than what was read meanwhile.
	n.Cursor, n.Asked = max(n.Cursor, s.Cursor), max(n.Asked, s.Asked)
	s.leaseNote, s.age, s.at = n, 0, time.Now()
	r.seen[name] = s
}

// refresh reads the notes where that is due.
func (r *roster) refresh(ctx context.Context) error {
	if time.Since(r.read) < rereadEvery {
		return nil
	}
	notes, err := readLeases(ctx, r.run)
	if err != nil {
		return err
	}
	now := time.Now()
	next := map[string]sighting{}
	for name, h := range notes {
		if name == r.self {
			continue
		}
		s := sighting{*h, now.Add(-h.age)}
		if old, ok := r.seen[name]; ok && (old.seq == h.seq || old.at.After(s.at)) {
			// The same as before, or one that was heard of since.
			s.at = old.at
		}
		next[name] = s
	}
	r.seen, r.read = next, now
	return nil
}

// recorded says whether any other trainer of the run, alive or not, keeps every step.
func (r *roster) recorded() bool {
	for _, s := range r.seen {
		if s.Keep < 0 {
			return true
		}
	}
	return false
}

// live gives the notes of the others that hold a lease, by name.
func (r *roster) live() []leaseNote {
	var out []leaseNote
	for _, s := range r.seen {
		if !s.over() && time.Since(s.at) < s.term() {
			out = append(out, s.leaseNote)
		}
	}
	slices.SortFunc(out, func(a, b leaseNote) int { return strings.Compare(a.Trainer, b.Trainer) })
	return out
}
