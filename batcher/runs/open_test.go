package runs_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// limited is a broker that lets a consumer have so many messages out.
func limited(t *testing.T, out int) jetstream.JetStream {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, NoSigs: true, NoLog: true, StoreDir: t.TempDir(), MaxPayload: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	limits := server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: out, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1}
	if err := s.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": limits}); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// held is what the broker holds: the last message under every subject, and the streams with their
// room in MiB.
func held(t *testing.T, js jetstream.JetStream) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name := range js.StreamNames(t.Context()).Name() {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = fmt.Sprint(info.Config.MaxBytes>>20, " MiB")
		for subject := range info.State.Subjects {
			m, err := s.GetLastMsgForSubject(t.Context(), subject)
			if err != nil {
				t.Fatal(err)
			}
			out[name+" "+subject] = string(m.Data)
		}
	}
	return out
}

// An opening that is refused last of all, when its own spec and options are stored, leaves the
// broker as it was: of a new run nothing, of one that sleeps its record as it was.
func TestOpenRefusedLate(t *testing.T) {
	js := limited(t, 100)
	spec := fixture.Spec()
	open := func(name string, o runs.Options) (*runs.Run, error) {
		return runs.Open(t.Context(), js, name, spec, o)
	}
	run, err := open("first", runs.Options{Window: 2, SleepAfter: time.Nanosecond, MaxAckPending: 100})
	if err != nil {
		t.Fatal(err)
	}
	// Its trainer was interrupted, and it is put to sleep.
	put(t, js, schemas.TrainerSubject("first", "t"), `{"id":"x","trainer":"t","term":1000000000,"cursor":1,"left":true}`)
	if slept, err := runs.Sweep(t.Context(), js, 0); err != nil || len(slept) != 1 {
		t.Fatalf("%q were put to sleep, %v", slept, err)
	}
	before := held(t, js)
	for _, name := range []string{"second", "first"} {
		_, err := open(name, runs.Options{Window: 3, DataURI: "folder:/elsewhere", MaxAckPending: 101})
		errstest.Want(t, err, errs.ErrUnavailable, "--max-workers")
		if got := held(t, js); !maps.Equal(got, before) {
			t.Errorf("opening %s, which was refused, leaves\n%v\nthere was\n%v", name, got, before)
		}
	}
	again, err := open("first", runs.Options{Window: 3, MaxAckPending: 100})
	if err != nil || again.Info.Digest != run.Info.Digest {
		t.Errorf("the run is not woken: %v", err)
	}
	// Where another trainer goes by what a refused opening found, that stays.
	before = held(t, js)
	_, err = open("first", runs.Options{Window: 3, MaxAckPending: 101})
	errstest.Want(t, err, errs.ErrUnavailable, "--max-workers")
	if got := held(t, js); !maps.Equal(got, before) {
		t.Errorf("an opening beside another, which was refused, leaves\n%v\nthere was\n%v", got, before)
	}
}

// A run of a later build is refused by a sentence that names what this build does not know, and
// nothing of it is changed: not its streams, nor its options.
func TestOpenRefusesALaterBuild(t *testing.T) {
	spec := fixture.Spec()
	other := spec
	other.Seed++
	for name, tc := range map[string]struct {
		spec    schemas.RunSpec
		record  string // "": this build's
		options string
		moved   string // subjects that are in a stream of their own
		is      error
		says    []string
	}{
		"its record":   {spec: spec, record: record(t, spec)[:9] + `"mixup":1,` + record(t, spec)[9:], options: `{}`, is: errs.ErrUnsupported, says: []string{`"mixup"`}},
		"its options":  {spec: spec, options: `{"Window":4,"Lanes":2}`, is: errs.ErrUnsupported, says: []string{`"Lanes"`, "--run"}},
		"another run":  {spec: other, options: `{}`, is: errs.ErrMismatch, says: []string{"another run under this name", "--fresh"}},
		"its subjects": {spec: spec, options: `{}`, moved: "c.r.trainer.*", is: errs.ErrMismatch, says: []string{"another build has its streams laid out otherwise"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
			subjects := []string{"c.r.spec", "c.r.options"}
			if tc.moved != "" {
				if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LEASES_r", Subjects: []string{tc.moved}}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CTRL_r", Subjects: subjects, MaxMsgsPerSubject: 1}); err != nil {
				t.Fatal(err)
			}
			if tc.record == "" {
				tc.record = record(t, spec)
			}
			put(t, js, schemas.SpecSubject("r"), tc.record)
			put(t, js, schemas.OptionsSubject("r"), tc.options)
			before := held(t, js)
			_, err := runs.Open(t.Context(), js, "r", tc.spec, runs.Options{Window: 2})
			errstest.Want(t, err, tc.is, tc.says...)
			if got := held(t, js); !maps.Equal(got, before) {
				t.Errorf("there is\n%v\nthere was\n%v", got, before)
			}
			if s, err := js.Stream(t.Context(), "CTRL_r"); err != nil || len(s.CachedInfo().Config.Subjects) != len(subjects) {
				t.Errorf("CTRL_r was changed: %v", err)
			}
			for _, s := range []string{"TASKS_r", "BATCH_r", "BEATS_r"} {
				if _, err := js.Stream(t.Context(), s); !errors.Is(err, jetstream.ErrStreamNotFound) {
					t.Errorf("%s: %v", s, err)
				}
			}
		})
	}
}

// A sweep asks twice for a run that is awake, and not at all for one that sleeps, however many of
// either there are.
func TestSweepAsksLittle(t *testing.T) {
	const awake, sleeping = 10, 30
	nc, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	for i := range awake + sleeping {
		name := fmt.Sprintf("r%02d", i)
		o := runs.Options{Window: 2, SleepAfter: time.Hour}
		if i < sleeping {
			o.SleepAfter = time.Nanosecond
		}
		if _, err := runs.Open(t.Context(), js, name, fixture.Spec(), o); err != nil {
			t.Fatal(err)
		}
		put(t, js, schemas.TrainerSubject(name, "t"), `{"id":"x","trainer":"t","term":1000000000,"cursor":1,"left":true}`)
	}
	if slept, err := runs.Sweep(t.Context(), js, 0); err != nil || len(slept) != sleeping {
		t.Fatalf("%q were put to sleep, %v", slept, err)
	}
	before := nc.Stats().OutMsgs
	if slept, err := runs.Sweep(t.Context(), js, 0); err != nil || len(slept) != 0 {
		t.Fatalf("%q were put to sleep, %v", slept, err)
	}
	if asked := nc.Stats().OutMsgs - before; asked > 2*awake+2 {
		t.Errorf("%d requests for %d runs that are awake and %d that sleep", asked, awake, sleeping)
	}
}
