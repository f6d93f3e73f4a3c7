package batcher

import (
	"sync/atomic"
	"time"
)

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
