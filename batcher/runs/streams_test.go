package runs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// Workers is a fixed number of requests, however many workers there are, and whichever of
// them is the loudest.
func TestManyWorkers(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		nc, js := b.Connect(t)
		run := open(t, js, runs.Options{})
		asked := map[int]uint64{}
		for _, n := range []int{1, 1000} {
			for i := range n {
				beat := runs.Heartbeat{Worker: fmt.Sprintf("w%03d", i), Workers: 2, Time: time.Now().UTC()}
				body, err := beat.Encode()
				if err != nil {
					t.Fatal(err)
				}
				if i < n-1 {
					err = nc.Publish(schemas.WorkerSubject("r", beat.Worker), body)
				} else { // whose answer says that the others are there
					_, err = js.Publish(t.Context(), schemas.WorkerSubject("r", beat.Worker), body)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			before := nc.Stats().OutMsgs
			got, err := run.Workers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			asked[n] = nc.Stats().OutMsgs - before
			if len(got) != n || got[n-1].Worker != fmt.Sprintf("w%03d", n-1) || got[n-1].Workers != 2 {
				t.Fatalf("%d workers of %d, the last %+v", len(got), n, got[len(got)-1])
			}
		}
		if b.Name != "nats-server" && asked[1000] != asked[1] { // Debian's is of before requests for several
			t.Errorf("requests for workers: %v", asked)
		}
	})
}

// Whatever workers write, what they fill is bounded, and the run is as before.
func TestHeartbeatsAreBounded(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		nc, js := b.Connect(t)
		run := open(t, js, runs.Options{})
		for i := range 600 {
			if err := nc.Publish(schemas.WorkerSubject("r", fmt.Sprintf("loud%d", i)), make([]byte, runs.MaxHeartbeat)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := js.Publish(t.Context(), schemas.WorkerSubject("r", "huge"), make([]byte, 1<<20))
		var api *jetstream.APIError
		if !errors.As(err, &api) {
			t.Errorf("a heartbeat of 1 MiB: %v", err)
		}
		if _, err := js.Publish(t.Context(), schemas.StopSubject("r"), make([]byte, 1<<20)); !errors.As(err, &api) {
			t.Errorf("a stop notice of 1 MiB: %v", err)
		}
		for name, limit := range map[string]uint64{schemas.BeatsStream("r"): 4 << 20, schemas.CtrlStream("r"): 16 << 10} {
			s, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.CachedInfo().State.Bytes; got > limit {
				t.Errorf("%s has %d bytes", name, got)
			}
		}
		if _, err := run.Workers(t.Context()); err != nil {
			t.Error(err)
		}
		if again, err := runs.Lookup(t.Context(), js, "r"); err != nil || again.Info.Digest != run.Info.Digest {
			t.Errorf("the run is %+v, %v", again, err)
		}
	})
}

