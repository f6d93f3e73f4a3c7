package serve

import (
	"context"
	"sync"
)

// flow counts what a client was sent and what it has acknowledged.
type flow struct {
	mu    sync.Mutex
	sent  int64         // step after the last that was sent; guarded by mu
	acked int64         // first step that is not acknowledged; guarded by mu
	moved chan struct{} // capacity 1: a step was acknowledged
}

func newFlow(from int64) *flow { return &flow{sent: from, acked: from, moved: make(chan struct{}, 1)} }

// send counts one more step as sent.
func (f *flow) send() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
}

// ack takes an acknowledgement: of the steps that were sent, in their order. It returns an
// error of the protocol for any other.
func (f *flow) ack(step int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if step != f.acked || step >= f.sent {
		return protocolError("an acknowledgement of step %d: steps %d to %d wait for theirs", step, f.acked, f.sent-1)
	}
	f.acked++
	select {
	case f.moved <- struct{}{}:
	default:
	}
	return nil
}

// position is the first step that is not acknowledged, and how many were sent from there on.
func (f *flow) position() (acked, out int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acked, f.sent - f.acked
}

// await waits until fewer than credits steps wait for their acknowledgement.
func (f *flow) await(ctx context.Context, credits int64) error {
	for {
		if _, out := f.position(); out < credits {
			return nil
		}
		select {
		case <-f.moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
