package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"resslt/schemas/errs"
)

// scenarioSteps is the length of every scenario's run.
const scenarioSteps = 60

// scenario is a fault that needs a set-up of its own.
type scenario struct {
	name string
	what string // for a person
	play func(ctx context.Context, s *stage) error
}

// ScenarioReport is the result of a scenario.
type ScenarioReport struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Outcome string   `json:"outcome"` // what a person would have seen
	Seconds float64  `json:"seconds"`
	Wrong   []string `json:"wrong"` // what is not as it must be; empty is a pass
}

// stage is a scenario's environment.
type stage struct {
	opts    Options
	name    string
	calm    *Calm
	outcome string
}

// farm prepares a farm for the scenario's run; change, if not nil, modifies its layout.
func (s *stage) farm(change func(*layout)) (*farm, error) {
	l := layout{name: s.name, steps: scenarioSteps, workers: farmWorkers, proxied: true, window: window, ackWait: ackWait}
	if change != nil {
		change(&l)
	}
	return newFarm(s.opts, l)
}

// wrongf is a failed check.
func wrongf(format string, args ...any) error {
	return errs.New("", "check", "", errs.Because(errs.ErrMismatch, fmt.Sprintf(format, args...)))
}

// same checks that the farm's result equals the calm run's.
func (s *stage) same(ctx context.Context, f *farm) error {
	if wrong := f.wrongs(ctx, s.calm); len(wrong) > 0 {
		return wrongf("%v", wrong)
	}
	return nil
}

// play runs a farm to its end, and meanwhile in between, and checks that its result equals
// the calm run's.
func (s *stage) play(ctx context.Context, change func(*layout), meanwhile func(context.Context, *farm) error) error {
	f, err := s.farm(change)
	if err != nil {
		return err
	}
	if err := f.whole(ctx, func(ctx context.Context) error { return meanwhile(ctx, f) }); err != nil {
		return err
	}
	return s.same(ctx, f)
}

// ends runs a farm whose trainer must end on its own, with this exit code and a last line
// that contains these words.
func (s *stage) ends(ctx context.Context, change func(*layout), code int, words []string, meanwhile func(context.Context, *farm) error) error {
	f, err := s.farm(change)
	if err != nil {
		return err
	}
	f.final = true
	err = f.whole(ctx, func(ctx context.Context) error { return meanwhile(ctx, f) })
	var exit *exitError
	if !errors.As(err, &exit) {
		if err != nil {
			return err
		}
		return wrongf("the trainer ended with code 0")
	}
	s.outcome = exit.line
	return exit.clear(code, words...)
}

// clear checks an exit by what a user sees: the exit code, and one line with the object,
// the cause and the hint.
func (e *exitError) clear(code int, words ...string) error {
	if e.code != code {
		return wrongf("%s ended with code %d, want %d: %s", e.name, e.code, code, e.line)
	}
	for _, w := range append([]string{": ", "(hint: "}, words...) {
		if !strings.Contains(e.line, w) {
			return wrongf("%s ended with %q, which does not say %q", e.name, e.line, w)
		}
	}
	if len(e.line) > maxLine {
		return wrongf("%s ended with a line of %d bytes: %.200s…", e.name, len(e.line), e.line)
	}
	return nil
}

// maxLine is the maximum length of a line for users.
const maxLine = 600

// reach waits until the trainer has done a step.
func (f *farm) reach(ctx context.Context, step int64) error {
	_, err := f.await(ctx, func(e stepEvent) bool { return e.step >= step })
	return err
}

// until polls a condition. It fails, with missed as the reason, if the condition is not
// met by the trainer's end or within Options.Quiet.
func (f *farm) until(ctx context.Context, missed string, come func() (bool, error)) error {
	late := time.NewTimer(f.opts.Quiet)
	defer late.Stop()
	for over := ""; ; {
		ok, err := come()
		if ok || err != nil {
			return err
		}
		if over != "" {
			return wrongf("%s %s", missed, over)
		}
		select { // poll once more after the end: it may have been met just before
		case <-time.After(pollSteps):
		case <-late.C:
			over = fmt.Sprintf("in %v", f.opts.Quiet)
		case <-f.finished:
			over = "before the trainer was done"
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", missed, context.Cause(ctx))
		}
	}
}

// logged waits until a word is in the log of a service, or of a restart of it.
func (f *farm) logged(ctx context.Context, s *service, word string) (line string, err error) {
	err = f.until(ctx, fmt.Sprintf("%s never logged %q", s.name, word), func() (bool, error) {
		raw, err := f.procOf(s).Read()
		for l := range strings.Lines(raw) {
			if strings.Contains(l, word) {
				line = strings.TrimSpace(l)
				return true, nil
			}
		}
		return false, err
	})
	return line, err
}

// exitOf waits until a service ends on its own. The service manager restarts it.
func (f *farm) exitOf(ctx context.Context, s *service) (exit *exitError, err error) {
	err = f.until(ctx, s.name+" did not end", func() (bool, error) {
		exit = f.exited(s)
		return exit != nil, nil
	})
	return exit, err
}

// exited is the first exit of a service on its own, nil if there is none yet.
func (f *farm) exited(s *service) *exitError {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.exits {
		if strings.HasPrefix(e.name, s.name+".") {
			return e
		}
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
	if err != nil {
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

// scenarios, ordered by their target.
var scenarios = slices.Concat(workerScenarios, brokerScenarios, clusterScenarios, jointScenarios, diskScenarios, trainerScenarios, runScenarios, tenantScenarios)
