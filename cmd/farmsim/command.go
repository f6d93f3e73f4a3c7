package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/farmsim"
	"resslt/schemas/errs"
)

func newCommand() *cobra.Command {
	var (
		o       farmsim.Options
		secured bool
	)
	c := &cobra.Command{
		Use:   "farmsim",
		Short: "measure a farm of many workers on one machine, with chunks that cost a sleep",
		Long: `Starts a broker, runs, trainers and workers, all real but for the images: a chunk costs a
sleep. Prints as JSON how long the workers took to come, control messages a second, CPU and
memory of broker, workers and planners, busy and idle; and how long the trainers wait when half
of the workers are killed.`,
		Example: `  go run ./cmd/farmsim --workers 1000 --runs 100 --trainers 8 --cost 1 --half
  go run ./cmd/farmsim --server nats-server --cores 0 --workers 300 --runs 1 --trainers 1`,
		RunE: func(c *cobra.Command, _ []string) error {
			stderr, began := c.ErrOrStderr(), time.Now()
			o.Log = func(line string) { fmt.Fprintf(stderr, "%7.1f s  %s\n", time.Since(began).Seconds(), line) }
			var err error
			if o.Program, err = os.Executable(); err != nil {
				return errs.New("find program", "", "", errs.BecauseErr(errs.ErrUnavailable, err))
			}
			keep := o.Dir != ""
			if !keep {
				if o.Dir, err = os.MkdirTemp("", "farmsim-"); err != nil {
					return errs.New("make folder", "", "set TMPDIR", errs.BecauseErr(errs.ErrUnavailable, err))
				}
				defer os.RemoveAll(o.Dir)
			}
			if secured {
				o.Keys = filepath.Join(o.Dir, "keys")
			}
			r, err := farmsim.Run(c.Context(), o)
			if err != nil {
				return err
			}
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Server, "server", "", "nats-server's `program` (default: the embedded broker, in a process of its own)")
	f.BoolVar(&secured, "secured", false, "TLS and nkeys, as deploy/nats/farm.conf has them")
	f.StringVar(&o.Cores, "cores", "", "`list` of cores that the broker may use, as taskset has them")
	f.StringVar(&o.Dir, "dir", "", "`folder` for stores and logs, which is kept (default: a temporary one)")
	f.IntVar(&o.Workers, "workers", 1000, "workers, each with a connection of its own")
	f.IntVar(&o.Slots, "slots", 1, "chunks that a worker makes at once")
	f.IntVar(&o.Procs, "procs", 4, "processes that the workers are spread over")
	f.IntVar(&o.Runs, "runs", 100, "runs in the broker")
	f.IntVar(&o.Trainers, "trainers", 8, "trainers, each of a run of its own; the other runs have none")
	f.Int64Var(&o.Samples, "samples", 1_000_000_000, "samples of each run's data set")
	f.IntVar(&o.Batch, "batch", 256, "samples a step")
	f.IntVar(&o.ChunkSamples, "chunk-samples", 4, "samples a chunk")
	f.IntVar(&o.View, "view", 1, "edge of each of the two views, pixels")
	o.Cost = time.Second
	f.Var(seconds{&o.Cost}, "cost", "`seconds` that making a chunk takes")
	f.Var(seconds{&o.Step}, "step", "`seconds` that a trainer rests after each step")
	f.DurationVar(&o.AckWait, "ack-wait", 0, "how long a worker may be silent about a task (default 30 s)")
	f.DurationVar(&o.Gather, "gather", 3*time.Minute, "in which all workers must have come")
	f.DurationVar(&o.Measure, "measure", 20*time.Second, "how long each measurement takes")
	f.DurationVar(&o.Settle, "settle", 45*time.Second, "from the last chunk to the measurement of the idle farm: requests come to stand longer")
	f.BoolVar(&o.Half, "half", false, "kill half of the workers at the end, and measure how trainers fare")
	c.AddCommand(brokerCommand(), crewCommand(), planCommand())
	return c
}

// brokerCommand is the embedded broker as a process of its own.
func brokerCommand() *cobra.Command {
	var listen, store, token string
	c := &cobra.Command{
		Use: "broker", Short: "the embedded broker alone", Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return farmsim.ServeBroker(c.Context(), listen, store, token)
		},
	}
	c.Flags().StringVar(&listen, "listen", "", "address")
	c.Flags().StringVar(&store, "store", "", "folder")
	c.Flags().StringVar(&token, "token", "", "token")
	return c
}

// crewCommand is the workers of one process.
func crewCommand() *cobra.Command {
	crew := farmsim.Crew{Retry: 5 * time.Second}
	c := &cobra.Command{
		Use: "crew", Short: "some workers", Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error { return crew.Work(c.Context(), c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&crew.URL, "nats", "", "broker")
	f.StringVar(&crew.Keys, "keys", "", "folder of keys")
	f.StringVar(&crew.Name, "name", "w", "of the process")
	f.IntVar(&crew.N, "n", 1, "workers")
	f.IntVar(&crew.Slots, "slots", 1, "chunks at once")
	f.Var(seconds{&crew.Cost}, "cost", "of a chunk, `seconds`")
	return c
}

// planCommand plans a data set's epoch, without a broker.
func planCommand() *cobra.Command {
	var o farmsim.PlanOptions
	c := &cobra.Command{
		Use: "plan", Short: "plan the chunks of an epoch, or of stretches of it, without a broker: CPU and memory",
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := farmsim.Plan(c.Context(), o)
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(p)
		},
	}
	c.Flags().Int64Var(&o.Samples, "samples", 1_000_000_000, "of the data set")
	c.Flags().IntVar(&o.Batch, "batch", 4096, "samples a step")
	c.Flags().IntVar(&o.ChunkSamples, "chunk-samples", 8, "samples a chunk")
	c.Flags().StringVar(&o.Order, "order", "global", "global, blocked or blocked:shards=8,window=16384")
	c.Flags().IntVar(&o.Shards, "shards", 100_000, "shards of equal size, for a blocked order")
	c.Flags().Int64Var(&o.Stretch, "stretch", 0, "`steps` to plan at the epoch's start, middle and end (default: the whole epoch)")
	return c
}

// seconds is a duration as a flag that may be a fraction of a second.
type seconds struct{ d *time.Duration }

func (s seconds) String() string {
	if s.d == nil {
		return ""
	}
	return strconv.FormatFloat(s.d.Seconds(), 'g', -1, 64)
}

func (s seconds) Set(text string) error {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	*s.d = time.Duration(x * float64(time.Second))
	return nil
}

func (s seconds) Type() string { return "seconds" }
