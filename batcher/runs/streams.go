package runs

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// beatsBytes bounds the heartbeats of a run: those of 8,000 workers, which take half a
	// KiB each. Beyond that the oldest go.
	beatsBytes = 4 << 20
	// heartbeatsKept is how long the last heartbeat of a worker that ended is kept.
	heartbeatsKept = 10 * time.Minute
	// ctrlTrainers is for how many trainers CTRL_<run> has room.
	ctrlTrainers = 1024
)

// streams configures the run's streams, in the order in which they are made: a stream that
// an earlier build made gives its heartbeats up before BEATS_<run> can have them.
func (r *Run) streams() []jetstream.StreamConfig {
	storage := jetstream.MemoryStorage
	if r.opts.Storage == StorageFile {
		storage = jetstream.FileStorage
	}
	largest := ctrlMessage(r.Spec())
	return []jetstream.StreamConfig{
		{
			Name: schemas.CtrlStream(r.Name), Subjects: schemas.CtrlSubjects(r.Name),
			Description: "resslt: spec, options and leases of run " + r.Name,
			Storage:     jetstream.FileStorage, MaxMsgsPerSubject: 1,
			// What is full refuses what is new: it would forget the spec before the rest.
			MaxMsgSize: int32(largest), MaxBytes: 3*int64(largest) + ctrlTrainers*leases.MaxBytes, Discard: jetstream.DiscardNew,
			AllowDirect: true, // see link.Latest
		},
		{
			// A stream of their own: workers cannot fill the one that holds the spec. It is
			// stored as the chunks are, since a trainer makes both again when it misses these.
			Name: schemas.BeatsStream(r.Name), Subjects: []string{schemas.AllWorkers(r.Name)},
			Description: "resslt: heartbeats of the workers of run " + r.Name,
			Storage:     storage, MaxMsgsPerSubject: 1,
			MaxMsgSize: MaxHeartbeat, MaxBytes: beatsBytes, MaxAge: heartbeatsKept, Discard: jetstream.DiscardOld,
			AllowDirect: true,
		},
		{
			Name: schemas.TasksStream(r.Name), Subjects: []string{schemas.AllTasks(r.Name)},
			Description: "resslt: chunks to be made of run " + r.Name,
			Storage:     jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy,
		},
		{
			Name: schemas.BatchStream(r.Name), Subjects: []string{schemas.AllChunks(r.Name)},
			Description: "resslt: chunks of run " + r.Name,
			Storage:     storage, Discard: jetstream.DiscardNew, MaxBytes: r.opts.MaxBytes,
			// A direct get hands a stored chunk over as it is, not as base64 in JSON.
			AllowDirect: true,
		},
	}
}

// ctrlMessage bounds a message of CTRL_<run>, bytes: the RunInfo or the options, with any data
// URI. It is a function of the spec, so that all who open the run ask for the same.
func ctrlMessage(spec *schemas.RunSpec) int {
	raw, _ := json.Marshal(spec) // of texts and numbers: it cannot fail
	return len(raw) + maxDataInfo + maxOptionsBytes
}

// maxDataInfo bounds what a RunInfo says of the data besides its URI, bytes.
const maxDataInfo = 256 << 10

// updateStream gives a stream that is there our configuration. The byte limit of BATCH_<run> is
// never lowered: another trainer of the run may have the larger window.
func (r *Run) updateStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	have, err := r.js.Stream(ctx, cfg.Name)
	if err != nil {
		return err
	}
	was := have.CachedInfo().Config
	if cfg.Name == schemas.BatchStream(r.Name) {
		if was.MaxBytes <= 0 {
			cfg.MaxBytes = was.MaxBytes
		} else if cfg.MaxBytes > 0 {
			cfg.MaxBytes = max(cfg.MaxBytes, was.MaxBytes)
		}
	}
	if slices.Contains(was.Subjects, schemas.AllCtrl(r.Name)) { // with the heartbeats, of an earlier build
		if err := have.Purge(ctx, jetstream.WithPurgeSubject(schemas.AllWorkers(r.Name))); err != nil {
			return err
		}
	}
	cfg.Replicas = max(cfg.Replicas, was.Replicas) // as the byte limit: another trainer may want them
	_, err = r.js.UpdateStream(ctx, cfg)
	return err
}
