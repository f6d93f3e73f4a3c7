package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/schemas/errs"
)

func newFarmRemoveCommand() *cobra.Command {
	var (
		at  access.Flags
		yes bool
	)
	c := &cobra.Command{
		Use:   "rm RUN...",
		Short: "delete runs: their streams with all that is in them",
		Long: `rm deletes what a broker holds of the runs, recordings too. Checkpoints and other files
of trainers are no part of that: a trainer that resumes has its batches made again. A run
that is being trained is refused.`,
		Example: `  resslt farm rm first
  resslt farm rm first second --yes`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			_, js, err := at.Connect(ctx, "resslt farm", broker.RoleTrainer, nil)
			if err != nil {
				return err
			}
			defer js.Conn().Close()
			var found []runs.Overview
			for _, name := range args { // all are looked at before any is deleted
				o, err := runs.OverviewOf(ctx, js, name, runs.Brief)
				if err != nil {
					return err
				}
				if err := refuseLive(o); err != nil {
					return err
				}
				if !slices.ContainsFunc(found, func(f runs.Overview) bool { return f.Name == name }) {
					found = append(found, *o)
				}
			}
			for i := range found {
				o := &found[i]
				if ok, err := confirm(c, yes, fmt.Sprintf("delete run %s: %s, %s", o.Name, o.State(), binaryBytes(o.Chunks+o.Other))); err != nil || !ok {
					if err != nil {
						return err
					}
					continue
				}
				if err := runs.Delete(ctx, js, o.Name); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "deleted %s\n", o.Name)
			}
			return nil
		},
	}
	at.Register(c.Flags(), access.DefaultURL)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// refuseLive refuses to delete a run that is being trained, and names who does.
func refuseLive(o *runs.Overview) error {
	if t := o.Slowest(); t != nil {
		return errs.New("delete run", o.Name, "stop it first", errs.Because(errs.ErrUsage,
			fmt.Sprintf("trainer %s (process %d on %s) is training it", fit(t.Name, 40), t.PID, fit(t.Host, 40))))
	}
	return nil
}

