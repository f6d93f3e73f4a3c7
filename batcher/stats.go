package batcher

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// WorkerStats count what a worker did.
type WorkerStats struct {
	Chunks           int64   `json:"chunks"`            // published, each once
	Samples          int64   `json:"samples"`           // rows of these
	Replaced         int64   `json:"replaced"`          // rows whose planned sample could not be decoded
	Redelivered      int64   `json:"redelivered"`       // tasks that had been out before, or whose chunk was there already
	Tombstoned       int64   `json:"tombstoned"`        // chunks that could not be made
	DigestMismatches int64   `json:"digest_mismatches"` // same task, other bytes
	Bytes            int64   `json:"bytes"`             // of published bodies
	Rate             float64 `json:"rate"`              // samples a second, since the first chunk
}

// WorkerBeat is a worker's heartbeat in CTRL_<run>, JSON.
type WorkerBeat struct {
	Worker  string    `json:"worker"`
	Workers int       `json:"workers"` // chunks it makes at once
	Began   time.Time `json:"began"`   // to serve this run; the counts are from then on
	Time    time.Time `json:"time"`
	WorkerStats
	// Trouble says, in a line, why the worker can make nothing of the run just now;
	// "" where it can.
	Trouble string `json:"trouble,omitempty"`
	// SentBack are the newest tasks, by their sequence, that it gave back for a
	// trouble of its own, or because it was told to stop.
	SentBack []uint64 `json:"sent_back,omitempty"`
}

func (b *WorkerBeat) encode() ([]byte, error) {
	out, err := json.Marshal(b)
	if err != nil {
		return nil, errs.New("heartbeat", b.Worker, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	return out, nil
}

// counters are the live form of WorkerStats.
type counters struct {
	chunks, samples, replaced, redelivered, tombstoned, mismatches, bytes atomic.Int64
	started                                                               atomic.Int64 // UnixNano of the first chunk
}

func (c *counters) add(chunk *Chunk, bytes int, how published, again bool) {
	c.started.CompareAndSwap(0, time.Now().UnixNano())
	if again || how != publishedNew {
		c.redelivered.Add(1)
	}
	if how != publishedNew {
		return
	}
	c.chunks.Add(1)
	c.bytes.Add(int64(bytes))
	if chunk.Tombstone != "" {
		c.tombstoned.Add(1)
		return
	}
	c.samples.Add(int64(chunk.Rows()))
	for _, r := range chunk.Reasons {
		if r != "" {
			c.replaced.Add(1)
		}
	}
}

func (c *counters) stats() WorkerStats {
	s := WorkerStats{
		Chunks: c.chunks.Load(), Samples: c.samples.Load(), Replaced: c.replaced.Load(), Redelivered: c.redelivered.Load(),
		Tombstoned: c.tombstoned.Load(), DigestMismatches: c.mismatches.Load(), Bytes: c.bytes.Load(),
	}
	if t := c.started.Load(); t != 0 {
		if d := time.Since(time.Unix(0, t)).Seconds(); d > 0 {
			s.Rate = float64(s.Samples) / d
		}
	}
	return s
}

// StreamStats count what a trainer's stream saw. Sizes are bytes.
type StreamStats struct {
	Chunks           int64         // taken in, each once
	Bytes            int64         // of their bodies
	Repeated         int64         // seen again, or of steps that were over
	Tombstoned       int64         // chunks that could not be made
	Replaced         int64         // samples replaced in batches handed out
	Rejected         int64         // chunks of no use, each time that one came: of another spec or schema, too large, malformed
	DigestMismatches int64         // bodies that are not what their header's digest says, two digests of one chunk, a worker's notice of such
	Repaired         int64         // tasks issued again
	BufferedSteps    int64         // complete, waiting for the trainer
	Waited           time.Duration // by Next, in all, up to now
	Issued           int64         // tasks issued
	Next             int64         // step that Next will hand out
}

// streamCounters are the live form of StreamStats.
type streamCounters struct {
	chunks, bytes, repeated, tombstoned, replaced, rejected, mismatches, repaired, waited, issued atomic.Int64
	hungry                                                                                        atomic.Int64 // UnixNano since when Next waits; 0: it does not
}

// waiting is the time that Next has waited, the wait that goes on now included: who
// watches must see a trainer starve, not that it has starved.
func (c *streamCounters) waiting() time.Duration {
	d := time.Duration(c.waited.Load())
	if t := c.hungry.Load(); t != 0 {
		d += time.Since(time.Unix(0, t))
	}
	return d
}

// Workers gives the last heartbeat of every worker that ever served the run.
func (r *Run) Workers(ctx context.Context) ([]WorkerBeat, error) {
	s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name))
	if err != nil {
		return nil, unavailable(r.js.Conn(), "list workers", r.Name, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(schemas.WorkerSubject(r.Name, "*")))
	if err != nil {
		return nil, unavailable(r.js.Conn(), "list workers", r.Name, err)
	}
	var out []WorkerBeat
	for subject := range info.State.Subjects {
		m, err := s.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, unavailable(r.js.Conn(), "list workers", r.Name, err)
		}
		var b WorkerBeat
		// A beat that does not parse is somebody else's message: only its sender
		// is known.
		if json.Unmarshal(m.Data, &b) != nil || b.Worker == "" {
			b = WorkerBeat{Worker: subject[strings.LastIndexByte(subject, '.')+1:]}
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b WorkerBeat) int { return strings.Compare(a.Worker, b.Worker) })
	return out, nil
}
