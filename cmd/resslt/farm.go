package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
)

func newFarmCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "farm",
		Short: "the runs that a broker holds: list, show, delete, clean up",
		Long: `farm looks after the runs in a broker. Most of that happens by itself: a run that has ended
gives its memory back at once, and one without a trainer for an hour (--sleep-after) is put
to sleep. Both keep their record, and a trainer that opens them again goes on (--resume).

A run is

  live         being trained
  opened       waiting for its first trainer, or being opened
  ended        trained to its last step
  abandoned    not being trained, with steps left: interrupted, or its trainer died
  asleep       abandoned, and nothing is held of it but its record
  stopped      ended by a notice: two workers made different bytes of one task
  recording    keeping all chunks (train --record stream), and not whole yet
  sealed       a recording, whole
  orphan       streams that are left of a run without a record
  unreadable   of another build, or damaged`,
	}
	c.AddCommand(newFarmListCommand(), newFarmShowCommand(), newFarmRemoveCommand(), newFarmCollectCommand())
	return c
}

// farmRow is a run in `farm ls --json`.
type farmRow struct {
	Run           string              `json:"run"`
	State         runs.State          `json:"state"`
	Since         time.Time           `json:"since"` // by the broker's clock
	SinceSeconds  float64             `json:"since_seconds"`
	Step          int64               `json:"step"`
	Steps         int64               `json:"steps"`
	Bytes         uint64              `json:"bytes"`          // that are held
	ReservedBytes int64               `json:"reserved_bytes"` // of a quota, by all streams
	Streams       []string            `json:"streams"`
	Trainers      []runs.TrainerState `json:"trainers"`
	LastHeartbeat *time.Time          `json:"last_heartbeat,omitempty"` // of a worker
	Error         string              `json:"error,omitempty"`
	heard         time.Duration       // since that
}

func rowOf(o *runs.Overview) farmRow {
	r := farmRow{
		Run: o.Name, State: o.State(), Since: o.Since(), Step: o.Cursor(), Bytes: o.Chunks + o.Other, ReservedBytes: o.Reserved,
		Streams: o.Kept, Trainers: append([]runs.TrainerState{}, o.Trainers...),
	}
	r.SinceSeconds = max(0, o.Now.Sub(r.Since).Seconds())
	if o.Run != nil {
		r.Steps = o.Run.Spec().Steps()
	}
	if !o.Beat.IsZero() {
		r.LastHeartbeat, r.heard = &o.Beat, o.Now.Sub(o.Beat)
	}
	if o.Err != nil {
		r.Error = cli.Line(o.Err)
	}
	return r
}

// idleFor is how long a run that is over must have been so to be left out of `farm ls`.
const idleFor = 7 * 24 * time.Hour

func newFarmListCommand() *cobra.Command {
	var (
		at          access.Flags
		asJSON, all bool
	)
	c := &cobra.Command{
		Use:   "ls",
		Short: "the runs: state, since when, bytes, who trains, the last heartbeat",
		Long: `ls lists the runs that a broker holds: their state and since when, the next step of the
slowest live trainer (else of the furthest), the bytes that are held, and those that its
streams take of the broker's quota, the trainer that was there last, and how old the newest
heartbeat of a worker is. Those that have ended or sleep, hold nothing but their record, and
were last heard of more than a week ago are left out without --all.`,
		Example: `  resslt farm ls
  resslt farm ls --all --json --nats tls://farm:4222 --tls-ca ca.pem --nkey observer.nk`,
		RunE: func(c *cobra.Command, _ []string) error {
			_, js, err := at.Connect(c.Context(), "resslt farm", broker.RoleObserver, nil)
			if err != nil {
				return err
			}
			defer js.Conn().Close()
			found, err := runs.Overviews(c.Context(), js, runs.Brief)
			if err != nil {
				return err
			}
			rows, hidden := []farmRow{}, 0
			for i := range found {
				r := rowOf(&found[i])
				idle := r.State == runs.StateAsleep || r.State == runs.StateEnded && len(r.Streams) == 1
				if idle && !all && r.SinceSeconds > idleFor.Seconds() {
					hidden++
					continue
				}
				rows = append(rows, r)
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"runs": rows, "left_out": hidden})
			} else {
				err = printFarm(c.OutOrStdout(), rows, hidden)
			}
			if err != nil {
				return err
			}
			return allFailed(found)
		},
	}
	at.Register(c.Flags(), access.DefaultURL)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&all, "all", false, "also runs that ended or sleep since more than a week")
	return c
}

