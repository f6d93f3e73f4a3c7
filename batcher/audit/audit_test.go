package audit

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// audited opens a stream that an auditor listens to, which makes chunks by own.
func audited(t *testing.T, js jetstream.JetStream, name string, own *rig.HashSource, from int64, o Options) (*stream.Stream, *Auditor) {
	t.Helper()
	spec := fixture.Spec()
	run, err := runs.Open(t.Context(), js, name, spec, runs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	own.Spec = spec
	own.Open.Add(1)
	a, err := New(&spec, own, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stream.Open(t.Context(), run, own.Order(), stream.Options{
		Record: a, From: from, RepairAfter: 300 * time.Millisecond, StallTimeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, a
}

// A trainer that makes chunks again takes those of honest workers, and of a liar none
// that is sampled.
func TestAuditor(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	own := &rig.HashSource{}
	s, a := audited(t, js, "honest", own, 0, Options{Every: 2})
	farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 2}, "honest")
	rig.Equal(t, rig.Take(t, s, spec.Steps()), rig.Want(t, spec, own, 0, spec.Steps()))
	if n := a.Audited(); n < 5 || n > 31 { // of 36, half
		t.Errorf("%d chunks were made again", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil || own.Open.Load() != 0 || a.Refusal() != nil {
		t.Errorf("%d sources and makers are open, %v, %v", own.Open.Load(), err, a.Refusal())
	}

	s, a = audited(t, js, "lies", &rig.HashSource{}, 0, Options{Every: 1})
	farm.Start(t, js, &rig.HashSource{Salt: 1}, worker.Options{Name: "liar", Workers: 2}, "lies")
	_, err := s.Next(t.Context())
	errstest.Want(t, err, errs.ErrDeterminism, "of step 0", "made here, twice", "from liar", "--fresh")
	if s.Stats().DigestMismatches != 1 || s.Stats().Next != 0 || !errors.Is(err, a.Refusal()) {
		t.Errorf("%+v, %v", s.Stats(), a.Refusal())
	}

	_, err = New(&spec, &rig.HashSource{}, Options{})
	errstest.Want(t, err, errs.ErrUsage, "1 or more")
	_, err = New(&spec, &rig.HashSource{}, Options{Every: 1, Secret: []byte("short")})
	errstest.Want(t, err, errs.ErrUsage, "32 or more")
}

// The false chunk is in the broker still when the run is resumed: the same secret draws
// it again.
func TestAuditDrawsAgain(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	farm.Start(t, js, &rig.HashSource{Salt: 1}, worker.Options{Workers: 2}, "")
	o := Options{Every: 9, Secret: bytes.Repeat([]byte("s"), SecretBytes)}
	var at int64
	for range 4 {
		s, _ := audited(t, js, "r", &rig.HashSource{}, at, o)
		for {
			b, err := s.Next(t.Context())
			if err != nil {
				errstest.Want(t, err, errs.ErrDeterminism)
				break
			}
			b.Release()
		}
		// How far it got before it heard of it is a matter of time.
		at = s.Stats().Next
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	spec := fixture.Spec()
	a := &Auditor{opts: o, run: spec.Digest()}
	drawn := int64(-1)
	for step := spec.Steps() - 1; step >= 0; step-- {
		for c := range spec.Chunks() {
			if a.isSampled(step, c) {
				drawn = step
			}
		}
	}
	if drawn < 1 || at > drawn {
		t.Errorf("four trainers got to step %d, the first chunk of the sample is of step %d", at, drawn)
	}
	often := &Auditor{opts: Options{Every: 2, Secret: o.Secret}, run: a.run}
	for step := range spec.Steps() {
		for c := range spec.Chunks() {
			if a.isSampled(step, c) && !often.isSampled(step, c) {
				t.Errorf("chunk %d of step %d is of one in 9, and not of one in 2", c, step)
			}
		}
	}
}

// Nobody is accused by a machine that is itself in doubt, nor is a run ended by one read
// that failed.
func TestAuditorsOwnTrouble(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	farm.Start(t, js, &rig.HashSource{}, worker.Options{Workers: 2}, "")
	failures := 0
	own := &rig.HashSource{Before: func(context.Context, wire.TaskRow) error {
		if failures++; failures <= 2 {
			return errs.Because(errs.ErrUnavailable, "the disk is away")
		}
		return nil
	}}
	s, _ := audited(t, js, "read", own, 0, Options{Every: 1})
	rig.Take(t, s, 2)
	s.Close()

	own = &rig.HashSource{}
	own.Before = func(context.Context, wire.TaskRow) error { own.Salt++; return nil }
	s, a := audited(t, js, "memory", own, 0, Options{Every: 1})
	_, err := s.Next(t.Context())
	errstest.Want(t, err, errs.ErrDeterminism, "made here twice", "this machine's memory")
	if a.Refusal() != nil {
		t.Errorf("a worker is accused: %v", a.Refusal())
	}
	s.Close()

	began := make(chan struct{}, 1)
	own = &rig.HashSource{Before: func(ctx context.Context, _ wire.TaskRow) error {
		select {
		case began <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	s, _ = audited(t, js, "slow", own, 0, Options{Every: 1})
	<-began
	start := time.Now()
	if err := s.Close(); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("closed after %v, %v", time.Since(start), err)
	}
}
