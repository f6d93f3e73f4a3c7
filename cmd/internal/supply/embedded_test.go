package session

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
func TestEmbeddedStreamEndsWithItsWorker(t *testing.T) {
	bad := errors.New("the worker's disk is gone")
	failed := func() *embeddedStream {
		ended := make(chan struct{})
		close(ended)
		working, fail := context.WithCancelCause(t.Context())
		fail(bad)
		return &embeddedStream{stop: func() {}, ended: ended, working: working}
	}
	s := failed()
	if _, err := s.Next(t.Context()); !errors.Is(err, bad) {
		t.Errorf("Next: %v", err)
	}
	if err := s.stopWorker(); err != nil {
		t.Errorf("said twice: %v", err)
	}
	if err := failed().stopWorker(); !errors.Is(err, bad) {
		t.Errorf("after the last step: %v", err)
	}
}
