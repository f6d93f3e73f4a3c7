package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"resslt/schemas/errs"
)

// Options names the programs and parameters of the fault suite.
type Options struct {
	// Bin is the folder of resslt and augmentd; default "bin".
	Bin string
	// Shim is the libtorch shim that resslt opens; empty: the one that it finds.
	Shim string
	// Server is the nats-server program; default the one on PATH.
	Server string
	// Data is the data URI to train on; default Debian's Fashion-MNIST.
	Data string
	// Dir receives the stores, outputs and logs of every farm. It must exist.
	Dir string
	// Seed fixes kinds, victims, moments and lengths of all faults; default 1.
	Seed uint64
	// Quiet is how long a trainer may neither make a step nor end before it counts as
	// hung; default 90 s. It is longer than any wait that the faults can cause.
	Quiet time.Duration
	// Log, if not nil, receives a line about each action of the driver, from one goroutine
	// at a time.
	Log func(line string)
}

func (o Options) applyDefaults() Options {
	if o.Bin == "" {
		o.Bin = "bin"
	}
	if o.Server == "" {
		o.Server = "nats-server"
	}
	if o.Data == "" {
		o.Data = "fashion-mnist:"
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Quiet == 0 {
		o.Quiet = 90 * time.Second
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	return o
}

// Validate checks that the programs and the folder exist. Errors wrap errs.ErrUsage or
// ErrUnavailable.
func (o Options) Validate() error {
	o = o.applyDefaults()
	for _, name := range []string{"resslt", "augmentd"} {
		if _, err := os.Stat(filepath.Join(o.Bin, name)); err != nil {
			return errs.New("find program", name, "run `make build`, or name the folder with --bin", errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	if _, err := exec.LookPath(o.Server); err != nil {
		return errs.New("find program", o.Server, "apt-get install nats-server", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if info, err := os.Stat(o.Dir); o.Dir == "" || err != nil || !info.IsDir() {
		return errs.New("use folder", fmt.Sprintf("%q", o.Dir), "name a folder that exists", errs.ErrUsage)
	}
	if o.Quiet < 0 {
		return errs.New("chaos", "Quiet", "give 0 for the default, or more", errs.Because(errs.ErrUsage, "is negative"))
	}
	return nil
}

// layout is the set-up of a farm.
type layout struct {
	name    string // of the run and of the farm's folder
	steps   int64  // of the run
	seed    uint64 // of the run; 0: its recipe's
	workers int    // augmentd processes, of one core each
	nodes   int    // of the broker's cluster; 0: one nats-server without a cluster. Not with proxied
	on      *farm  // whose broker and workers this trainer uses; nil: its own. It has no workers then
	proxied bool   // clients reach the broker through a proxy that can be cut
	remote  joint  // how the workers' own nats-server is joined to the broker; "" for none. Not with proxied
	behind  *netns // where the workers are; nil: in the driver's own network. Not with proxied
	window  int64  // steps that may be made ahead
	ackWait time.Duration
	// brokerTimeout and stallTimeout are the trainer's; zero: its defaults.
	brokerTimeout, stallTimeout time.Duration
	store                       string                        // the broker's store; default a folder of the farm's
	memory                      string                        // that the broker may store; default 256 MB
	server                      string                        // further text of its jetstream section
	train                       []string                      // further arguments of the trainer
	resident                    int64                         // memory of which no process may have more; default maxResident
	program                     string                        // of the workers; default augmentd
	keys                        string                        // folder of certificates and nkeys: the broker asks for them; "" for an open one
	login                       func(service string) []string // flags with the credentials of a service; may be nil
}

// Settings of the runs: small and fast, several chunks for each step, a window so small
// that faults have an effect, an ack wait of seconds.
const (
	ackWait      = 2 * time.Second
	lease        = 4 * time.Second
	window       = 8
	farmWorkers  = 3
	stepsAnEpoch = 20
	batchSize    = 32
	chunkSamples = 8
)

// recipe is the run's recipe, as overrides of `smoke`. The number of steps is a
// multiple of stepsAnEpoch.
func (l *layout) recipe(data string) []string {
	set := []string{
		"eval=[none]", "threads=1", "log_every=1", "checkpoint_every=10", "image_size=16", "K=128",
		fmt.Sprintf("batch_size=%d", batchSize), fmt.Sprintf("chunk_samples=%d", chunkSamples),
		fmt.Sprintf("steps_per_epoch=%d", stepsAnEpoch), fmt.Sprintf("epochs=%d", l.steps/stepsAnEpoch),
	}
	if l.seed != 0 {
		set = append(set, fmt.Sprintf("seed=%d", l.seed))
	}
	args := []string{"--recipe", "smoke", "--data", data, "--json"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	return args
}
