package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"resslt/schemas"
	"resslt/schemas/bounded"
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

	// A run's options come over the wire, too.
	maxSleepAfter    = 10 * 365 * 24 * time.Hour
	maxAckWait       = time.Hour // for so long a task of a worker that vanished stays away
	mostDeliver      = 1000
	maxReplicas      = 5                            // NATS has no more
	mostAckPending   = 1 << 20                      // tasks that the broker keeps account of
	mostWindow       = 1 << 20                      // steps
	mostWindowChunks = 1 << 24                      // chunks of a window: a planner keeps account of each
	maxStreamBytes   = 1 << 60                      // far from where the broker's sums would overflow
	maxOptionsBytes  = 6*schemas.MaxDataURI + 4<<10 // of the JSON: each byte of the URI may take six

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
	// Replicas, 1 to 5, is in how many servers of a cluster each stream of the run is; 0 is 1.
	// With 3 the run goes on without a break when a server is lost; with 1 what it held is
	// produced again, once it or an empty one is back. A run that is there already keeps the
	// larger number.
	Replicas int `json:",omitempty"`
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

// sleepNoteOf is the note of options as they are stored; "" also of those that cannot be read,
// which the next who opens the run writes over.
func sleepNoteOf(raw []byte) sleepNote {
	var stored storedOptions
	if json.Unmarshal(raw, &stored) != nil {
		return ""
	}
	return stored.Sleep
}

// IsSleepNote reports whether options, as they are published, put the run to sleep: nobody has
// opened it then.
func IsSleepNote(options []byte) bool { return sleepNoteOf(options) != "" }

func (o Options) applyDefaults(spec *schemas.RunSpec) Options {
	if o.Storage == "" {
		o.Storage = StorageMemory
	}
	if o.Window == 0 {
		o.Window = DefaultWindow(spec)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = (o.Window+2)*int64(spec.Chunks())*int64(spec.MaxChunkMessage()) + streamSlack
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
func (o Options) Validate() error { return o.validate(errs.ErrUsage) }

// validate does so with the given sentinel.
func (o Options) validate(kind error) error {
	bad := func(field, why, hint string) error {
		return errs.New("run option", field, hint, errs.Because(kind, why))
	}
	switch {
	case o.Storage != "" && o.Storage != StorageMemory && o.Storage != StorageFile:
		return bad("storage", fmt.Sprintf("is %.60q", o.Storage), `give "memory" or "file"`)
	case len(o.DataURI) > schemas.MaxDataURI:
		return bad("data URI", fmt.Sprintf("has %d bytes", len(o.DataURI)), fmt.Sprintf("give at most %d, say by a wildcard", schemas.MaxDataURI))
	}
	for _, f := range []struct {
		name    string
		v, most int64
		text    string // of most, "" for the number
	}{
		{"window", o.Window, mostWindow, ""},
		{"max_bytes", o.MaxBytes, maxStreamBytes, ""},
		{"ack_wait", int64(o.AckWait), int64(maxAckWait), fmt.Sprint(maxAckWait)},
		{"max_deliver", int64(o.MaxDeliver), mostDeliver, ""},
		{"max_ack_pending", int64(o.MaxAckPending), mostAckPending, ""},
		{"priority", int64(o.Priority), MaxPriority, ""},
		{"sleep_after", int64(o.SleepAfter), int64(maxSleepAfter), fmt.Sprint(maxSleepAfter)},
		{"replicas", int64(o.Replicas), maxReplicas, ""},
	} {
		if f.v < 0 || f.v > f.most {
			if f.text == "" {
				f.text = fmt.Sprint(f.most)
			}
			why := fmt.Sprintf("is %d", f.v)
			if f.v < 0 {
				why += ", negative"
			}
			return bad(f.name, why, "give 0 for the default, or up to "+f.text)
		}
	}
	return nil
}

// validateFor does so for a run of a valid spec, too.
func (o Options) validateFor(spec *schemas.RunSpec, kind error) error {
	if err := o.validate(kind); err != nil {
		return err
	}
	if most := mostWindowChunks / int64(spec.Chunks()); o.Window > max(minWindow, most) {
		return errs.New("run option", "window", fmt.Sprintf("give at most %d, or set a larger chunk_samples", max(minWindow, most)),
			errs.Because(kind, fmt.Sprintf("is %d, of %d chunks each", o.Window, spec.Chunks())))
	}
	return nil
}

// parseOptions reads options that came over the wire, for a run of a valid spec. What they
// lack stays as it is in o. It returns ErrCorrupt, ErrUnsupported for a field that this build
// does not know.
func parseOptions(raw []byte, o Options, spec *schemas.RunSpec) (Options, error) {
	if len(raw) > maxOptionsBytes {
		return o, errs.Because(errs.ErrCorrupt, fmt.Sprintf("they have %d bytes, over %d", len(raw), maxOptionsBytes))
	}
	stored := storedOptions{Options: o}
	if err := bounded.StrictJSON(raw, &stored); err != nil {
		if errors.Is(err, errs.ErrUnsupported) {
			return o, err
		}
		return o, errs.BecauseErr(errs.ErrCorrupt, err)
	}
	return stored.Options, stored.validateFor(spec, errs.ErrCorrupt)
}

// DefaultWindow is how many steps of a run fit 512 MiB, at least 2 and at most 64.
func DefaultWindow(spec *schemas.RunSpec) int64 {
	step := max(1, spec.BatchBytes(spec.BatchSize))
	return min(max(windowBytes/step, minWindow), maxWindow)
}
