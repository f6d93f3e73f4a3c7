package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cli"
	"resslt/schemas/errs"
)

// runStatus is a run, as people and --json are shown it.
type runStatus struct {
	Run              string              `json:"run"`
	State            runs.State          `json:"state"`
	Error            string              `json:"error,omitempty"` // why it could not be read, or not wholly
	Digest           string              `json:"digest"`          // of the spec
	Step             int64               `json:"step"`            // next step of the slowest live trainer; where none is live, of the furthest
	Steps            int64               `json:"steps"`
	StepsPerEpoch    int64               `json:"steps_per_epoch"`
	BatchSize        int                 `json:"batch_size"`
	BufferedSteps    int64               `json:"buffered_steps"`
	WindowSteps      int64               `json:"window_steps"`
	SamplesPerSecond float64             `json:"samples_per_second"`    // of the live workers
	ETASeconds       *float64            `json:"eta_seconds,omitempty"` // absent where nothing tells it
	ETAFrom          string              `json:"eta_from,omitempty"`    // whose speed that goes by: trainer, or workers
	ChunkBytes       uint64              `json:"chunk_bytes"`
	OtherBytes       uint64              `json:"other_bytes"` // tasks and control messages
	Stopped          string              `json:"stopped,omitempty"`
	Trainers         []runs.TrainerState `json:"trainers"`
	Workers          []workerStatus      `json:"workers"`
}

// workerStatus is a worker's last heartbeat.
type workerStatus struct {
	runs.Heartbeat
	AgeSeconds float64 `json:"age_seconds"` // of the heartbeat, by this machine's clock
	Live       bool    `json:"live"`
}

