package stream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"

	"github.com/nats-io/nats.go/jetstream"
)

// overview is what the broker holds of run "r".
func overview(t *testing.T, js jetstream.JetStream) *runs.Overview {
	t.Helper()
	o, err := runs.OverviewOf(t.Context(), js, "r", runs.Brief)
	if err == nil {
		err = o.Err
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// wantState fails the test where the run is in another state, or holds other streams.
func wantState(t *testing.T, js jetstream.JetStream, want runs.State, awake bool) {
	t.Helper()
	o := overview(t, js)
	if got := o.State(); got != want {
		t.Fatalf("the run is %s, want %s: %+v", got, want, o)
	}
	if got := slices.Contains(o.Kept, schemas.BatchStream("r")); got != awake || got != slices.Contains(o.Kept, schemas.TasksStream("r")) {
		t.Fatalf("the run holds %v", o.Kept)
	}
}

// The last trainer that closes at the end puts the run to sleep: not the first of two, and
// none before the end. Its record stays.
func TestEndedRunSleeps(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		room := func() int64 {
			t.Helper()
			s, err := js.Stream(t.Context(), schemas.CtrlStream("r"))
			if err != nil {
				t.Fatal(err)
			}
			return s.CachedInfo().Config.MaxBytes
		}
		spec, src := fixture.Spec(), &rig.HashSource{}
		run := openRun(t, js, spec, runs.Options{Window: 3})
		wantState(t, js, runs.StateOpened, true)
		all := int64(0)
		for _, name := range overview(t, js).Kept {
			s, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			all += max(0, s.CachedInfo().Config.MaxBytes)
		}
		found, err := runs.Overviews(t.Context(), js, runs.Full)
		if err != nil || len(found) != 1 || found[0].Reserved != all || overview(t, js).Reserved != all || all <= run.Options().MaxBytes {
			t.Errorf("%d bytes are reserved, %d of them for chunks, and the overview says %+v; %v", all, run.Options().MaxBytes, found, err)
		}
		farm.Start(t, js, src, worker.Options{Workers: 2}, "r")
		first, second := openStream(t, run, Options{Trainer: "first"}), openStream(t, run, Options{Trainer: "second"})
		var wg sync.WaitGroup
		wg.Go(func() { rig.Equal(t, take(t, first, spec.Steps()), rig.Want(t, spec, src, 0, spec.Steps())) })
		take(t, second, spec.Steps()-1)
		wg.Wait()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		wantState(t, js, runs.StateLive, true)
		take(t, second, spec.Steps())
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		wantState(t, js, runs.StateEnded, false)
		if o := overview(t, js); o.Run.Info.Digest != spec.Digest() || len(o.Trainers) != 2 || o.Cursor() != spec.Steps() || o.Reserved != room() {
			t.Errorf("of the record is left: %+v", o)
		}
		// Its room in the broker's quota is that of the record, until a trainer opens it.
		small := room()
		openRun(t, js, spec, runs.Options{Window: 3})
		if large := room(); small > 1<<20 || large <= 4*small {
			t.Errorf("CTRL_r has room for %d bytes asleep, %d awake", small, large)
		}
		if err := runs.Delete(t.Context(), js, "r"); err != nil {
			t.Fatal(err)
		}
	})
}

