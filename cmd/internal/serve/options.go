package serve

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"resslt/batcher/runs"
	"resslt/cmd/internal/access"
	"resslt/schemas/errs"
)

// Options are what the user asked for.
type Options struct {
	// What is served: a recipe, or what stands in the fields below. Of a recipe only what its
	// batches depend on is read, and those of the fields that Given reports take the place of
	// its own.
	Recipe    string
	Set       []string // overrides of the recipe, key=value
	Data      string   // URI
	Policy    string
	ImageSize int
	BatchSize int
	Seed      uint64
	Epochs    int64 // 0: without end
	Order     string
	Mean, Std []float64
	Given     func(flag string) bool

	// Where the batches come from: workers of this process, or a farm where Farm is set.
	Workers                                     int
	Farm                                        bool
	Broker                                      access.Flags
	Run                                         string // name of the run in the farm's broker; "": one is made, and deleted at the end
	Window                                      int64
	Storage                                     runs.Storage
	Priority, MaxWorkers                        int
	AckWait, BrokerTimeout, StallTimeout, Lease time.Duration
	StoreTimeout, SleepAfter                    time.Duration

	// Waiting is the time between words to a client whose batch does not come; default 5 s.
	Waiting time.Duration
	// NameWait is how long a client waits for the connection of its name and rank that is
	// ending just now; default 3 s.
	NameWait time.Duration

	// The door.
	Listen            string // unix:PATH, tcp:HOST:PORT or tls:HOST:PORT
	TokenFile         string
	Token             string // of the environment
	CertFile, KeyFile string
	WithParent        bool  // ends where Stdin does
	Once              bool  // ends when the last client has said bye
	NoPlans           bool  // batches without what was drawn
	MaxShared         int64 // bytes of all rings together
	Stdin             io.Reader
	Stdout, Stderr    io.Writer
}

func (o *Options) applyDefaults() {
	o.Waiting = cmp.Or(o.Waiting, 5*time.Second)
	o.NameWait = cmp.Or(o.NameWait, 3*time.Second)
}

// validate refuses what can never be.
func (o *Options) validate() error {
	bad := func(flag string, value any, hint string) error {
		return errs.New("serve", fmt.Sprintf("%s %v", flag, value), hint, errs.ErrUsage)
	}
	switch {
	case o.Workers < 1:
		return bad("--workers", o.Workers, "give 1 or more")
	case o.MaxShared < 0:
		return bad("--max-shm", o.MaxShared, "give bytes, or 0 for none")
	case o.Run != "" && !o.Farm:
		return bad("--run", o.Run, "give --nats URL as well: the broker in this process has one run, without a name")
	case o.StallTimeout < 0:
		return bad("--stall-timeout", o.StallTimeout, "give a second or more")
	}
	return nil
}

// RunOptions are what the run is opened with.
func (o *Options) RunOptions(p *Plan) runs.Options {
	r := runs.Options{
		DataURI: p.Data, Data: p.data, Storage: o.Storage, Window: o.Window, AckWait: o.AckWait,
		Priority: o.Priority, MaxAckPending: o.MaxWorkers, SleepAfter: o.SleepAfter,
	}
	if r.Window == 0 {
		r.Window = runs.DefaultWindow(&p.Spec)
		if leastWindow*p.Spec.BatchBytes(p.Spec.BatchSize) <= leastWindowBytes {
			r.Window = max(r.Window, leastWindow)
		}
	}
	return r
}

const (
	// leastWindow lets a client hold its usual three batches while two more are made, where
	// they do not take more than leastWindowBytes.
	leastWindow      = 5
	leastWindowBytes = 1 << 30
)
