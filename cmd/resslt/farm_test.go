package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// farmBench is a broker, and the program's verbs at it.
type farmBench struct {
	b  *broker.Broker
	js jetstream.JetStream
}

func newFarmBench(t *testing.T) *farmBench {
	t.Helper()
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{Broker: b})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &farmBench{b, js}
}

// do runs a verb, and gives what it printed.
func (f *farmBench) do(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetIn(strings.NewReader("y\n")) // no terminal
	root.SetArgs(append(args, "--nats", f.b.URL(), "--token", f.b.Token()))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// lease leaves a trainer's note in a run.
func (f *farmBench) lease(t *testing.T, run, name, note string) {
	t.Helper()
	if _, err := f.js.Publish(t.Context(), schemas.TrainerSubject(run, name), []byte(note)); err != nil {
		t.Fatal(err)
	}
}

// farmSpec is a run of 8 steps of greySpec's kind.
func farmSpec() schemas.RunSpec {
	return schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: strings.Repeat("d0", 32), Format: "folder", Split: "train", Samples: 40},
		Order:   "global", Policy: "{}", Engine: "grey/1", Seed: 1,
		BatchSize: 10, Epochs: 2, StepsPerEpoch: 4, ChunkSamples: 5, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 8}},
	}
}

func (f *farmBench) open(t *testing.T, name string) *runs.Run {
	t.Helper()
	run, err := runs.Open(t.Context(), f.js, name, farmSpec(), runs.Options{Window: 2})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// fill makes a farm with a run in many a state.
func (f *farmBench) fill(t *testing.T) {
	t.Helper()
	for _, name := range []string{"live", "ended", "abandoned", "strange"} {
		f.open(t, name)
	}
	f.lease(t, "live", "t1", `{"id":"x","trainer":"t1","host":"here","pid":7,"term":600000000000,"cursor":3}`)
	f.lease(t, "ended", "t", `{"id":"x","trainer":"t","host":"here","term":15000000000,"cursor":8,"left":true}`)
	long := strings.Repeat("häuser-", 40)
	f.lease(t, "abandoned", "t", `{"id":"x","trainer":"t","host":"\u001b[2J`+long+`","term":15000000000,"cursor":3,"left":true,"rate":-1e300}`)
	ctrl, err := f.js.Stream(t.Context(), schemas.CtrlStream("strange"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ctrl.Purge(t.Context(), jetstream.WithPurgeSubject(schemas.SpecSubject("strange"))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.js.Publish(t.Context(), schemas.SpecSubject("strange"), []byte(`{"spec":`)); err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]string{
		"BATCH_left": "b.left.>", "BATCH_foreign": "orders.>", "TASKS_mixed": "t.mixed.>", "BATCH_mixed": "invoices.>", "BEATS_alone": "c.alone.worker.*",
	} {
		if _, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, Storage: jetstream.MemoryStorage}); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *farmBench) states(t *testing.T) string {
	t.Helper()
	out, err := f.do(t, "farm", "ls", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Runs []farmRow }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	for _, r := range all.Runs {
		got = append(got, r.Run+" "+string(r.State))
	}
	return strings.Join(got, ", ")
}

// What the verbs list, refuse and delete, of runs in many a state.
func TestFarmVerbs(t *testing.T) {
	f := newFarmBench(t)
	if out, err := f.do(t, "farm", "ls"); err != nil || out != "no runs\n" {
		t.Fatalf("%q, %v", out, err)
	}
	f.fill(t)
	const all = "abandoned abandoned, alone orphan, ended ended, left orphan, live live, mixed orphan, strange unreadable"
	if got := f.states(t); got != all {
		t.Fatalf("the runs are %s", got)
	}
	for _, verb := range [][]string{{"farm", "ls"}, {"farm", "ls", "--all"}, {"farm", "show", "abandoned"}, {"status"}} {
		out, err := f.do(t, verb...)
		if err != nil {
			t.Fatalf("%v: %v", verb, err)
		}
		if strings.ContainsRune(out, '\x1b') || len(out) > 8000 {
			t.Errorf("%v reaches the terminal, or is long: %q", verb, out)
		}
	}
	// A run that cannot be read is a row; it fails the verb alone.
	if out, err := f.do(t, "status", "--json"); err != nil || !strings.Contains(out, `"run":"strange","state":"unreadable","error":"`) {
		t.Errorf("%v: %s", err, out)
	}
	_, err := f.do(t, "status", "strange")
	errstest.Want(t, err, errs.ErrCorrupt, "strange")
	_, err = f.do(t, "farm", "show", "none")
	errstest.Want(t, err, errs.ErrNotFound, "none")

	_, err = f.do(t, "farm", "rm", "ended", "live", "--yes")
	errstest.Want(t, err, errs.ErrUsage, "trainer t1")
	_, err = f.do(t, "farm", "rm", "ended")
	errstest.Want(t, err, errs.ErrUsage, "--yes", "delete run ended: ended, ")
	_, err = f.do(t, "farm", "rm", "ended", "none", "--yes")
	errstest.Want(t, err, errs.ErrNotFound, "none")
	if got := f.states(t); got != all {
		t.Fatalf("after refusals the runs are %s", got)
	}
	out, err := f.do(t, "farm", "gc", "--dry-run")
	if err != nil || !strings.Contains(out, "put to sleep ended: ended since ") || strings.Contains(out, "abandoned") {
		t.Errorf("%q, %v", out, err)
	}
	// What cannot be read is left alone by gc, and does not fail it.
	if out, err := f.do(t, "farm", "gc", "--older", "1h", "--yes"); err != nil || strings.Contains(out, "strange") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := f.do(t, "farm", "show", "live"); err != nil || !strings.Contains(out, "TASKS_live BATCH_live BEATS_live CTRL_live") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := f.do(t, "farm", "rm", "strange", "--yes"); err != nil || out != "deleted strange\n" {
		t.Errorf("%q, %v", out, err)
	}
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"--state", "sealed"}, "resslt farm rm"},
		{[]string{"--state", "live"}, "resslt farm rm"},
		{[]string{"--state", "asleeep"}, "no such state"},
		{[]string{"--older", "month"}, "30d"},
		{[]string{"--older", "-1h"}, "30d"},
		{[]string{"--older", "1.5d"}, "30d"},
		{[]string{"--older", "0s"}, "--yes"},
	} {
		_, err := f.do(t, append([]string{"farm", "gc"}, tc.args...)...)
		errstest.Want(t, err, errs.ErrUsage, tc.says)
	}
	if got := f.states(t); got != "abandoned abandoned, alone orphan, ended ended, left orphan, live live, mixed orphan" {
		t.Fatalf("after gc the runs are %s", got)
	}
	if out, err = f.do(t, "farm", "gc", "--older", "0s", "--yes"); err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if got := f.states(t); got != "live live" {
		t.Fatalf("after gc the runs are %s", got)
	}
	for _, name := range []string{"BATCH_foreign", "BATCH_mixed"} {
		if _, err := f.js.Stream(t.Context(), name); err != nil {
			t.Error("a stream that is no run's:", name, err)
		}
	}
}

