package runs

import (
	"fmt"
	"time"

	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Storage is where the broker keeps the chunks.
type Storage string

const (
	// StorageMemory is for live training; a restarted broker has the chunks produced again.
	StorageMemory Storage = "memory"
	// StorageFile is for a recording, or more window than memory holds.
	StorageFile Storage = "file"
)

// Defaults of Options.
const (
	DefaultAckWait    = 30 * time.Second
	DefaultSleepAfter = time.Hour
	defaultMaxDeliver = 5
	// DefaultPriority is that of a run that gives none; MaxPriority is the largest.
	DefaultPriority = 10
	MaxPriority     = 100
	// defaultMaxAckPending is how many tasks may be out at once, over all
	// workers: twice as many as the largest farm that is expected has cores.
	defaultMaxAckPending = 1024

	windowBytes = 512 << 20 // of the default window
	minWindow   = 2         // steps
	maxWindow   = 64        // steps
	streamSlack = 64 << 20  // BATCH_ holds this above its window, for what is not yet purged
)

// Options configure a run's streams.
type Options struct {
	// DataURI is stored next to the spec, for workers to find the data. The one that
	// the run was last opened with counts.
	DataURI string
	// Data is stored with the spec when the run is created, for replays; nil is not known.
	Data *schemas.RunData `json:"-"`
	// Storage of BATCH_<run>; default StorageMemory. Tasks and control messages
	// are always in files.
	Storage Storage
	// MaxBytes bounds BATCH_<run>; zero is the window's bytes and some slack. It
	// is the backstop behind the credits: a full stream refuses chunks, and
	// their workers wait. A run that is there already keeps the larger limit.
	MaxBytes int64
	// Window is how many steps may be requested ahead of the cursor; zero is as many as
	// fit 512 MiB, at least 2 and at most 64.
	Window int64
	// AckWait is how long a worker may be silent about a task before another worker gets it;
	// default 30 s. Workers that are alive extend it.
	AckWait time.Duration
	// MaxDeliver is how often a task is tried before it becomes a tombstone;
	// default 5.
	MaxDeliver int
	// MaxAckPending is how many tasks may be out at once, over all workers; default 1024.
	MaxAckPending int
	// SleepAfter is how long the run may be without a trainer before it is put to sleep;
	// default 1 h.
	SleepAfter time.Duration `json:",omitempty"`
	// Priority, 1 to 100, is the run's weight where runs share workers: one of 30 gets three
	// times the time of one of 10, as long as it has tasks. Default 10.
	Priority int `json:",omitempty"`
}

// storedOptions is c.<run>.options, JSON.
type storedOptions struct {
	Options
	// Sleep is written by who puts the run to sleep, on the condition that nobody has opened it
	// since: who opens it then writes over it, and who was faster is seen by the other.
	Sleep sleepNote `json:",omitempty"`
}

// sleepNote is "" in the options of one who opened the run.
type sleepNote string

const (
	fallsAsleep sleepNote = "falls asleep" // its streams are being deleted
	isAsleep    sleepNote = "asleep"
)

func (o Options) applyDefaults(spec *schemas.RunSpec) Options {
	if o.Storage == "" {
		o.Storage = StorageMemory
	}
	if o.Window == 0 {
		o.Window = defaultWindow(spec)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = (o.Window+2)*int64(spec.Chunks())*int64(wire.MaxChunkBytes(spec)+wire.MessageOverhead) + streamSlack
	}
	if o.AckWait == 0 {
		o.AckWait = DefaultAckWait
	}
	if o.MaxDeliver == 0 {
		o.MaxDeliver = defaultMaxDeliver
	}
	if o.MaxAckPending == 0 {
		o.MaxAckPending = defaultMaxAckPending
	}
	if o.SleepAfter == 0 {
		o.SleepAfter = DefaultSleepAfter
	}
	if o.Priority == 0 {
		o.Priority = DefaultPriority
	}
	return o
}

// Validate reports whether the options can be used; it returns ErrUsage.
func (o Options) Validate() error {
	switch {
	case o.Storage != "" && o.Storage != StorageMemory && o.Storage != StorageFile:
		return errs.New("run storage", fmt.Sprintf("%q", o.Storage), `give "memory" or "file"`, errs.ErrUsage)
	case o.Window < 0 || o.MaxBytes < 0 || o.AckWait < 0 || o.MaxDeliver < 0 || o.MaxAckPending < 0 || o.SleepAfter < 0:
		return errs.New("run options", "", "give 0 for the default, or more", errs.Because(errs.ErrUsage, "a limit is negative"))
	case o.Priority < 0 || o.Priority > MaxPriority:
		return errs.New("run options", fmt.Sprintf("priority %d", o.Priority), fmt.Sprintf("give 1 to %d, %d is the default", MaxPriority, DefaultPriority), errs.ErrUsage)
	}
	return nil
}

// defaultWindow is how many steps of a run fit 512 MiB, at least 2 and at most 64.
func defaultWindow(spec *schemas.RunSpec) int64 {
	step := max(1, int64(spec.SampleBytes())*int64(spec.BatchSize))
	return min(max(windowBytes/step, minWindow), maxWindow)
}