func newStatusCommand() *cobra.Command {
	var (
		at     access.Flags
		asJSON bool
		watch  time.Duration
	)
	c := &cobra.Command{
		Use:   "status [RUN]",
		Short: "the runs in a broker: steps, buffers, trainers, workers, what is left",
		Example: `  resslt status
  resslt status first --watch 2s
  resslt status --nats tls://farm:4222 --tls-ca ca.pem --nkey observer.nk --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if watch < 0 {
				return errs.New("--watch", watch.String(), "give a time above 0", errs.ErrUsage)
			}
			_, js, err := at.Connect(ctx, "resslt status", broker.RoleObserver, nil)
			if err != nil {
				return err
			}
			defer js.Conn().Close()
			for {
				all, err := overviews(ctx, js, args, runs.Full)
				if err != nil {
					return err
				}
				if err := printStatus(c.OutOrStdout(), statusesOf(all), asJSON, watch > 0); err != nil {
					return err
				}
				if watch == 0 {
					return allFailed(all)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(watch):
				}
			}
		},
	}
	f := c.Flags()
	at.Register(f, access.DefaultURL)
	f.BoolVar(&asJSON, "json", false, "print one JSON object each time")
	f.DurationVar(&watch, "watch", 0, "print again after this `time`, until stopped")
	return c
}

// overviews looks at the runs that are named, or at all.
func overviews(ctx context.Context, js jetstream.JetStream, names []string, detail runs.Detail) ([]runs.Overview, error) {
	if len(names) == 0 {
		return runs.Overviews(ctx, js, detail)
	}
	var all []runs.Overview
	for _, name := range names {
		o, err := runs.OverviewOf(ctx, js, name, detail)
		if err != nil {
			return nil, err
		}
		all = append(all, *o)
	}
	return all, nil
}

// allFailed is the first run's error where none could be read.
func allFailed(all []runs.Overview) error {
	for _, o := range all {
		if o.Err == nil {
			return nil
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[0].Err
}

func statusesOf(all []runs.Overview) []runStatus {
	now := time.Now()
	out := []runStatus{}
	for i := range all {
		out = append(out, statusOf(&all[i], now))
	}
	return out
}

// statusOf is a run's status. now is this machine's clock, which the workers' are compared with.
func statusOf(o *runs.Overview, now time.Time) runStatus {
	s := runStatus{
		Run: o.Name, State: o.State(), Step: o.Cursor(), BufferedSteps: o.Buffered, ChunkBytes: o.Chunks, OtherBytes: o.Other,
		Trainers: append([]runs.TrainerState{}, o.Trainers...), Workers: []workerStatus{},
	}
	if o.Err != nil {
		s.Error = cli.Line(o.Err)
	}
	if o.Stopped != nil {
		s.Stopped = cli.Line(o.Stopped)
	}
	for _, b := range o.Workers {
		w := workerStatus{Heartbeat: b, AgeSeconds: now.Sub(b.Time).Seconds(), Live: b.Live(now)}
		if w.Live {
			s.SamplesPerSecond += b.Rate
		}
		s.Workers = append(s.Workers, w)
	}
	if o.Run == nil {
		return s
	}
	spec := o.Run.Spec()
	s.Digest, s.Steps, s.StepsPerEpoch, s.BatchSize, s.WindowSteps = o.Run.Info.Digest, spec.Steps(), spec.StepsPerEpoch, spec.BatchSize, o.Run.Window()
	if left, from := timeLeft(o, s.SamplesPerSecond); from != "" {
		s.ETASeconds, s.ETAFrom = &left, from
	}
	return s
}

// timeLeft is how long a run that is trained will take, in seconds, and whose speed tells that:
// the trainer's, or where it does not say, that of the workers; "" where neither does.
func timeLeft(o *runs.Overview, samplesPerSecond float64) (seconds float64, from string) {
	at := o.Slowest()
	if at == nil {
		return 0, ""
	}
	steps := float64(o.Run.Spec().Steps() - at.Cursor)
	switch {
	case at.Rate > 0:
		return steps / at.Rate, "trainer"
	case samplesPerSecond > 0:
		return steps * float64(o.Run.Spec().BatchSize) / samplesPerSecond, "workers"
	}
	return 0, ""
}

func printStatus(w io.Writer, all []runStatus, asJSON, again bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"runs": all})
	}
	if again {
		fmt.Fprintf(w, "%s\n", time.Now().Format(time.TimeOnly))
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no runs")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(t)
		}
		printRun(t, &s)
	}
	return t.Flush()
}

// shownWorkers is how many workers of a run are printed.
const shownWorkers = 100

func printRun(t io.Writer, s *runStatus) {
	left := "-"
	if s.ETASeconds != nil {
		left = fmt.Sprintf("%s by the %s", spellSeconds(*s.ETASeconds), s.ETAFrom)
	}
	epoch := float64(s.Step) / float64(max(1, s.StepsPerEpoch))
	fmt.Fprintf(t, "run %s  %s  step %d/%d  epoch %.2f  buffered %d/%d  %.0f samples/s  left %s  stored %s\n", s.Run, s.State, s.Step, s.Steps,
		epoch, s.BufferedSteps, s.WindowSteps, s.SamplesPerSecond, left, binaryBytes(s.ChunkBytes+s.OtherBytes))
	if s.Error != "" {
		fmt.Fprintf(t, "  ERROR\t%.400s\n", cli.Printable(s.Error))
	}
	if s.Stopped != "" {
		fmt.Fprintf(t, "  STOPPED\t%.400s\n", cli.Printable(s.Stopped))
	}
	for _, tr := range s.Trainers {
		fmt.Fprintf(t, "  trainer %.40s\tstep %d\t%s\tprocess %d on %.40s\n", cli.Printable(tr.Name), tr.Cursor, trainerState(tr), tr.PID, cli.Printable(tr.Host))
	}
	for _, b := range s.Workers[:min(len(s.Workers), shownWorkers)] {
		state := fmt.Sprintf("%.0f samples/s", b.Rate)
		if !b.Live {
			state = "gone since " + spellSeconds(b.AgeSeconds)
		}
		fmt.Fprintf(t, "  worker %.60s\t%d at once\t%s\t%d chunks\t%d redelivered\t%d replaced\n", cli.Printable(b.Worker), b.Heartbeat.Workers, state, b.Chunks, b.Redelivered, b.Replaced)
		if b.Live && b.Trouble != "" {
			fmt.Fprintf(t, "    trouble\t%.200s\n", cli.Printable(b.Trouble))
		}
	}
	if more := len(s.Workers) - shownWorkers; more > 0 {
		fmt.Fprintf(t, "  and %d workers more (--json has all)\n", more)
	}
}

// spell is a time for a person: two of its units, and none below a second.
func spell(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Hour:
		return d.Truncate(time.Second).String()
	case d < 2*day:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	case d > 100*365*day: // as by a clock that is far off
		return "ages"
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// spellSeconds is spell of seconds, as --json gives them.
func spellSeconds(s float64) string { return spell(time.Duration(s * float64(time.Second))) }

func trainerState(t runs.TrainerState) string {
	switch {
	case t.Left:
		return "left"
	case t.Live:
		return fmt.Sprintf("lease of %v, renewed %v ago", t.Term, t.Age.Round(100*time.Millisecond))
	}
	return "lease ran out"
}

// binaryBytes is a size for a person.
func binaryBytes(n uint64) string {
	for _, u := range []struct {
		name string
		size uint64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
