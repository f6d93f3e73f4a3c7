package farmsim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os/exec"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// Options describe the farm.
type Options struct {
	Program string // this program: it is the workers' and the embedded broker's as well
	Server  string // nats-server's; empty: the embedded broker
	Keys    string // folder for a certificate and nkeys, which everybody then needs; it is made. Empty: a token
	Cores   string // that the broker may use, as taskset has them ("0"); empty: all
	Dir     string // for stores and logs; it must exist

	Workers  int // each with a connection of its own
	Slots    int // chunks that a worker makes at once
	Procs    int // processes that the workers are spread over
	Runs     int // in the broker
	Trainers int // live ones, each of a run of its own; the other runs are idle

	Samples      int64 // of each run's data set
	Batch        int   // samples a step
	ChunkSamples int
	View         int           // edge of the one teacher's and one student's view, pixels
	Cost         time.Duration // of a chunk: the maker sleeps
	AckWait      time.Duration // of the runs; 0: batcher's default
	Step         time.Duration // that a trainer takes for a step; 0: it does not stop

	Gather  time.Duration // in which all workers must have come to serve
	Measure time.Duration // of each measurement
	Settle  time.Duration // from the last chunk to the measurement of the idle farm
	Half    bool          // kill half of the workers at the end

	Log func(string)
}

// ApplyDefaults fills what is zero.
func (o Options) ApplyDefaults() Options {
	for _, d := range []struct {
		v *int
		d int
	}{{&o.Workers, 1000}, {&o.Slots, 1}, {&o.Procs, 4}, {&o.Runs, 100}, {&o.Trainers, 8}, {&o.Batch, 256}, {&o.ChunkSamples, 4}, {&o.View, 1}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if o.Samples == 0 {
		o.Samples = 1_000_000_000
	}
	if o.Gather == 0 {
		o.Gather = 3 * time.Minute
	}
	if o.Measure == 0 {
		o.Measure = 20 * time.Second
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	return o
}

// Validate reports whether the farm can be; it returns ErrUsage, or ErrUnavailable without a
// program.
func (o Options) Validate() error {
	bad := func(what, why string) error {
		return errs.New("farmsim", what, "see `farmsim --help`", errs.Because(errs.ErrUsage, why))
	}
	switch {
	case o.Workers < 1 || o.Slots < 1 || o.Procs < 1 || o.Runs < 1 || o.Trainers < 0:
		return bad("--workers, --slots, --procs, --runs, --trainers", "give 1 or more")
	case o.Keys != "" && o.Server == "":
		return bad("--secured", "the embedded broker has a token alone: name a --server")
	case o.Trainers > o.Runs:
		return bad("--trainers", fmt.Sprintf("%d trainers have %d runs: each has one of its own", o.Trainers, o.Runs))
	case o.Half && o.Procs < 2:
		return bad("--procs", "half of the workers can be killed where they are two processes or more")
	case o.Batch < 1 || o.ChunkSamples < 1 || o.Samples < int64(o.Batch):
		return bad("--batch, --chunk-samples, --samples", "a step has samples of the data set, a chunk some of a step")
	}
	for _, p := range []string{o.Server, map[bool]string{true: "taskset"}[o.Cores != ""]} {
		if p == "" {
			continue
		}
		if _, err := exec.LookPath(p); err != nil {
			return errs.New("find program", p, "install it", errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	spec := o.spec(0)
	return spec.Validate()
}

// engine names what makes the chunks: nothing that a real worker has.
const engine = "farmsim/1"

// spec is that of run i: two views of a few bytes, an epoch that no simulation reaches the end of.
func (o *Options) spec(i int) schemas.RunSpec {
	sum := sha256.Sum256(fmt.Appendf(nil, "farmsim %d", i))
	return schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: hex.EncodeToString(sum[:]), Format: "folder", Split: "train", Samples: o.Samples},
		Order:   "global", Policy: "{}", Engine: engine, Seed: uint64(i),
		BatchSize: o.Batch, Epochs: 1000, StepsPerEpoch: o.Samples / int64(o.Batch), ChunkSamples: o.ChunkSamples, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: o.View}, {Name: "strong", Role: schemas.Student, Size: o.View}},
	}
}

func runName(i int) string { return fmt.Sprintf("sim-%03d", i) }