// confirm asks at a terminal. Elsewhere it returns ErrUsage unless yes.
func confirm(c *cobra.Command, yes bool, question string) (bool, error) {
	if yes {
		return true, nil
	}
	in := c.InOrStdin()
	if !cli.TerminalInput(in) {
		return false, errs.New("", c.CommandPath(), "give --yes", errs.Because(errs.ErrUsage, "standard input is no terminal to ask at: "+question))
	}
	fmt.Fprintf(os.Stderr, "%s? [y/N] ", question) // as it is: with --quiet or --log a line would wait for its end
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(c.ErrOrStderr())
		return false, nil // the end of the input is no
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

func newFarmCollectCommand() *cobra.Command {
	var (
		at          access.Flags
		older       string
		states      []string
		dryRun, yes bool
	)
	c := &cobra.Command{
		Use:   "gc",
		Short: "put abandoned runs to sleep, delete what is over and old",
		Long: `gc puts to sleep what is due (which trainers do as they begin), and deletes the runs in one
of the states that have been in it for longer than --older. Recordings and runs that are
being trained are never deleted by it.`,
		Example: `  resslt farm gc --dry-run
  resslt farm gc --older 30d --yes
  resslt farm gc --older 1h --state orphan`,
		RunE: func(c *cobra.Command, _ []string) error {
			age, err := parseAge(older)
			if err != nil {
				return err
			}
			plan, err := newCollection(states, age)
			if err != nil {
				return err
			}
			role := broker.RoleTrainer
			if dryRun {
				role = broker.RoleObserver
			}
			_, js, err := at.Connect(c.Context(), "resslt farm", role, nil)
			if err != nil {
				return err
			}
			defer js.Conn().Close()
			return collectRuns(c, js, plan, dryRun, yes)
		},
	}
	at.Register(c.Flags(), access.DefaultURL)
	f := c.Flags()
	f.StringVar(&older, "older", "30d", "`time` for which a run must have been in its state, 12h or 30d say")
	f.StringSliceVar(&states, "state", defaultCollected, "`states` to delete, comma-separated")
	cli.Choices(f, stateNames(), "state")
	f.BoolVar(&dryRun, "dry-run", false, "list what would be done, and why")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}

var (
	defaultCollected = []string{string(runs.StateEnded), string(runs.StateAbandoned), string(runs.StateAsleep), string(runs.StateStopped), string(runs.StateOrphan)}
	// notCollected are deleted by name alone, or not at all.
	notCollected = []runs.State{runs.StateLive, runs.StateOpened, runs.StateRecording, runs.StateSealed}
)

func stateNames() (names []string) {
	for _, s := range runs.States() {
		names = append(names, string(s))
	}
	return names
}

// collection is what gc is to delete.
type collection struct {
	states []runs.State
	older  time.Duration
}

func newCollection(states []string, older time.Duration) (collection, error) {
	out := collection{older: older}
	for _, s := range states {
		state := runs.State(s)
		hint := "give some of " + strings.Join(append(defaultCollected[:len(defaultCollected):len(defaultCollected)], string(runs.StateUnreadable)), ", ")
		switch {
		case !slices.Contains(runs.States(), state):
			return out, errs.New("--state", fmt.Sprintf("%.40q", s), hint, errs.Because(errs.ErrUsage, "no such state"))
		case slices.Contains(notCollected, state):
			return out, errs.New("--state", s, hint+"; or delete one by name: resslt farm rm RUN", errs.Because(errs.ErrUsage, "gc does not delete these"))
		}
		out.states = append(out.states, state)
	}
	return out, nil
}

// collected is what gc does to a run, and why.
type collected struct {
	name, why string
	sleep     bool // else it is deleted
}

// plan says what is done to which run.
func (g collection) plan(all []runs.Overview) []collected {
	var out []collected
	for i := range all {
		o := &all[i]
		state, age := o.State(), o.Now.Sub(o.Since())
		why := fmt.Sprintf("%s since %s, holds %s", state, spell(age), binaryBytes(o.Chunks+o.Other))
		switch {
		case errors.Is(o.Err, errs.ErrUnavailable): // what was not seen of it may be a recording
		case slices.Contains(g.states, state) && age >= g.older && !o.Sealed:
			out = append(out, collected{name: o.Name, why: why})
		case o.Err == nil && o.SleepsNow(0):
			out = append(out, collected{name: o.Name, why: why, sleep: true})
		}
	}
	return out
}

func collectRuns(c *cobra.Command, js jetstream.JetStream, g collection, dryRun, yes bool) error {
	ctx, out := c.Context(), c.OutOrStdout()
	all, err := runs.Overviews(ctx, js, runs.Brief)
	if err != nil {
		return err
	}
	plan := g.plan(all)
	var unseen []error
	for i := range all {
		if err := all[i].Err; errors.Is(err, errs.ErrUnavailable) {
			unseen = append(unseen, err)
		}
	}
	deleted := 0
	for _, p := range plan {
		what := "put to sleep"
		if !p.sleep {
			what, deleted = "delete", deleted+1
		}
		fmt.Fprintf(out, "%s %s: %s\n", what, p.name, p.why)
	}
	if len(plan) == 0 {
		fmt.Fprintln(out, "nothing to do")
	}
	if dryRun || len(plan) == 0 {
		return errors.Join(unseen...)
	}
	if deleted > 0 {
		if ok, err := confirm(c, yes, fmt.Sprintf("delete %d runs", deleted)); err != nil || !ok {
			return err
		}
	}
	return errors.Join(carryOut(ctx, js, g, plan), errors.Join(unseen...))
}

// carryOut does what is planned, and goes on where one cannot be done. The runs are looked at
// once more: somebody may have opened one while the question stood.
func carryOut(ctx context.Context, js jetstream.JetStream, g collection, plan []collected) error {
	var failed []error
	for _, p := range plan {
		if p.sleep {
			continue
		}
		o, err := runs.OverviewOf(ctx, js, p.name, runs.Brief)
		switch {
		case errors.Is(err, errs.ErrNotFound):
			continue
		case err == nil && errors.Is(o.Err, errs.ErrUnavailable):
			err = o.Err
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if again := g.plan([]runs.Overview{*o}); len(again) == 0 || again[0].sleep {
			continue
		}
		if err := runs.Delete(ctx, js, p.name); err != nil && !errors.Is(err, errs.ErrNotFound) {
			failed = append(failed, err)
		}
	}
	_, err := runs.Sweep(ctx, js, 0) // last: a run that sleeps is in another state
	return errors.Join(append(failed, err)...)
}

// parseAge reads a time, for which days may be given.
func parseAge(s string) (time.Duration, error) {
	bad := errs.New("--older", fmt.Sprintf("%.40q", s), "give a time, 12h or 30d say", errs.ErrUsage)
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		if _, serr := fmt.Sscanf(days, "%d", &n); serr != nil || fmt.Sprint(n) != days || n > 100_000 {
			return 0, bad
		}
		d, err = time.Duration(n)*24*time.Hour, nil
	}
	if err != nil || d < 0 {
		return 0, bad
	}
	return d, nil
}