// A run of which the broker did not answer all may be a recording, whatever the rest looks like.
func TestCollectionOfUnseenRuns(t *testing.T) {
	spec, now := farmSpec(), time.Now()
	o := runs.Overview{
		Name: "r", Run: &runs.Run{Info: schemas.RunInfo{Spec: spec}}, Now: now, Opened: now.Add(-100 * time.Hour), Kept: []string{"CTRL_r"},
		Trainers: []runs.TrainerState{{Cursor: spec.Steps(), Left: true, Renewed: now.Add(-90 * time.Hour)}},
	}
	g, err := newCollection([]string{"ended", "unreadable"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.plan([]runs.Overview{o}); len(got) != 1 {
		t.Fatalf("of a run that has ended: %+v", got)
	}
	o.Err = errs.New("look at run", "r", "", errs.ErrUnavailable)
	if got := g.plan([]runs.Overview{o}); len(got) != 0 {
		t.Errorf("its chunks were not seen: %+v", got)
	}
	o.Run, o.Trainers = nil, nil
	if got := g.plan([]runs.Overview{o}); len(got) != 0 {
		t.Errorf("nothing of it was seen: %+v", got)
	}
}

// The table fits a terminal of 100 columns, whatever is in it.
func TestFarmTableFits(t *testing.T) {
	wide := strings.Repeat("W", 64)
	row := farmRow{
		Run: wide, State: runs.StateUnreadable, SinceSeconds: 3599, Step: 123456, Steps: 800000, Bytes: 1023 << 30, ReservedBytes: 1023 << 20,
		Trainers: []runs.TrainerState{{Name: wide, Host: "\x1b[2J" + wide}, {}}, LastHeartbeat: &time.Time{}, heard: 47 * time.Hour,
	}
	var out bytes.Buffer
	if err := printFarm(&out, []farmRow{row}, 3); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 || strings.ContainsRune(line, '\x1b') {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

// Whose speed an ETA goes by.
func TestTimeLeft(t *testing.T) {
	spec := farmSpec()
	run := &runs.Run{Info: schemas.RunInfo{Spec: spec}}
	for _, tc := range []struct {
		name     string
		trainers []runs.TrainerState
		workers  float64
		want     float64
		from     string
	}{
		{"nobody trains", []runs.TrainerState{{Cursor: 3, Rate: 2}}, 100, 0, ""},
		{"its own", []runs.TrainerState{{Cursor: 4, Live: true, Rate: 2}}, 100, 2, "trainer"},
		{"the slowest one's", []runs.TrainerState{{Cursor: 6, Live: true, Rate: 8}, {Cursor: 4, Live: true, Rate: 0.5}}, 100, 8, "trainer"},
		{"an older trainer", []runs.TrainerState{{Cursor: 4, Live: true}}, 20, 2, "workers"},
		{"nothing tells", []runs.TrainerState{{Cursor: 4, Live: true}}, 0, 0, ""},
	} {
		o := &runs.Overview{Run: run, Trainers: tc.trainers}
		if got, from := timeLeft(o, tc.workers); got != tc.want || from != tc.from {
			t.Errorf("%s: %v by the %s, want %v by the %s", tc.name, got, from, tc.want, tc.from)
		}
	}
}

// A hundred runs of fifty workers: a few requests a run, and no more.
func TestFarmIsListedByFewRequests(t *testing.T) {
	f := newFarmBench(t)
	const n, workers = 100, 50
	nc := f.js.Conn()
	for i := range n {
		name := fmt.Sprintf("run%03d", i)
		f.open(t, name)
		f.lease(t, name, "t", `{"id":"x","trainer":"t","host":"here","term":600000000000,"cursor":3,"rate":2}`)
		for w := range workers {
			beat, err := (&runs.Heartbeat{Worker: fmt.Sprint("w", w), Time: time.Now(), WorkerStats: runs.WorkerStats{Rate: 2}}).Encode()
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Publish(schemas.WorkerSubject(name, fmt.Sprint("w", w)), beat); err != nil {
				t.Fatal(err)
			}
		}
	}
	for detail, most := range map[runs.Detail]uint64{runs.Brief: 5, runs.Full: 6} {
		before, start := nc.Stats().OutMsgs, time.Now()
		all, err := runs.Overviews(t.Context(), f.js, detail)
		if err != nil || len(all) != n {
			t.Fatalf("%d runs, %v", len(all), err)
		}
		asked := nc.Stats().OutMsgs - before
		t.Logf("detail %d: %d requests, %v", detail, asked, time.Since(start))
		if asked > most*n+8 {
			t.Errorf("%d requests for %d runs", asked, n)
		}
		for i := range all {
			if o := &all[i]; o.Err != nil || o.State() != runs.StateLive || detail == runs.Full && len(o.Workers) != workers {
				t.Fatalf("%+v", o)
			}
		}
	}
	for _, verb := range [][]string{{"farm", "ls"}, {"status", "--json"}} {
		start := time.Now()
		if out, err := f.do(t, verb...); err != nil || strings.Count(out, "run0") < n {
			t.Errorf("%v: %v", verb, err)
		}
		t.Logf("%v: %v", verb, time.Since(start))
	}
}

// A run that is interrupted in a farm, and put to sleep, is resumed with the weights of one
// that nobody disturbed; at its end nothing is held of it but its record.
func TestInterruptedRunSleepsAndResumes(t *testing.T) {
	needTorch(t)
	needData(t)
	f := newFarmBench(t)
	login := []string{"--nats", f.b.URL(), "--token", f.b.Token()}
	start(t, command(t, "augmentd", append(login, "--workers", "1")...))
	dir := t.TempDir()
	session := append(append([]string{"train", "--run", "naps", "--lease", "1s", "--sleep-after", "1s"}, login...), quick(dir)[1:]...)
	interrupt(t, dir, 8, syscall.SIGTERM, session...)
	if got := f.states(t); got != "naps abandoned" {
		t.Fatalf("after the interrupt: %s", got)
	}
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		out, err := f.do(t, "farm", "gc")
		if strings.HasPrefix(out, "put to sleep naps: abandoned since ") {
			break
		}
		if err != nil || time.Since(start) > time.Minute {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if got := f.states(t); got != "naps asleep" {
		t.Fatalf("after gc: %s", got)
	}
	sameWeights(t, "after its sleep", summaryOf(t, append(session, "--resume")...), undisturbed(t))
	out, err := f.do(t, "farm", "show", "naps", "--json")
	if err != nil || !strings.Contains(out, `"state":"ended"`) || !strings.Contains(out, `"streams":["CTRL_naps"]`) || !strings.Contains(out, `"reserved_bytes":`) {
		t.Errorf("at its end: %v: %s", err, out)
	}
	// --fresh is rm of that run, then a new one.
	sameWeights(t, "fresh", summaryOf(t, append(append(session[:len(session):len(session)], "--fresh"), "--out", t.TempDir())...), undisturbed(t))
}
