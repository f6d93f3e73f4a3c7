package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
	Digest           string              `json:"digest"` // of the spec
	Step             int64               `json:"step"`   // next step of the slowest live trainer; where none is live, of the furthest
	Steps            int64               `json:"steps"`
	StepsPerEpoch    int64               `json:"steps_per_epoch"`
	BatchSize        int                 `json:"batch_size"`
	BufferedSteps    int64               `json:"buffered_steps"`
	WindowSteps      int64               `json:"window_steps"`
	SamplesPerSecond float64             `json:"samples_per_second"`    // of the live workers
	ETASeconds       *float64            `json:"eta_seconds,omitempty"` // at that speed; absent where no worker is live
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

// heartbeatLife is how long a worker may be silent and count as live; its heartbeats come
// every 5 s.
const heartbeatLife = 30 * time.Second

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
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			for {
				all, err := runStatuses(ctx, js, name)
				if err != nil && all == nil {
					return err
				}
				if perr := printStatus(c.OutOrStdout(), all, asJSON, watch > 0); perr != nil {
					return perr
				}
				if watch == 0 {
					return err // of runs that this build cannot read
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

// runStatuses gives one run's status, or all runs' where name is "". The error may come with
// the runs that could be read.
func runStatuses(ctx context.Context, js jetstream.JetStream, name string) ([]runStatus, error) {
	var (
		found []*runs.Run
		bad   error
	)
	if name != "" {
		r, err := runs.Lookup(ctx, js, name)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	} else if found, bad = runs.List(ctx, js); found == nil && bad != nil {
		return nil, bad
	}
	all := []runStatus{}
	for _, r := range found {
		s, err := statusOf(ctx, r)
		if errors.Is(err, errs.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, bad
}

func statusOf(ctx context.Context, r *runs.Run) (runStatus, error) {
	spec := r.Spec()
	s := runStatus{
		Run: r.Name, Digest: r.Info.Digest, Steps: spec.Steps(), StepsPerEpoch: spec.StepsPerEpoch, BatchSize: spec.BatchSize,
		WindowSteps: r.Window(), Trainers: []runs.TrainerState{}, Workers: []workerStatus{},
	}
	trainers, err := r.Trainers(ctx)
	if err != nil {
		return s, err
	}
	s.Trainers = append(s.Trainers, trainers...)
	s.Step = slowest(trainers)
	heartbeats, err := r.Workers(ctx)
	if err != nil {
		return s, err
	}
	now := time.Now()
	for _, b := range heartbeats {
		w := workerStatus{Heartbeat: b, AgeSeconds: now.Sub(b.Time).Seconds(), Live: now.Sub(b.Time) < heartbeatLife}
		if w.Live {
			s.SamplesPerSecond += b.Rate
		}
		s.Workers = append(s.Workers, w)
	}
	if s.SamplesPerSecond > 0 {
		left := float64(s.Steps-s.Step) * float64(s.BatchSize) / s.SamplesPerSecond
		s.ETASeconds = &left
	}
	if s.BufferedSteps, err = r.Buffered(ctx, s.Step, r.Window()); err != nil {
		return s, err
	}
	if s.ChunkBytes, s.OtherBytes, err = r.Usage(ctx); err != nil {
		return s, err
	}
	err = r.Stopped(ctx)
	if errors.Is(err, errs.ErrDeterminism) {
		s.Stopped, err = cli.Line(err), nil
	}
	return s, err
}

// slowest is the next step of the slowest live trainer; where none is live, of the one that
// went furthest.
func slowest(trainers []runs.TrainerState) int64 {
	var live, all []int64
	for _, t := range trainers {
		all = append(all, t.Cursor)
		if t.Live {
			live = append(live, t.Cursor)
		}
	}
	switch {
	case len(live) > 0:
		return slices.Min(live)
	case len(all) > 0:
		return slices.Max(all)
	}
	return 0
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
		left := "-"
		if s.ETASeconds != nil {
			left = (time.Duration(*s.ETASeconds) * time.Second).String()
		}
		fmt.Fprintf(t, "run %s\tstep %d/%d\tepoch %.2f\tbuffered %d/%d\t%.0f samples/s\tleft %s\tstored %s\n", s.Run, s.Step, s.Steps,
			float64(s.Step)/float64(s.StepsPerEpoch), s.BufferedSteps, s.WindowSteps, s.SamplesPerSecond, left, binaryBytes(s.ChunkBytes+s.OtherBytes))
		if s.Stopped != "" {
			fmt.Fprintf(t, "  STOPPED\t%s\n", s.Stopped)
		}
		for _, tr := range s.Trainers {
			fmt.Fprintf(t, "  trainer %.40s\tstep %d\t%s\tprocess %d on %.40s\n", cli.Printable(tr.Name), tr.Cursor, trainerState(tr), tr.PID, cli.Printable(tr.Host))
		}
		for _, b := range s.Workers {
			state := fmt.Sprintf("%.0f samples/s", b.Rate)
			if !b.Live {
				state = "gone since " + (time.Duration(b.AgeSeconds) * time.Second).String()
			}
			fmt.Fprintf(t, "  worker %.60s\t%d at once\t%s\t%d chunks\t%d redelivered\t%d replaced\n", cli.Printable(b.Worker), b.Heartbeat.Workers, state, b.Chunks, b.Redelivered, b.Replaced)
			if b.Live && b.Trouble != "" {
				fmt.Fprintf(t, "    trouble\t%.200s\n", cli.Printable(b.Trouble))
			}
		}
	}
	return t.Flush()
}

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