// A heartbeat fits, whatever it would list, and keeps the newest.
func TestEncodeHeartbeat(t *testing.T) {
	full := runs.Heartbeat{Worker: "w", Trouble: strings.Repeat("\u2028", 1<<16)}
	for i := range 5000 {
		full.SentBack = append(full.SentBack, 1<<60+uint64(i))
		full.Failed = append(full.Failed, runs.FailedTask{Seq: uint64(i), Why: strings.Repeat("<", 300)})
	}
	for _, b := range []runs.Heartbeat{{Worker: "w"}, {Worker: "w", SentBack: full.SentBack}, {Worker: "w", Failed: full.Failed}, full} {
		body, err := b.Encode()
		var got runs.Heartbeat
		if err != nil || len(body) > runs.MaxHeartbeat || json.Unmarshal(body, &got) != nil || got.Worker != "w" {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		if n := len(got.SentBack); b.Trouble == "" && n > 0 && got.SentBack[n-1] != b.SentBack[len(b.SentBack)-1] || b.Trouble == "" && len(b.SentBack) > 0 && n == 0 {
			t.Errorf("%d of %d tasks are left", n, len(b.SentBack))
		}
		if n := len(got.Failed); b.Trouble == "" && len(b.Failed) > 0 && (n == 0 || got.Failed[n-1] != b.Failed[len(b.Failed)-1]) {
			t.Errorf("%d of %d failures are left", n, len(b.Failed))
		}
	}
}

// A run that an earlier build opened has its heartbeats in CTRL_. They are read there, and who
// opens it again moves them.
func TestRunOfAnEarlierBuild(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		_, js := b.Connect(t)
		spec := fixture.Spec()
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "CTRL_r", Subjects: []string{"c.r.>"}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1,
		}); err != nil {
			t.Fatal(err)
		}
		info, err := json.Marshal(&schemas.RunInfo{Spec: spec, Digest: spec.Digest(), DataURI: "folder:/a"})
		if err != nil {
			t.Fatal(err)
		}
		put(t, js, schemas.SpecSubject("r"), string(info))
		put(t, js, schemas.OptionsSubject("r"), `{"DataURI":"folder:/b","Storage":"memory","MaxBytes":67200000,"Window":4,"AckWait":30000000000,"MaxDeliver":5,"MaxAckPending":1024}`)
		put(t, js, schemas.TrainerSubject("r", "trainer"), `{"id":"x","trainer":"trainer","term":15000000000,"cursor":3,"left":true}`)
		put(t, js, schemas.WorkerSubject("r", "old"), `{"worker":"old","workers":1}`)
		run, err := runs.Lookup(t.Context(), js, "r")
		if err != nil || run.Window() != 4 || run.Info.DataURI != "folder:/b" {
			t.Fatalf("%+v, %v", run, err)
		}
		if got, err := run.Workers(t.Context()); err != nil || len(got) != 1 || got[0].Worker != "old" {
			t.Fatalf("workers %+v, %v", got, err)
		}
		for range 2 {
			run = open(t, js, runs.Options{DataURI: "folder:/b"})
		}
		put(t, js, schemas.WorkerSubject("r", "old"), `{"worker":"old","workers":3}`)
		if got, err := run.Workers(t.Context()); err != nil || len(got) != 1 || got[0].Workers != 3 {
			t.Errorf("workers %+v, %v", got, err)
		}
		if at, err := run.Cursor(t.Context(), "trainer"); err != nil || at != 3 {
			t.Errorf("cursor %d, %v", at, err)
		}
		ctrl, err := js.Stream(t.Context(), "CTRL_r")
		if err != nil {
			t.Fatal(err)
		}
		state, err := ctrl.Info(t.Context(), jetstream.WithSubjectFilter("c.r.worker.*"))
		if err != nil || len(state.State.Subjects) != 0 || state.Config.MaxBytes <= 0 || state.Config.MaxMsgSize <= 0 {
			t.Errorf("CTRL_ has the heartbeats %v, and limits %d and %d; %v", state.State.Subjects, state.Config.MaxBytes, state.Config.MaxMsgSize, err)
		}
		if err := runs.Delete(t.Context(), js, "r"); err != nil {
			t.Fatal(err)
		}
		for name := range js.StreamNames(t.Context()).Name() {
			t.Errorf("%s was not deleted", name)
		}
	})
}

// A run that nobody can serve, or of a newer build, is refused by name, and the runs beside it
// are listed.
func TestLookupRefusesByName(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	open(t, js, runs.Options{})
	wild := fixture.Spec()
	wild.BatchSize, wild.ChunkSamples, wild.StepsPerEpoch, wild.Dataset.Samples = 1<<40, 1<<40, 1, 1<<41
	for name, tc := range map[string]struct {
		body string
		is   error
		says string
	}{
		"wild":    {record(t, wild), errs.ErrTooLarge, "batch_size"},
		"newer":   {record(t, fixture.Spec())[:9] + `"mixup":1,` + record(t, fixture.Spec())[9:], errs.ErrUnsupported, `"mixup"`},
		"garbage": {"\x00\xff", errs.ErrCorrupt, ""},
		"empty":   {"{}", errs.ErrUnsupported, "version 0"},
	} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CTRL_" + name, Subjects: []string{"c." + name + ".>"}}); err != nil {
			t.Fatal(err)
		}
		put(t, js, schemas.SpecSubject(name), tc.body)
		_, err := runs.Lookup(t.Context(), js, name)
		errstest.Want(t, err, tc.is, tc.says, name)
	}
	found, err := runs.List(t.Context(), js)
	if err == nil || len(found) != 1 || found[0].Name != "r" {
		t.Errorf("%d runs, %v", len(found), err)
	}
}

func record(t *testing.T, spec schemas.RunSpec) string {
	t.Helper()
	out, err := json.Marshal(&schemas.RunInfo{Spec: spec, Digest: spec.Digest()})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func open(t *testing.T, js jetstream.JetStream, o runs.Options) *runs.Run {
	t.Helper()
	run, err := runs.Open(t.Context(), js, "r", fixture.Spec(), o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func put(t *testing.T, js jetstream.JetStream, subject, body string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
		t.Fatal(err)
	}
}