func printFarm(w io.Writer, rows []farmRow, hidden int) error {
	if len(rows) == 0 && hidden == 0 {
		_, err := fmt.Fprintln(w, "no runs")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(rows) > 0 {
		fmt.Fprintln(t, "RUN\tSTATE\tSINCE\tSTEP\tHELD\tRESERVED\tTRAINER\tBEAT")
	}
	for i := range rows {
		r := &rows[i]
		beat := "-"
		if r.LastHeartbeat != nil {
			beat = spell(r.heard)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\n", fit(r.Run, 18), r.State, spellSeconds(r.SinceSeconds),
			r.Step, r.Steps, binaryBytes(r.Bytes), binaryBytes(uint64(max(0, r.ReservedBytes))), fit(trainerOf(r.Trainers), 14), beat)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range rows {
		if r := &rows[i]; r.Error != "" {
			fmt.Fprintf(w, "%s: %.400s\n", r.Run, cli.Printable(r.Error))
		}
	}
	if hidden > 0 {
		fmt.Fprintf(w, "%d more that ended or sleep since over a week: --all\n", hidden)
	}
	return nil
}

// trainerOf names the live trainer, or the one that was there last, and how many others there are.
func trainerOf(all []runs.TrainerState) string {
	if len(all) == 0 {
		return "-"
	}
	best := &all[0]
	for i := range all {
		if t := &all[i]; t.Live && !best.Live || t.Live == best.Live && t.Renewed.After(best.Renewed) {
			best = t
		}
	}
	name := fit(best.Name, 16) + "@" + best.Host
	if len(all) > 1 {
		name = fmt.Sprintf("%d: %s", len(all), name)
	}
	return name
}

// fit is a name from elsewhere in a cell of so many columns.
func fit(name string, columns int) string {
	r := []rune(cli.Printable(name))
	if len(r) > columns {
		return string(r[:columns-1]) + "…"
	}
	return string(r)
}

func newFarmShowCommand() *cobra.Command {
	var (
		at     access.Flags
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "show RUN",
		Short: "all that a broker holds of one run",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, js, err := at.Connect(c.Context(), "resslt farm", broker.RoleObserver, nil)
			if err != nil {
				return err
			}
			defer js.Conn().Close()
			o, err := runs.OverviewOf(c.Context(), js, args[0], runs.Full)
			if err != nil {
				return err
			}
			if asJSON {
				var shown struct {
					farmRow
					Status runStatus `json:"status"`
				}
				shown.farmRow, shown.Status = rowOf(o), statusOf(o, time.Now())
				err = json.NewEncoder(c.OutOrStdout()).Encode(shown)
			} else {
				err = printShow(c.OutOrStdout(), o)
			}
			if err != nil {
				return err
			}
			return o.Err
		},
	}
	at.Register(c.Flags(), access.DefaultURL)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func printShow(w io.Writer, o *runs.Overview) error {
	r, s := rowOf(o), statusOf(o, time.Now())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "run\t%s\nstate\t%s since %s\n", r.Run, r.State, spellSeconds(r.SinceSeconds))
	fmt.Fprintf(t, "streams\t%s\nheld\t%s of chunks, %s of the rest, %s reserved\n", strings.Join(r.Streams, " "), binaryBytes(o.Chunks), binaryBytes(o.Other), binaryBytes(uint64(max(0, o.Reserved))))
	if o.Run != nil {
		spec, opts := o.Run.Spec(), o.Run.Options()
		fmt.Fprintf(t, "data\t%.200s\n", cli.Printable(o.Run.Info.DataURI))
		fmt.Fprintf(t, "spec\t%.12s: %d steps of %d, %d views, engine %.40s\n", s.Digest, s.Steps, s.BatchSize, len(spec.Views), cli.Printable(spec.Engine))
		fmt.Fprintf(t, "options\twindow of %d steps, chunks in %s, asleep after %s without a trainer\n", s.WindowSteps, opts.Storage, spell(opts.SleepAfter))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printRun(t, &s)
	return t.Flush()
}
