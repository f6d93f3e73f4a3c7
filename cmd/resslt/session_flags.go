package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/console"
	"resslt/cmd/internal/session"
	"resslt/ingest"
)

// sessionFlags are the flags that `run` and `train` share.
type sessionFlags struct {
	session.Options
	splits []string // settings of the recipe that --split makes
	init   string   // file of the encoder that the run begins from, the recipe's init
	dryRun bool
}

func (f *sessionFlags) register(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.Recipe, "recipe", "quickstart", "embedded recipe or a YAML `file`")
	data := cli.RegisterData(p, &f.Data, "data `URI` in place of the recipe's: "+schemeList())
	p.StringArrayVar(&f.Set, "set", nil, "override a recipe field, `key=value`; may be repeated")
	data.RegisterRecipeSplit(p, &f.splits)
	p.StringVar(&f.init, "init", "", "begin from the encoder of a `file`: a run's folder, encoder.safetensors, a checkpoint's .json, torchvision's weights as safetensors, or a PyTorch checkpoint of another project (.pth, .pt, .ckpt, .bin)")
	p.StringVar(&f.Out, "out", "", "`folder` for checkpoints, weights and summary.json (default runs/RECIPE)")
	p.StringVar(&f.Record, "record", "log", "what is kept of the batches: `log` (ids, plans, digests; always), pixels[:FROM-TO] (also the views, of all or some steps, in --out), stream (also all chunks in the broker, sealed at the end; train only)")
	p.BoolVar(&f.Resume, "resume", false, "continue from the newest checkpoint in --out")
	p.BoolVar(&f.JSON, "json", false, "print the summary as one JSON object, the last line of standard output")
	p.BoolVar(&f.Verbose, "verbose", false, "print the whole resolved recipe at the start; OUT/recipe.yaml has it, too")
	p.BoolVar(&f.dryRun, "dry-run", false, "print what would be done, with the resolved recipe, and start nothing")
	p.StringArrayVar(&f.Track, "track", nil, "also show the run in an experiment `tracker`: mlflow:URI (the server; mlflow alone: MLFLOW_TRACKING_URI), wandb or wandb:PROJECT (a folder in --out, for wandb sync); may be repeated")
	p.StringVar(&f.Web, "web", "", "`address` of a page that shows the run as it trains; :0 is any free port of this machine (default: none)")
	f.Observe.Register(p)
	cli.OwnLog(c)
}

// registerTransport adds the limits of a run's transport; zero is batcher's default.
func (f *sessionFlags) registerTransport(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.Trainer, "trainer", "trainer", "this trainer's `name`: several may share a run, each under its own")
	p.DurationVar(&f.Lease, "lease", stream.DefaultLeaseTerm, "how long this trainer may be silent before the others of the run continue without it")
	p.Int64Var(&f.Window, "window", 0, "`steps` that workers may be ahead (default as many as fit 512 MiB, 2 to 64)")
	p.StringVar((*string)(&f.Storage), "storage", string(runs.StorageMemory), "where the broker keeps the batches that are not taken yet: memory or file")
	cli.Choices(p, storages, "storage")
	p.IntVar(&f.Replicas, "replicas", 0, "servers of the broker's cluster that hold each of the run's streams, 1 to 5 (default what the run was opened with, or 1)")
	p.Int64Var(&f.Audit, "audit", 0, "make one in `N` chunks again on this machine, and stop where a worker's differs (0: none)")
	registerSharing(p, &f.Priority, &f.MaxWorkers)
	p.DurationVar(&f.AckWait, "ack-wait", runs.DefaultAckWait, "how long a worker may be silent before its task is given to another")
	p.DurationVar(&f.BrokerTimeout, "broker-timeout", stream.DefaultBrokerTimeout, "how long the broker may be away before the trainer saves and stops")
	p.DurationVar(&f.SleepAfter, "sleep-after", runs.DefaultSleepAfter, "how long the broker keeps the batches of a run without a trainer; a trainer that resumes has them made again")
	p.DurationVar(&f.StallTimeout, "stall-timeout", stream.DefaultStallTimeout, "how long the trainer waits for a batch before it saves and stops")
}

// storages are where a broker may keep batches.
var storages = []string{string(runs.StorageMemory), string(runs.StorageFile)}

// registerSharing adds how a run shares the workers with others.
func registerSharing(p *pflag.FlagSet, priority, most *int) {
	p.IntVar(priority, "priority", runs.DefaultPriority, fmt.Sprintf("the run's weight, 1 to %d, where runs share workers: three times that of another gets three times their time", runs.MaxPriority))
	p.IntVar(most, "max-workers", 0, "chunks of the run that may be in work at once, over all workers: `N` of their --workers (0: no limit)")
}

// run runs the session that the flags ask for, or prints its plan.
func (f *sessionFlags) run(c *cobra.Command) error {
	f.RecipeGiven = c.Flags().Changed("recipe")
	f.Set = append(f.Set, f.splits...)
	if c.Flags().Changed("init") {
		f.Set = append(f.Set, "init="+f.init)
	}
	f.Stdout, f.Stderr, f.Form = c.OutOrStdout(), c.ErrOrStderr(), console.FormOf(c.Flags())
	f.Command = cli.CommandLine(os.Args)
	if !f.dryRun {
		return session.Run(c.Context(), f.Options)
	}
	plan, err := session.MakePlan(c.Context(), f.Options)
	if err != nil {
		return err
	}
	return plan.Print(f.Stdout)
}

func schemeList() string {
	var forms []string
	for _, s := range ingest.Schemes() {
		forms = append(forms, s.Form)
	}
	return strings.Join(forms, ", ")
}
