package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// scenarioSteps is the length of every scenario's run.
const scenarioSteps = 60

// scenario is a fault that needs a stage of its own.
type scenario struct {
	name string
	what string // for a person
	play func(ctx context.Context, s *stage) error
}

// ScenarioReport is what became of a scenario.
type ScenarioReport struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Outcome string   `json:"outcome"` // what a person would have seen
	Seconds float64  `json:"seconds"`
	Wrong   []string `json:"wrong"` // what is not as it must be; empty is a pass
}

// stage is what a scenario plays on.
type stage struct {
	opts    Options
	name    string
	calm    *Calm
	outcome string
}

// farm prepares a farm of the scenario's run; change, if not nil, alters its layout.
func (s *stage) farm(change func(*layout)) (*farm, error) {
	l := layout{name: s.name, steps: scenarioSteps, workers: farmWorkers, proxied: true, window: window, ackWait: ackWait}
	if change != nil {
		change(&l)
	}
	return newFarm(s.opts, l)
}

// wrongError is a check that failed, as opposed to a scenario that could not be
// played.
type wrongError struct{ text string }

func (e *wrongError) Error() string { return e.text }

func wrongf(format string, args ...any) error { return &wrongError{fmt.Sprintf(format, args...)} }

// same checks that the farm ended as the calm run did.
func (s *stage) same(f *farm) error {
	if wrong := f.wrongs(s.calm); len(wrong) > 0 {
		return wrongf("%v", wrong)
	}
	return nil
}

func runScenario(ctx context.Context, o Options, s scenario, calm *Calm) (*ScenarioReport, error) {
	began := time.Now()
	st := &stage{opts: o, name: s.name, calm: calm}
	err := s.play(ctx, st)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := &ScenarioReport{Name: s.name, What: s.what, Outcome: st.outcome, Seconds: time.Since(began).Seconds(), Wrong: []string{}}
	var wrong *wrongError
	switch {
	case errors.As(err, &wrong), err != nil:
		r.Wrong = append(r.Wrong, err.Error())
	}
	return r, nil
}

// Scenarios are the names of the scenarios.
func Scenarios() []string {
	var out []string
	for _, s := range scenarios {
		out = append(out, s.name)
	}
	return out
}

var scenarios = []scenario{}
