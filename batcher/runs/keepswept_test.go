package runs_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"

	"github.com/nats-io/nats.go/jetstream"
)

// However many keep a broker's runs swept, about as many sweeps come as of one; and when those
// that did are gone, another goes on.
func TestKeepSwept(t *testing.T) {
	b := rig.Launch(t, rig.Embedded(false))
	const many, every, rounds = 20, 300 * time.Millisecond, 6
	var (
		sweeps atomic.Int64
		began  time.Time
	)
	begin := func(n int) (end func()) {
		var all []jetstream.JetStream
		for range n {
			_, js := b.Connect(t)
			all = append(all, js)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		began = time.Now()
		for _, js := range all {
			wg.Go(func() { runs.KeepSwept(ctx, js, every, func([]string, error) { sweeps.Add(1) }) })
		}
		return func() { cancel(); wg.Wait() }
	}
	await := func(n int64) time.Duration {
		for sweeps.Load() < n {
			if time.Since(began) > time.Minute {
				t.Fatalf("%d sweeps, want %d", sweeps.Load(), n)
			}
			time.Sleep(time.Millisecond)
		}
		return time.Since(began)
	}
	end := begin(many)
	// Each for itself, they would need a round for this many; told by one another, a round for each.
	if took := await(rounds); took < (rounds/2)*every {
		t.Errorf("%d sweeps took %v: %d workers sweep each for itself", rounds, took, many)
	}
	end()
	sweeps.Store(0)
	end = begin(1)
	await(2)
	end()
}
