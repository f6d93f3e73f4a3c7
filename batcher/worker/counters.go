package worker

import (
	"sync/atomic"
	"time"

	"resslt/batcher/runs"
	"resslt/batcher/wire"
)

// counters are the live form of WorkerStats.
type counters struct {
	chunks, samples, replaced, redelivered, tombstoned, mismatches, bytes atomic.Int64
	started                                                               atomic.Int64 // UnixNano of the first chunk
}

// outcome is what is counted of a chunk.
type outcome struct {
	samples, replaced int64
	tombstone         bool
}

func outcomeOf(chunk *wire.Chunk) outcome {
	if chunk.Tombstone != "" {
		return outcome{tombstone: true}
	}
	o := outcome{samples: int64(chunk.Rows())}
	for _, r := range chunk.Reasons {
		if r != "" {
			o.replaced++
		}
	}
	return o
}

func (c *counters) add(made outcome, bytes int64, fresh, again bool) {
	c.started.CompareAndSwap(0, time.Now().UnixNano())
	if again || !fresh {
		c.redelivered.Add(1)
	}
	if !fresh {
		return
	}
	c.chunks.Add(1)
	c.bytes.Add(bytes)
	if made.tombstone {
		c.tombstoned.Add(1)
	}
	c.samples.Add(made.samples)
	c.replaced.Add(made.replaced)
}

func (c *counters) stats() runs.WorkerStats {
	s := runs.WorkerStats{
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