// A trainer that was interrupted finds its run asleep, wakes it, and gets the batches that it
// would have had.
func TestResumeAfterSleep(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec, src := fixture.Spec(), &rig.HashSource{}
	calm := rig.Want(t, spec, src, 0, spec.Steps())
	farm.Start(t, js, src, worker.Options{Workers: 2}, "")
	var got []string
	for _, to := range []int64{1, 5, 6, spec.Steps()} {
		s := openStream(t, openRun(t, js, spec, runs.Options{Window: 3}), Options{From: int64(len(got))})
		got = append(got, take(t, s, to)...)
		if to == 5 {
			kill(s) // its lease holds for a while
			if slept, err := runs.Sweep(t.Context(), js, time.Nanosecond); err != nil || len(slept) != 0 {
				t.Fatalf("%q were put to sleep under a live lease, %v", slept, err)
			}
			if err := s.lease.leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if to == spec.Steps() {
			wantState(t, js, runs.StateEnded, false)
			continue
		}
		wantState(t, js, runs.StateAbandoned, true)
		if slept, err := runs.Sweep(t.Context(), js, 0); err != nil || len(slept) != 0 {
			t.Fatalf("%q were put to sleep before their time, %v", slept, err)
		}
		// Several sweep at once.
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := runs.Sweep(t.Context(), js, time.Nanosecond); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantState(t, js, runs.StateAsleep, false)
	}
	rig.Equal(t, got, calm)
}

// Sweeps that meet a trainer that is opening, at whatever moment: one of the two sees the other,
// and the trainer gets its batches.
func TestSleepMeetsAnOpeningTrainer(t *testing.T) {
	t.Parallel()
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec, src := fixture.Spec(), &rig.HashSource{}
	want := rig.Want(t, spec, src, 0, 2)
	farm.Start(t, js, src, worker.Options{Workers: 2}, "")
	slept := 0
	// The sweep comes in time in a few of twenty rounds; under the race detector in every other
	// twenty.
	for round := 0; round < 20 || slept == 0 && round < 400; round++ {
		i := round % 20
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 3 {
				time.Sleep(time.Duration(i) * 300 * time.Microsecond)
				did, err := runs.Sweep(t.Context(), js, time.Nanosecond)
				if err != nil {
					t.Error(err)
				}
				slept += len(did)
			}
		})
		time.Sleep(time.Duration(20-i) * 200 * time.Microsecond)
		run := openRun(t, js, spec, runs.Options{Window: 3, AckWait: time.Second})
		s := openStream(t, run, Options{RepairAfter: 50 * time.Millisecond, StallTimeout: time.Minute})
		rig.Equal(t, take(t, s, 2), want)
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("it was put to sleep %d times", slept)
	if slept == 0 {
		t.Error("it was never put to sleep")
	}
}

// A recording is never put to sleep: not while nobody is at it, not when it is sealed, not
// while it is imported, and not by the trainer beside it that ends last.
func TestRecordingStaysAwake(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec, src := fixture.Spec(), &rig.HashSource{}
	o := runs.Options{Storage: runs.StorageFile, MaxBytes: runs.RecordingBytes(&spec)}
	run := openRun(t, js, spec, o)
	sweep := func(want runs.State) {
		t.Helper()
		if slept, err := runs.Sweep(t.Context(), js, time.Nanosecond); err != nil || len(slept) != 0 {
			t.Fatalf("%q were put to sleep, %v", slept, err)
		}
		wantState(t, js, want, true)
	}
	sweep(runs.StateRecording) // nobody has a lease: an import
	farm.Start(t, js, src, worker.Options{Workers: 2}, "r")
	s := openStream(t, run, Options{Keep: -1})
	take(t, s, 5)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sweep(runs.StateRecording)
	beside := openStream(t, run, Options{Trainer: "beside"})
	s = openStream(t, run, Options{Keep: -1, From: 5})
	var wg sync.WaitGroup
	wg.Go(func() { take(t, beside, spec.Steps()) })
	take(t, s, spec.Steps())
	wg.Wait()
	for _, s := range []*Stream{s, beside} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sweep(runs.StateRecording)
	if err := run.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweep(runs.StateSealed)
	stored, err := run.Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if steps, _, err := stored.Steps(t.Context()); err != nil || int64(len(steps)) != spec.Steps() {
		t.Errorf("%d steps are kept, %v", len(steps), err)
	}
}

