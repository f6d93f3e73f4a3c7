package runs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"resslt/batcher/internal/link"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// WorkerStats count what a worker did.
type WorkerStats struct {
	Chunks           int64   `json:"chunks"`            // published, each once
	Samples          int64   `json:"samples"`           // rows of these
	Replaced         int64   `json:"replaced"`          // rows whose planned sample could not be decoded
	Redelivered      int64   `json:"redelivered"`       // tasks that had been out before, or whose chunk was there already
	Tombstoned       int64   `json:"tombstoned"`        // chunks that could not be produced
	DigestMismatches int64   `json:"digest_mismatches"` // same task, other bytes
	Bytes            int64   `json:"bytes"`             // of published bodies
	Rate             float64 `json:"rate"`              // samples a second, since the first chunk
}

// Heartbeat is a worker's heartbeat in BEATS_<run>, JSON. Readers pass over fields that they
// do not know.
type Heartbeat struct {
	Worker  string    `json:"worker"`
	Workers int       `json:"workers"` // chunks it makes at once
	Began   time.Time `json:"began"`   // to serve this run; the counts are from then on
	Time    time.Time `json:"time"`
	WorkerStats
	// Every is how long it is until the worker's next heartbeat: it grows with the runs that
	// it serves. 0 of older workers.
	Every time.Duration `json:"every,omitempty"`
	// State is what the run is to the worker: opening, serving, quarantined. "" of older
	// workers, which serve it.
	State string `json:"state,omitempty"`
	// Trouble says, in a line, why the worker can produce nothing of the run at present;
	// "" where it can.
	Trouble string `json:"trouble,omitempty"`
	// Left: the worker has ended in good order, and has no task of the run. False of older workers.
	Left bool `json:"left,omitempty"`
	// SentBack are the newest tasks, by their sequence, that it gave back for a
	// trouble of its own, or because it was stopped.
	SentBack []uint64 `json:"sent_back,omitempty"`
	// Failed are the newest tasks that it could not do, while it could do others.
	Failed []FailedTask `json:"failed,omitempty"`
}

// defaultLife is how long a worker that does not say Every may be silent and count as live.
const defaultLife = 30 * time.Second

// Live reports whether the worker is there: not silent for longer than three heartbeats at now,
// by this machine's clock.
func (b *Heartbeat) Live(now time.Time) bool { return b.Overdue(now) < 0 }

// Overdue is for how long the worker has been silent at now beyond what a live one may be; below 0
// for one that is there.
func (b *Heartbeat) Overdue(now time.Time) time.Duration {
	life := defaultLife
	if b.Every > 0 && b.Every < time.Hour {
		life = max(3*b.Every, time.Second)
	}
	return now.Sub(b.Time) - life
}

// FailedTask is a task that failed, and why.
type FailedTask struct {
	Seq uint64 `json:"seq"` // of the task
	Why string `json:"why"` // a line
}

// Encode is the message's body, JSON. Lists that would make it larger than MaxHeartbeat lose
// their oldest, and texts their ends: the broker would refuse it as a whole.
func (b *Heartbeat) Encode() ([]byte, error) {
	for cut := *b; ; {
		out, err := json.Marshal(&cut)
		if err != nil {
			return nil, errs.New("heartbeat", b.Worker, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
		}
		if len(out) <= MaxHeartbeat {
			return out, nil
		}
		if len(cut.Failed)+len(cut.SentBack) == 0 {
			cut.Trouble = wire.ReasonLine(cut.Trouble)
			cut.Worker, cut.State = wire.ReasonLine(cut.Worker), wire.ReasonLine(cut.State)
			continue
		}
		cut.Failed, cut.SentBack = cut.Failed[(len(cut.Failed)+1)/2:], cut.SentBack[(len(cut.SentBack)+1)/2:]
	}
}

// MaxHeartbeat is the largest heartbeat that the broker keeps, bytes.
const MaxHeartbeat = 16 << 10

// Workers gives the last heartbeat of every worker that served the run lately, within
// heartbeatsKept. It is a fixed number of requests, however many workers there are, where
// link.Latest is.
func (r *Run) Workers(ctx context.Context) ([]Heartbeat, error) {
	beats, err := link.Latest(ctx, r.js, schemas.BeatsStream(r.Name), schemas.AllWorkers(r.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) { // an earlier build opened it, or it is being opened or asleep
		beats, err = link.Latest(ctx, r.js, schemas.CtrlStream(r.Name), schemas.AllWorkers(r.Name))
	}
	if err != nil {
		return nil, link.Unavailable(r.js.Conn(), "list workers", r.Name, err)
	}
	var out []Heartbeat
	for _, m := range beats {
		var b Heartbeat
		// A heartbeat that does not parse is somebody else's message: only its sender
		// is known.
		if len(m.Data) > MaxHeartbeat || json.Unmarshal(m.Data, &b) != nil || b.Worker == "" {
			b = Heartbeat{Worker: link.LastToken(m.Subject)}
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b Heartbeat) int { return strings.Compare(a.Worker, b.Worker) })
	return out, nil
}
