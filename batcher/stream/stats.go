package stream

import (
	"sync/atomic"
	"time"
)

// Stats count what a trainer's stream saw. Sizes are bytes.
type Stats struct {
	Chunks           int64         // taken in, each once
	Bytes            int64         // of their bodies
	Repeated         int64         // seen again, or of steps that were over
	Tombstoned       int64         // chunks that could not be produced
	Replaced         int64         // samples replaced in batches handed out
	Rejected         int64         // chunks that cannot be used, each time that one came: of another spec or schema, too large, malformed
	DigestMismatches int64         // bodies that are not what their header's digest says, two digests of one chunk, a worker's notice of such
	Repaired         int64         // tasks issued again
	BufferedSteps    int64         // complete, waiting for the trainer
	Waited           time.Duration // by Next, in all, up to now
	Issued           int64         // tasks issued
	Next             int64         // step that Next will hand out
}

// counters are the live form of StreamStats.
type counters struct {
	chunks, bytes, repeated, tombstoned, replaced, rejected, mismatches, repaired, waited, issued atomic.Int64
	waitingSince                                                                                  atomic.Int64 // UnixNano since when Next waits; 0: it does not
}

// waiting is the time that Next has waited, the present wait included: who
// watches must see a trainer that is starved, not that it was.
func (c *counters) waiting() time.Duration {
	d := time.Duration(c.waited.Load())
	if t := c.waitingSince.Load(); t != 0 {
		d += time.Since(time.Unix(0, t))
	}
	return d
}