// An opening that is refused leaves what was there, and nothing else; where the broker is full,
// abandoned runs make room.
func TestRefusedOpenLeavesNothing(t *testing.T) {
	const memory = 200 << 20
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), MaxMemory: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{Broker: b})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	streams := func() string {
		var names []string
		lister := js.StreamNames(t.Context())
		for s := range lister.Name() {
			names = append(names, s)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	spec := fixture.Spec()
	open := func(name string, bytes int64) (*runs.Run, error) {
		return runs.Open(t.Context(), js, name, spec, runs.Options{Window: 2, MaxBytes: bytes})
	}
	_, err = open("large", memory*2)
	errstest.Want(t, err, errs.ErrUnavailable, "resslt farm")
	if got := streams(); got != "" {
		t.Fatalf("a refused opening leaves %s", got)
	}
	run, err := open("first", memory*3/4)
	if err != nil {
		t.Fatal(err)
	}
	before := streams()
	_, err = open("second", memory/2)
	errstest.Want(t, err, errs.ErrUnavailable, "max_memory_store")
	if got := streams(); got != before {
		t.Fatalf("a refused opening leaves %s, there was %s", got, before)
	}
	other := spec
	other.Seed++
	if _, err := runs.Open(t.Context(), js, "first", other, runs.Options{Window: 2}); !errors.Is(err, errs.ErrMismatch) {
		t.Fatal(err)
	}
	// One that has ended gives its room, and asks for it again in vain while another has it.
	src := &rig.HashSource{}
	farm.Start(t, js, src, worker.Options{Workers: 2}, "")
	s := openStream(t, run, Options{})
	take(t, s, spec.Steps())
	kill(s)
	if err := s.lease.leave(t.Context()); err != nil { // as one that is killed before it lets the run sleep
		t.Fatal(err)
	}
	if _, err := open("second", memory/2); err != nil {
		t.Fatalf("beside a run that has ended: %v", err)
	}
	before = streams()
	_, err = open("first", memory*3/4)
	errstest.Want(t, err, errs.ErrUnavailable, "max_memory_store")
	if got := streams(); got != before {
		t.Errorf("a refused waking leaves %s, there was %s", got, before)
	}
	if o, err := runs.OverviewOf(t.Context(), js, "first", runs.Brief); err != nil || o.State() != runs.StateEnded {
		t.Errorf("the record of the run that was not woken: %+v, %v", o, err)
	}
}

// A run that a build of before opened, whose heartbeats are in CTRL_, which gives no message
// directly: it is looked at, swept and woken like others.
func TestOldRun(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec, src := fixture.Spec(), &rig.HashSource{}
	run := openRun(t, js, spec, runs.Options{Window: 3})
	if err := js.DeleteStream(t.Context(), "BEATS_r"); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
	ctrl, err := js.Stream(t.Context(), schemas.CtrlStream("r"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ctrl.CachedInfo().Config
	cfg.Subjects, cfg.AllowDirect, cfg.MaxMsgSize, cfg.MaxBytes = []string{schemas.AllCtrl("r")}, false, -1, -1
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		name := fmt.Sprint("w", i)
		if _, err := js.Publish(t.Context(), schemas.WorkerSubject("r", name), fmt.Appendf(nil, `{"worker":%q,"time":%q}`, name, time.Now().Format(time.RFC3339Nano))); err != nil {
			t.Fatal(err)
		}
	}
	o, err := runs.OverviewOf(t.Context(), js, "r", runs.Full)
	if err != nil || o.Err != nil || len(o.Workers) != 3 || o.Beat.IsZero() {
		t.Fatalf("%+v, %v", o, err)
	}
	farm.Start(t, js, src, worker.Options{Workers: 2}, "")
	s := openStream(t, run, Options{})
	got := take(t, s, 4)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A chunk that a worker had begun stirs the run after its trainer has left.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		slept, err := runs.Sweep(t.Context(), js, time.Nanosecond)
		if err == nil && len(slept) == 1 {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%q were put to sleep, %v", slept, err)
		}
	}
	wantState(t, js, runs.StateAsleep, false)
	s = openStream(t, openRun(t, js, spec, runs.Options{Window: 3}), Options{From: 4})
	rig.Equal(t, append(got, take(t, s, spec.Steps())...), rig.Want(t, spec, src, 0, spec.Steps()))
}
