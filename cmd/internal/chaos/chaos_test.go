package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"resslt/cmd/internal/child"
	"resslt/cmd/internal/programs"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/torch/torchtest"
)

// built has both programs, once.
var built = sync.OnceValues(func() (string, error) {
	dir, remove, err := programs.Folder()
	removeBuilt = remove
	return dir, err
})

// removeBuilt removes what built made.
var removeBuilt func()

func TestMain(m *testing.M) {
	code := m.Run()
	if removeBuilt != nil {
		removeBuilt()
	}
	os.Exit(code)
}

// options builds the programs and gives what a campaign needs, or skips.
func options(t *testing.T) Options {
	t.Helper()
	racetest.SkipPrograms(t)
	torchtest.Require(t)
	if _, err := os.Stat("/usr/share/datasets/fashion-mnist"); err != nil {
		t.Skip("Fashion-MNIST is not installed (package dataset-fashion-mnist)")
	}
	if _, err := exec.LookPath("nats-server"); err != nil {
		t.Skip("nats-server is not on PATH: apt-get install nats-server")
	}
	shim, err := filepath.Abs("../../../bin/libresslt_torch.so")
	if err != nil {
		t.Fatal(err)
	}
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Bin: bin, Shim: shim, Dir: t.TempDir(), Seed: 3, Log: func(line string) { t.Log(line) }}
}

// The short form of `make chaos`: a few faults of every target, and the two
// scenarios that are quick.
func TestCampaign(t *testing.T) {
	o := options(t)
	r, err := Run(t.Context(), o, Campaign{
		Faults: 4, Runs: 2, Kinds: []string{"worker-kill", "broker-kill", "trainer-stop", "worker-freeze"},
		Only: []string{"memory-quota", "second-trainer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range r.Wrong() {
		t.Error(w)
	}
	if len(r.Storms) != 1 || r.Storms[0].Faults == 0 || r.Storms[0].Runs != 2 || len(r.Scenarios) != 2 {
		t.Errorf("%d storms and %d scenarios: %+v", len(r.Storms), len(r.Scenarios), r)
	}
	var table bytes.Buffer
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"worker-kill", "memory-quota", "seed 3, 0 wrong"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, table.String())
		}
	}
}

// What the suite would not notice, it would not prove: a farm whose end differs, or
// that hangs, fails.
func TestNoticesWhatIsWrong(t *testing.T) {
	o := options(t).applyDefaults()
	calm, err := RunCalm(t.Context(), o, "calm", 40, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("other weights", func(t *testing.T) {
		other := *calm
		other.Summary.StudentSHA256 = strings.Repeat("0", 64)
		other.Losses = slices.Clone(calm.Losses)
		other.Losses[20].Loss *= 1.000001
		r, err := RunStorm(t.Context(), o, Storm{Name: "other", Steps: 40, Faults: 1, Kinds: []string{"worker-stop"}}, &other)
		if err != nil {
			t.Fatal(err)
		}
		wrong := strings.Join(r.Wrong, "\n")
		if len(r.Wrong) != 2 || !strings.Contains(wrong, "loss of step 21") || !strings.Contains(wrong, "student_sha256") {
			t.Errorf("wrong: %q", r.Wrong)
		}
	})
	t.Run("a hang", func(t *testing.T) {
		o := o
		o.Quiet = 4 * time.Second
		f, err := newFarm(o, layout{name: "hang", steps: 60, workers: 1, proxied: true, window: window, ackWait: ackWait})
		if err != nil {
			t.Fatal(err)
		}
		err = f.whole(t.Context(), func(ctx context.Context) error {
			if err := f.reach(ctx, 5); err != nil {
				return err
			}
			return frozen(ctx, f, f.workers, time.Minute)
		})
		if err == nil || !strings.Contains(err.Error(), "hang: no step after step") {
			t.Fatalf("error %v", err)
		}
		dump, err := os.ReadFile(filepath.Join(f.dir, "trainer.1.log"))
		if err != nil || !bytes.Contains(dump, []byte("goroutine ")) {
			t.Errorf("the trainer's log has no goroutines: %v", err)
		}
	})
	t.Run("a play without an end", func(t *testing.T) {
		o := o
		o.Quiet = 6 * time.Second
		f, err := newFarm(o, layout{name: "endless", steps: stepsAnEpoch, workers: 1, window: window, ackWait: ackWait})
		if err != nil {
			t.Fatal(err)
		}
		err = f.whole(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if err == nil || !strings.Contains(err.Error(), "hang: the trainer has been done for 6s") {
			t.Errorf("error %v", err)
		}
	})
}

// A wait of a scenario ends: with what it waits for, also where that comes from a later
// life of the program, with the trainer's end, or after a while.
func TestWaitsEnd(t *testing.T) {
	life := func(said string) *child.Process {
		t.Helper()
		log := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(log, []byte(said), 0o644); err != nil {
			t.Fatal(err)
		}
		return &child.Process{Name: "worker-0.1", Log: log}
	}
	newWorker := func() (*farm, *service) {
		return &farm{opts: Options{Quiet: time.Minute}, finished: make(chan struct{})}, &service{name: "worker-0", proc: life("begins\n")}
	}
	f, w := newWorker()
	go func() { f.set(w, life("begins\nthe word is said\n")) }() // ends by itself
	if said, err := f.logged(t.Context(), w, "word"); err != nil || said != "the word is said" {
		t.Errorf("the second life said %q, %v", said, err)
	}
	close(f.finished)
	if _, err := f.logged(t.Context(), w, "nothing"); err == nil || !strings.Contains(err.Error(), `worker-0 never logged "nothing" before the trainer was done`) {
		t.Errorf("error %v", err)
	}
	f, w = newWorker()
	f.opts.Quiet = 20 * time.Millisecond
	if exit, err := f.exitOf(t.Context(), w); exit != nil || err == nil || !strings.Contains(err.Error(), "worker-0 did not end in 20ms") {
		t.Errorf("%v, error %v", exit, err)
	}
	f, w = newWorker()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the farm failed")
	cancel(cause)
	if _, err := f.exitOf(ctx, w); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}

// No hostile record of evil-spec is one that somebody could serve: a harmless one would prove
// nothing.
func TestEvilRecords(t *testing.T) {
	own := schemas.RunInfo{Spec: schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: strings.Repeat("a", 64), Format: "folder", Split: "train", Samples: 1 << 20},
		Order:   "global", Policy: "p", Engine: "gift/1", BatchSize: 32, ChunkSamples: 8,
		Views:  []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 16}, {Name: "strong", Role: schemas.Student, Size: 16}},
		Epochs: 2, StepsPerEpoch: 20, OnError: schemas.Replace,
	}}
	own.Digest = own.Spec.Digest()
	if err := own.Check(); err != nil {
		t.Fatalf("the record that they are made from: %v", err)
	}
	records, err := evilRecords(own)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range records {
		if _, err := schemas.ParseRunInfo(raw); err == nil || errors.Is(err, errs.ErrMismatch) {
			t.Errorf("%s: error %v, want one of its own fields, not of its digest", name, err)
		}
	}
}

