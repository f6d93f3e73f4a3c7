package session

import (
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
