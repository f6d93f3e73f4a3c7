package supply

import (
	"context"
	"errors"
	"os"
	"testing"
)

func TestReachable(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for in, want := range map[string]string{
		"nats://0.0.0.0:4222":   "nats://" + host + ":4222",
		"nats://[::]:4222":      "nats://" + host + ":4222",
		"nats://10.0.0.0:4222":  "nats://10.0.0.0:4222",
		"nats://[fe80::]:4222":  "nats://[fe80::]:4222",
		"nats://127.0.0.1:4222": "nats://127.0.0.1:4222",
		"nats://localhost:4222": "nats://localhost:4222",
	} {
		if got := reachable(in); got != want {
			t.Errorf("%s is reached by %s, want %s", in, got, want)
		}
	}
}

// A worker that fails ends the stream with its error, which is given once.
func TestStreamEndsWithItsWorker(t *testing.T) {
	bad := errors.New("the worker's disk is gone")
	failed := func() *Embedded {
		e := &Embedded{stop: func() {}, ended: make(chan struct{})}
		e.working, e.fail = context.WithCancelCause(t.Context())
		e.fail(bad)
		return e
	}
	e := failed()
	if _, err := (&embeddedStream{of: e}).Next(t.Context()); !errors.Is(err, bad) {
		t.Errorf("Next: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("said twice: %v", err)
	}
	if err := failed().Close(); !errors.Is(err, bad) {
		t.Errorf("after the last step: %v", err)
	}
}
