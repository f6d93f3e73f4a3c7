package track

import (
	"context"
	"time"

	"resslt/cmd/internal/tensorboard"
)

// Service is one tracker's side of one run. Calls come one at a time. An error that wraps
// errs.ErrUnavailable may pass: the call is made again.
type Service interface {
	// Begin makes the run, or joins the one of an earlier session, whose id that is. It gives the
	// run's id, also with an error where the run is there.
	Begin(ctx context.Context, r *Run, id string) (string, error)
	// Log adds points in the order in which they were made.
	Log(ctx context.Context, points []Point) error
	// End says how the run stands: it has ended, or a session has, which another may continue.
	End(ctx context.Context, o Outcome) error
	// Close lets go of what the service holds here.
	Close() error
}

// Run is what is said of a run at its beginning.
type Run struct {
	Name    string    // for people
	Notes   string    // what the run claims
	Out     string    // its folder
	Config  []Setting // the recipe
	Facts   []Setting // of this session: build, digests, host, command; strings
	Commit  string    // of the build; "" where it is not known
	Digest  string    // of the run spec: equal digests, equal batches
	Host    string
	Started time.Time
}

// Setting is a key of the recipe, or a fact, with its value.
type Setting struct {
	Key   string
	Value any
}

// Point is what is logged at once: values after a step.
type Point struct {
	Step   int64
	Epoch  float64
	Time   time.Time // when it was read
	Values []tensorboard.Scalar
}

// Status is how a run stands.
type Status string

// Statuses.
const (
	Finished    Status = "finished"
	Failed      Status = "failed"
	Interrupted Status = "interrupted" // it may be resumed
)

// Outcome is how a run stands at the end of a session.
type Outcome struct {
	Status  Status
	Time    time.Time
	Summary []Setting // figures and digests of the run, numbers and strings; none unless Finished
	Files   []string  // paths, to be kept with the run; none unless Finished
}
