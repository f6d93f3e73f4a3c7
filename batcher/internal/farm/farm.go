package farm

import (
	"context"
	"sync"
	"testing"
	"time"

	"resslt/batcher/internal/rig"
	"resslt/batcher/worker"

	"github.com/nats-io/nats.go/jetstream"
)

// Farm is a worker that runs until stop, or the end of the test.
type Farm struct {
	*worker.Worker
	Stop  func() error
	Ended <-chan struct{} // closed when it has ended, by itself or stopped
}

// Start runs a worker: of one run, or of all, for "".
func Start(t *testing.T, js jetstream.JetStream, src *rig.HashSource, o worker.Options, run string) *Farm {
	t.Helper()
	if o.Open == nil {
		o.Open = src.Opener
	}
	if o.Grace == 0 {
		o.Grace = time.Second
	}
	o.Discover = 50 * time.Millisecond
	o.Heartbeat = 100 * time.Millisecond
	w, err := worker.New(js, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var result error // of ended
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if run == "" {
			result = w.Serve(ctx)
		} else {
			result = w.ServeRun(ctx, run)
		}
	}()
	f := &Farm{Worker: w, Ended: ended}
	f.Stop = sync.OnceValue(func() error { cancel(); <-ended; return result })
	t.Cleanup(func() { _ = f.Stop() }) // a test that minds has called it
	return f
}
