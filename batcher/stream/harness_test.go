package stream

import (
	"io"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/schemas"

	"github.com/nats-io/nats.go/jetstream"
)

func openRun(t *testing.T, js jetstream.JetStream, spec schemas.RunSpec, o runs.Options) *runs.Run {
	t.Helper()
	run, err := runs.Open(t.Context(), js, "r", spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func openStream(t *testing.T, run *runs.Run, o Options) *Stream {
	t.Helper()
	if o.RepairAfter == 0 {
		o.RepairAfter = 300 * time.Millisecond
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 20 * time.Second
	}
	s, err := Open(t.Context(), run, fixture.StrideOrder{N: run.Spec().Dataset.Samples}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// testDriver is a driver at step 0 whose lease is not taken.
func testDriver(run *runs.Run, o Options) *driver {
	o.Trainer = "t"
	l := newLease(run, position{trainer: o.Trainer, window: o.Window}, DefaultLeaseTerm)
	return newDriver(run, fixture.StrideOrder{N: run.Spec().Dataset.Samples}, o, l, &counters{})
}

// take reads steps until `to`, and returns their digests.
func take(t *testing.T, s *Stream, to int64) []string {
	t.Helper()
	var out []string
	for s.Stats().Next < to {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("step %d: %v", s.Stats().Next, err)
		}
		out = append(out, rig.BatchDigest(b))
		b.Release()
	}
	return out
}

func atEnd(t *testing.T, s *Stream) {
	t.Helper()
	if _, err := s.Next(t.Context()); err != io.EOF {
		t.Fatalf("after the last step: %v", err)
	}
}