// A guest has a share of the faults, no larger than that of the run whose farm it uses.
func TestShareOf(t *testing.T) {
	for _, c := range []struct{ faults, runs, guest int }{{50, 1, 25}, {12, 3, 2}, {200, 3, 33}, {1, 3, 0}} {
		if got := shareOf(c.faults, c.runs); got != c.guest || c.faults-(c.runs-1)*got < got {
			t.Errorf("%d faults, %d runs: %d for each guest", c.faults, c.runs, got)
		}
	}
	if got := trainerKinds([]string{"worker-kill", "trainer-cut"}); !slices.Equal(got, []string{"trainer-cut"}) {
		t.Errorf("kinds %v", got)
	}
	if got := trainerKinds([]string{"worker-kill"}); len(got) != 4 {
		t.Errorf("kinds %v", got)
	}
}

// A storm can be had again: its plan is its seed's alone, and keeps within bounds.
func TestPlan(t *testing.T) {
	for seed := range uint64(200) {
		a := plan(seed, 50, 1040, Kinds(), true)
		if b := plan(seed, 50, 1040, Kinds(), true); !reflect.DeepEqual(describe(a), describe(b)) {
			t.Fatalf("seed %d gives two plans", seed)
		}
		faults, mixed, last := 0, 0, int64(0)
		seen := map[string]bool{}
		for _, m := range a {
			faults += len(m.parts)
			hit := map[target]int{}
			for _, p := range m.parts {
				seen[p.kind.name] = true
				place := p.kind.target
				if place == everyWorker {
					place = someWorker
				}
				hit[place]++
				if hit[place] > 1 {
					t.Fatalf("seed %d: two faults of one target at once: %v", seed, m)
				}
				if p.outage < p.kind.least || p.outage > p.kind.most || p.victim < 0 || p.victim >= 3 {
					t.Fatalf("seed %d: %v", seed, m)
				}
			}
			if len(m.parts) > 1 {
				mixed++
			}
			if m.step < max(firstFault, last) || m.step > 1040-lastFault {
				t.Fatalf("seed %d: step %d after %d", seed, m.step, last)
			}
			last = m.step
		}
		if faults < 50 || mixed == 0 || len(seen) != len(kinds) {
			t.Fatalf("seed %d: %d faults, %d mixed moments, kinds %v", seed, faults, mixed, seen)
		}
	}
	if reflect.DeepEqual(describe(plan(1, 50, 1040, Kinds(), true)), describe(plan(2, 50, 1040, Kinds(), true))) {
		t.Error("two seeds give one plan")
	}
}

func describe(ms []moment) []string {
	var out []string
	for _, m := range ms {
		out = append(out, fmt.Sprint(m.step, m))
		for _, p := range m.parts {
			out = append(out, fmt.Sprint(p.delay, p.outage))
		}
	}
	return out
}

// The proxy holds bytes back while it is cut, hands them over when restored, and
// forgets connections for good.
func TestProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }() // an echo, until its client goes
		}
	}()
	p, err := newProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", p.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	says := func(c net.Conn, within time.Duration) string {
		t.Helper()
		buf := make([]byte, 16)
		if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		n, _ := c.Read(buf) // a deadline is an answer, too
		return string(buf[:n])
	}
	send := func(c net.Conn, s string) {
		t.Helper()
		if _, err := c.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	a := dial()
	send(a, "one")
	if got := says(a, 5*time.Second); got != "one" {
		t.Fatalf("open: %q", got)
	}
	p.cut()
	send(a, "two")
	if got := says(a, 50*time.Millisecond); got != "" {
		t.Fatalf("cut: %q", got)
	}
	p.restore()
	if got := says(a, 5*time.Second); got != "two" {
		t.Fatalf("restored: %q", got)
	}
	p.forget()
	send(a, "three")
	if got := says(a, 50*time.Millisecond); got != "" {
		t.Fatalf("forgotten: %q", got)
	}
	b := dial()
	send(b, "four")
	if got := says(b, 5*time.Second); got != "four" {
		t.Fatalf("new connection: %q", got)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
}
