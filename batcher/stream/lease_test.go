package stream

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/process"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
)

// A name has one trainer: another of that name is refused while the first lives, and
// gets the name at once when it is closed. Nor is the run deleted under it.
func TestOneTrainerAName(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		spec := fixture.Spec()
		run := openRun(t, js, spec, runs.Options{})
		order := fixture.StrideOrder{N: spec.Dataset.Samples}
		o := Options{Trainer: "one", LeaseTerm: time.Second}
		first := openStream(t, run, o)
		_, err := Open(t.Context(), run, order, o)
		errstest.Want(t, err, errs.ErrUsage, "trainer one", "is training this run", "--trainer")
		errstest.Want(t, runs.Delete(t.Context(), js, "r"), errs.ErrUsage, "trainer one", "--run")
		openStream(t, run, Options{Trainer: "two"}).Close()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		openStream(t, run, o).Close()
		if d := time.Since(start); d > o.LeaseTerm/4 {
			t.Errorf("a name that was left was taken after %v", d)
		}
		if err := runs.Delete(t.Context(), js, "r"); err != nil {
			t.Error(err)
		}
	})
}

// A stream that failed gives the run free as well.
func TestFailedTrainerGivesTheRunFree(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	s := openStream(t, run, Options{StallTimeout: time.Millisecond})
	_, err := s.Next(t.Context())
	errstest.Want(t, err, errs.ErrUnavailable, "did not come")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	openStream(t, run, Options{})
	if d := time.Since(start); d > DefaultLeaseTerm/8 {
		t.Errorf("opened after %v", d)
	}
}

// lend takes a lease for a trainer at step 0.
func lend(t *testing.T, run *runs.Run, trainer string, term time.Duration) (*lease, error) {
	t.Helper()
	l := newLease(run, position{trainer: trainer, window: 1}, term)
	return l, l.take(t.Context())
}

// A trainer that was killed holds its name for the rest of the term and no longer;
// when it was not dead after all, it hears that the run is another's.
func TestLeaseRunsOut(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		run := openRun(t, js, fixture.Spec(), runs.Options{})
		const term = 500 * time.Millisecond
		dead, err := lend(t, run, "t", term)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		next, err := lend(t, run, "t", term)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < term/2 || d > term+term/5 {
			t.Errorf("took over after %v of %v", d, term)
		}
		errstest.Want(t, dead.hold(t.Context()), errs.ErrMismatch, "trainer t", "has taken the run over", "--trainer")
		if err := dead.leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if have, err := leases.Read(t.Context(), js, run.Name, "t"); err != nil || have == nil || have.ID != next.note.ID || have.Left {
			t.Fatalf("the other's leaving took the lease away: %+v, %v", have, err)
		}
	})
}

// A broker that tells the time has a lease taken over at once that ran out before.
func TestLeaseRanOutLongAgo(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	const term = 400 * time.Millisecond
	if _, err := lend(t, run, "t", term); err != nil {
		t.Fatal(err)
	}
	time.Sleep(term)
	start := time.Now()
	if _, err := lend(t, run, "t", term); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > term/2 {
		t.Errorf("took over after %v", d)
	}
}

// The broker loses the lease, or the answer to a renewal: the holder keeps the run.
func TestLeaseIsMended(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	l, err := lend(t, run, "t", DefaultLeaseTerm)
	if err != nil {
		t.Fatal(err)
	}
	ctrl, err := js.Stream(t.Context(), schemas.CtrlStream("r"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ctrl.Purge(t.Context(), jetstream.WithPurgeSubject(schemas.TrainerSubject("r", "t"))); err != nil {
		t.Fatal(err)
	}
	if err := l.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.seq-- // as if the answer had not come
	if err := l.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if have, err := leases.Read(t.Context(), js, run.Name, "t"); err != nil || have == nil || have.Seq != l.seq {
		t.Fatalf("lease %+v, held by %d, %v", have, l.seq, err)
	}
	// A note that cannot be read holds the run like any other.
	if _, err := js.Publish(t.Context(), schemas.TrainerSubject("r", "t"), []byte("\x00{")); err != nil {
		t.Fatal(err)
	}
	errstest.Want(t, l.renew(t.Context()), errs.ErrMismatch, "another trainer")
}

// A trainer whose lease was taken ends, rather than go on against the other.
func TestStreamLosesItsLease(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	s := openStream(t, run, Options{Trainer: "t"})
	if _, err := js.Publish(t.Context(), schemas.TrainerSubject("r", "t"), []byte(`{"id":"x","trainer":"other","host":"h","pid":7}`)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Next(t.Context())
	errstest.Want(t, err, errs.ErrMismatch, "trainer other (process 7 on h)", "--resume")
}

// A trainer of the same machine that was killed is known to be dead at once.
func TestLeaseOfAnEndedProcess(t *testing.T) {
	if process.This() == "" {
		t.Skip("this system does not tell processes apart")
	}
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pid := c.Process.Pid
	since, _ := process.Start(pid)
	name := process.Space() + " " + since
	if process.HasEnded(name, pid) || process.HasEnded(process.This(), os.Getpid()) {
		t.Error("a process that runs has ended")
	}
	for _, elsewhere := range []string{"", "x", "another-boot pid:[1] " + since} {
		if process.HasEnded(elsewhere, 1<<30) {
			t.Errorf("%q: an unknown process has ended", elsewhere)
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); !process.HasEnded(name, pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a killed process still counts as alive") // before Wait: it is a zombie by now
		}
	}
	_ = c.Wait() // it was killed
	if !process.HasEnded(name, pid) {
		t.Error("a process that was waited for counts as alive")
	}

	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	dead, err := lend(t, run, "t", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	dead.note.Process, dead.note.PID = name, pid
	if err := dead.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := lend(t, run, "t", time.Minute); err != nil || time.Since(start) > time.Second {
		t.Errorf("taken after %v: %v", time.Since(start), err)
	}
}
