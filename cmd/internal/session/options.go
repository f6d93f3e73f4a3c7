package session

import (
	"fmt"
	"io"
	"os"
	"time"

	"resslt/batcher/runs"
	"resslt/cmd/internal/access"
	form "resslt/cmd/internal/console"
	"resslt/cmd/internal/observe"
	"resslt/schemas/errs"
	"resslt/train"
)

// Options are what the user asked for.
type Options struct {
	// Recipe is the name of an embedded recipe or a YAML file. A resumed run keeps its own,
	// and is refused where RecipeGiven says that the user named another.
	Recipe      string
	RecipeGiven bool
	Data        string   // data URI in place of the recipe's
	Set         []string // overrides of the recipe, key=value
	Out         string   // folder of the run's files; default runs/RECIPE
	Record      string   // log, pixels[:FROM-TO] or stream
	Resume      bool     // from the newest checkpoint in Out
	JSON        bool     // print the summary as JSON, too
	Observe     observe.Flags
	Web         string // address of the page that shows the run as it trains; "" for none
	// Track names the experiment trackers that follow the run: wandb, wandb:PROJECT, mlflow:URI.
	Track []string
	Form  form.Form // of Stderr

	// Replay names recorded batches: stream:RUN, pixels:FOLDER, log:FOLDER or FOLDER. A log's
	// batches are made again, by the farm where Run is given, else in this process.
	Replay string
	// Embedded has broker and workers run in this process, else the batches are a farm's.
	Embedded bool
	Workers  int    // images rendered at once in this process; 0: as many as the trainer leaves cores for
	Listen   string // address of the embedded broker for other workers; "" for none
	// StoreTimeout is how long the data's store may be away before a run in this process ends,
	// where no other worker may help; 0: supply.DefaultStoreTimeout.
	StoreTimeout time.Duration

	Broker access.Flags // of the farm
	Run    string       // name of the run in the broker; default the recipe's
	Fresh  bool         // delete what the broker has under that name, first

	// Limits of the transport; zero is batcher's default.
	Trainer                                     string // name of this trainer among those of the run
	Window                                      int64  // steps that workers may be ahead
	Priority                                    int    // among runs that share workers
	MaxWorkers                                  int    // chunks in work at once, over all workers
	Storage                                     runs.Storage
	Replicas                                    int   // servers of a cluster that each stream is in; 0: 1
	Audit                                       int64 // one in so many chunks is made again here; 0: none
	Lease, AckWait, BrokerTimeout, StallTimeout time.Duration
	SleepAfter                                  time.Duration // without a trainer, until the run in the farm is put to sleep

	// Rendezvous is this process's rank among several, nil alone; GroupTimeout is how long one
	// of them may be silent.
	Rendezvous   *train.Rendezvous
	GroupTimeout time.Duration

	// Command is how the program was called, without secrets, for those who find the run later.
	Command string
	Verbose bool // print the whole recipe

	Stdout, Stderr io.Writer
}

// validate refuses what can never be.
func (o *Options) validate() error {
	if err := checkTrackers(o.Track); err != nil {
		return err
	}
	switch {
	case o.Embedded && o.Workers < 0:
		return errs.New("--workers", fmt.Sprint(o.Workers), "give 1 or more", errs.ErrUsage)
	case o.StoreTimeout < 0:
		return errs.New("--store-timeout", o.StoreTimeout.String(), "give a second or more", errs.ErrUsage)
	case o.Audit < 0:
		return errs.New("--audit", fmt.Sprint(o.Audit), "give 1 or more, or 0 for none", errs.ErrUsage)
	case o.Priority < 0 || o.Priority > runs.MaxPriority:
		return errs.New("--priority", fmt.Sprint(o.Priority), fmt.Sprintf("give 1 to %d; %d is the default", runs.MaxPriority, runs.DefaultPriority), errs.ErrUsage)
	case o.MaxWorkers < 0:
		return errs.New("--max-workers", fmt.Sprint(o.MaxWorkers), "give 1 or more, or 0 for no limit", errs.ErrUsage)
	case o.Rendezvous != nil && o.GroupTimeout < time.Second:
		return errs.New("", "--group-timeout", "give a second or more", errs.ErrUsage)
	case o.Record == "stream" && o.Embedded:
		return errs.New("", "--record stream", "give --record pixels", errs.Because(errs.ErrUsage, "the broker in this process does not outlive the run"))
	case o.Record == "stream" && o.Replay != "":
		return errs.New("", "--record stream", "record pixels, or `resslt record import`", errs.Because(errs.ErrUsage, "a replay has no stream of its own"))
	}
	return nil
}

// RefuseRanks is for verbs that run as one process: it returns ErrUsage where the
// environment makes this process a rank of several.
func RefuseRanks(verb string) error {
	at, err := train.FromEnvironment(os.LookupEnv)
	if err != nil || at == nil {
		return err
	}
	return errs.New("", verb, "start `resslt train` that way, with a broker and workers of its own (docs/parallel.md), or unset WORLD_SIZE, RANK and MASTER_ADDR",
		errs.Because(errs.ErrUsage, fmt.Sprintf("it is one process, and this is rank %d of %d", at.Rank, at.World)))
}
