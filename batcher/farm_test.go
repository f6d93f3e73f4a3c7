package batcher

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// farm is a worker that runs until stop, or the end of the test.
type farm struct {
	*Worker
	stop func() error
}

func startWorker(t *testing.T, js jetstream.JetStream, src *hashSource, o WorkerOptions, run string) *farm {
	t.Helper()
	if o.Open == nil {
		o.Open = src.opener
	}
	if o.Grace == 0 {
		o.Grace = time.Second
	}
	o.Discover = 50 * time.Millisecond
	o.Heartbeat = 100 * time.Millisecond
	w, err := NewWorker(js, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		if run == "" {
			done <- w.Serve(ctx)
		} else {
			done <- w.ServeRun(ctx, run)
		}
	}()
	f := &farm{Worker: w}
	f.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { f.stop() })
	return f
}
