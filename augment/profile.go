package augment

import (
	"fmt"
	"time"

	"resslt/schemas/errs"
)

// Cost is what a painter has spent on one kind of work since StartProfile.
type Cost struct {
	Work  string        // "decode", "resize across", or the name of a step's kind
	Calls int64         // how often
	CPU   time.Duration // of the thread that did it
}

// profiler is a Painter that can tell where its time goes. While it does, it paints the same
// bytes, a little more slowly.
type profiler interface {
	StartProfile()
	Profile() []Cost
}

// StartProfile has the renderer account for its CPU time from now on. The error wraps
// errs.ErrUnsupported if its engine can't.
func (r *Renderer) StartProfile() error {
	p, ok := r.painter.(profiler)
	if !ok {
		return errs.New("profile", fmt.Sprintf("%T", r.painter), "use the engine turbo", errs.Because(errs.ErrUnsupported, "this engine does not account for its time"))
	}
	p.StartProfile()
	return nil
}

// Profile is what the renderer has spent since StartProfile, each kind of work once, those
// that never happened too.
func (r *Renderer) Profile() []Cost {
	if p, ok := r.painter.(profiler); ok {
		return p.Profile()
	}
	return nil
}

// StepName is the name of a kind of step, as plans print it.
func StepName(k StepKind) string {
	if int(k) < len(stepArgs) {
		return stepArgs[k].name
	}
	return ""
}
