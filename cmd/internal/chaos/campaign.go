package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"resslt/schemas/errs"
)

// Campaign is a series of storms and scenarios.
type Campaign struct {
	// Faults of the mixed storm; 0 for none. Its run grows with them.
	Faults int
	// Runs is how many runs, of different seeds, share the mixed storm's farm; 0 is one.
	Runs int
	// Alone is how many faults each kind has in a storm of its own; 0 for none.
	Alone int
	// Kinds that are drawn from; default all.
	Kinds []string
	// Only names the scenarios; default all, "none" for none.
	Only []string
}

// stepsAFault is the mean number of steps between faults.
const stepsAFault = 20

// Report is the result of a campaign.
type Report struct {
	Seed      uint64           `json:"seed"`
	Calm      []CalmReport     `json:"calm"`
	Storms    []StormReport    `json:"storms"`
	Scenarios []ScenarioReport `json:"scenarios"`
	Seconds   float64          `json:"seconds"`
}

// CalmReport is the report of a run without faults.
type CalmReport struct {
	Steps           int64            `json:"steps"`
	Seed            uint64           `json:"seed"` // of the run; 0: its recipe's
	StudentSHA256   string           `json:"student_sha256"`
	ImagesPerSecond float64          `json:"images_per_second"`
	PeakRSSBytes    map[string]int64 `json:"peak_rss_bytes"` // by process
}

// Wrong lists every failed check.
func (r *Report) Wrong() []string {
	var out []string
	for _, s := range r.Storms {
		for _, w := range s.Wrong {
			out = append(out, s.Name+": "+w)
		}
	}
	for _, s := range r.Scenarios {
		for _, w := range s.Wrong {
			out = append(out, s.Name+": "+w)
		}
	}
	return out
}

// Run runs the campaign. Failed checks are in the report; an error means that there is no
// report.
func Run(ctx context.Context, o Options, c Campaign) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.applyDefaults()
	if len(c.Kinds) == 0 {
		c.Kinds = Kinds()
	}
	if c.Faults < 0 || c.Alone < 0 || c.Runs < 0 {
		return nil, errs.New("chaos", "faults", "give 0 or more", errs.ErrUsage)
	}
	for _, name := range c.Kinds {
		if _, ok := kindByName(name); !ok {
			return nil, errs.New("chaos", "kind "+name, "use some of "+fmt.Sprint(Kinds()), errs.ErrUsage)
		}
	}
	chosen, err := chooseScenarios(c.Only)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	r := &Report{Seed: o.Seed, Calm: []CalmReport{}, Storms: []StormReport{}, Scenarios: []ScenarioReport{}}
	o.Log(fmt.Sprintf("seed %d, everything under %s", o.Seed, o.Dir))

	calms := calmRuns{o: o, r: r, of: map[job]*Calm{}}
	var storms []Storm
	if c.Alone > 0 {
		for _, k := range c.Kinds {
			storms = append(storms, Storm{Name: k, Steps: stepsFor(c.Alone), Faults: c.Alone, Kinds: []string{k}})
		}
	}
	if runs := max(1, c.Runs); c.Faults > 0 {
		storms = append(storms, Storm{Name: mixedName, Steps: stepsFor(c.Faults - (runs-1)*shareOf(c.Faults, runs)), Faults: c.Faults, Kinds: c.Kinds, Mixed: true})
	}
	for _, s := range storms {
		calm, err := calms.get(ctx, s.Steps, 0)
		if err != nil {
			return nil, err
		}
		var beside []*Calm
		for i := 2; s.Mixed && i <= c.Runs; i++ {
			other, err := calms.get(ctx, s.Steps, uint64(i))
			if err != nil {
				return nil, err
			}
			beside = append(beside, other)
		}
		sr, err := RunStorm(ctx, o, s, calm, beside...)
		if err != nil {
			return nil, err
		}
		r.Storms = append(r.Storms, *sr)
		if err := o.logResult(s.Name, sr.Seconds, fmt.Sprintf("%d faults", sr.Faults), sr.Wrong); err != nil {
			return nil, err
		}
	}
	for _, s := range chosen {
		calm, err := calms.get(ctx, scenarioSteps, 0)
		if err != nil {
			return nil, err
		}
		sr, err := runScenario(ctx, o, s, calm)
		if err != nil {
			return nil, err
		}
		r.Scenarios = append(r.Scenarios, *sr)
		if err := o.logResult(s.name, sr.Seconds, sr.Outcome, sr.Wrong); err != nil {
			return nil, err
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// job is what a calm run is known by.
type job struct {
	steps int64
	seed  uint64 // 0: the recipe's
}

// calmRuns are the campaign's calm runs, each made when it is first asked for.
type calmRuns struct {
	o  Options
	r  *Report
	of map[job]*Calm
}

func (c *calmRuns) get(ctx context.Context, steps int64, seed uint64) (*Calm, error) {
	j := job{steps, seed}
	if have := c.of[j]; have != nil {
		return have, nil
	}
	made, err := RunCalm(ctx, c.o, fmt.Sprintf("calm-%d-%d", steps, seed), steps, seed)
	if err != nil {
		return nil, err
	}
	c.of[j] = made
	c.r.Calm = append(c.r.Calm, CalmReport{steps, seed, made.Summary.StudentSHA256, made.Summary.ImagesPerSecond, made.Peak})
	c.o.Log(fmt.Sprintf("undisturbed, %d steps: student %.12s, %.0f images/s", steps, made.Summary.StudentSHA256, made.Summary.ImagesPerSecond))
	return made, nil
}

// logResult logs how a run ended, and removes its folder if it passed.
func (o *Options) logResult(name string, seconds float64, what string, wrong []string) error {
	if len(wrong) == 0 {
		o.Log(fmt.Sprintf("%s: passed in %.0f s, %s", name, seconds, what))
		return removeFolder(*o, name)
	}
	for _, w := range wrong {
		o.Log(fmt.Sprintf("%s: WRONG: %s", name, w))
	}
	return nil
}

// stepsFor is the length of a run with n faults, in whole epochs.
func stepsFor(n int) int64 {
	steps := int64(firstFault + lastFault + n*stepsAFault)
	return (steps + stepsAnEpoch - 1) / stepsAnEpoch * stepsAnEpoch
}

// chooseScenarios returns the named scenarios, or all if there is no name.
func chooseScenarios(names []string) ([]scenario, error) {
	if len(names) == 0 {
		return scenarios, nil
	}
	if slices.Equal(names, []string{"none"}) {
		return nil, nil
	}
	byName := map[string]scenario{}
	for _, s := range scenarios {
		byName[s.name] = s
	}
	var out []scenario
	for _, n := range names {
		s, ok := byName[n]
		if !ok {
			return nil, errs.New("chaos", "scenario "+n, "use some of "+fmt.Sprint(slices.Sorted(maps.Keys(byName))), errs.ErrUsage)
		}
		out = append(out, s)
	}
	return out, nil
}
