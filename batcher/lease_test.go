package batcher

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
)

// A run has one trainer: another is refused while the first lives, and gets the
// run at once when it is closed. Trainers that share a run are not kept apart.
func TestOneTrainer(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		spec := testSpec()
		run := openRun(t, js, spec, RunOptions{})
		order := strideOrder{spec.Dataset.Samples}
		first := openStream(t, run, StreamOptions{Trainer: "one"})
		_, err := OpenStream(t.Context(), run, order, StreamOptions{Trainer: "two"})
		wantErr(t, err, schemas.ErrUsage, "trainer one", "is training this run", "--run")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		openStream(t, run, StreamOptions{})
		if d := time.Since(start); d > leaseTerm/4 {
			t.Errorf("a run that was given free was opened after %v", d)
		}
	})
}

// A stream that failed gives the run free as well.
func TestFailedTrainerGivesTheRunFree(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	run := openRun(t, js, testSpec(), RunOptions{})
	s := openStream(t, run, StreamOptions{StallTimeout: time.Millisecond})
	_, err := s.Next(t.Context())
	wantErr(t, err, schemas.ErrUnavailable, "did not come")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	openStream(t, run, StreamOptions{})
	if d := time.Since(start); d > leaseTerm/4 {
		t.Errorf("opened after %v", d)
	}
}

// A trainer that was killed holds its run for the rest of the term and no longer;
// when it was not dead after all, it hears that the run is another's.
func TestLeaseRunsOut(t *testing.T) {
	eachBroker(t, func(t *testing.T, b *testBroker) {
		_, js := b.connect(t)
		run := openRun(t, js, testSpec(), RunOptions{})
		const term = 500 * time.Millisecond
		dead, err := takeLease(t.Context(), run, "dead", term)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		next, err := takeLease(t.Context(), run, "next", term)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < term/2 || d > term+term/5 {
			t.Errorf("took over after %v of %v", d, term)
		}
		wantErr(t, dead.hold(t.Context()), schemas.ErrMismatch, "trainer next", "has taken the run over", "--run")
		if err := dead.release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if have, err := next.look(t.Context()); err != nil || have == nil || have.ID != next.note.ID {
			t.Fatalf("the other's release took the lease away: %+v, %v", have, err)
		}
	})
}

// A broker that tells the time has a lease taken over at once that ran out before.
func TestLeaseRanOutLongAgo(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	run := openRun(t, js, testSpec(), RunOptions{})
	const term = 400 * time.Millisecond
	if _, err := takeLease(t.Context(), run, "dead", term); err != nil {
		t.Fatal(err)
	}
	time.Sleep(term)
	start := time.Now()
	if _, err := takeLease(t.Context(), run, "next", term); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > term/2 {
		t.Errorf("took over after %v", d)
	}
}

// The broker loses the lease, or the answer to a renewal: the holder keeps the run.
func TestLeaseIsMended(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	run := openRun(t, js, testSpec(), RunOptions{})
	l, err := takeLease(t.Context(), run, "t", leaseTerm)
	if err != nil {
		t.Fatal(err)
	}
	ctrl, err := js.Stream(t.Context(), schemas.CtrlStream("r"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ctrl.Purge(t.Context(), jetstream.WithPurgeSubject(schemas.TrainerSubject("r"))); err != nil {
		t.Fatal(err)
	}
	if err := l.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.seq-- // as if the answer had not come
	if err := l.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if have, err := l.look(t.Context()); err != nil || have == nil || have.seq != l.seq {
		t.Fatalf("lease %+v, held by %d, %v", have, l.seq, err)
	}
	// A note that cannot be read holds the run like any other.
	if _, err := js.Publish(t.Context(), schemas.TrainerSubject("r"), []byte("\x00{")); err != nil {
		t.Fatal(err)
	}
	wantErr(t, l.renew(t.Context()), schemas.ErrMismatch, "another trainer")
}

// A trainer whose lease was taken ends, rather than go on against the other.
func TestStreamLosesItsLease(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	run := openRun(t, js, testSpec(), RunOptions{})
	s := openStream(t, run, StreamOptions{})
	if _, err := js.Publish(t.Context(), schemas.TrainerSubject("r"), []byte(`{"id":"x","trainer":"other","host":"h","pid":7}`)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Next(t.Context())
	wantErr(t, err, schemas.ErrMismatch, "trainer other (process 7 on h)", "--resume")
}
