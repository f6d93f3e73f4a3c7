package batcher

import (
	"testing"
	"time"
)

// A task that comes when its run was just dropped goes back at once, for others.
func TestTaskOfADroppedRun(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	spec, src := testSpec(), &hashSource{}
	run := openRun(t, js, spec, RunOptions{AckWait: time.Minute})
	f := startWorker(t, js, src, WorkerOptions{Workers: 1}, "r")
	for len(f.runs()) == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond) // its pull waits at the broker
	f.drop(f.runs()[0])
	s := openStream(t, run, StreamOptions{RepairAfter: time.Minute})
	for s.Stats().Issued < spec.Steps()*int64(spec.Chunks()) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // it has one
	startWorker(t, js, src, WorkerOptions{Workers: 1}, "r")
	start := time.Now()
	equal(t, take(t, s, spec.Steps()), want(t, spec, src, 0, spec.Steps()))
	if d := time.Since(start); d > 5*time.Second || s.Stats().Repaired > 0 {
		t.Errorf("a task was kept for %v", d)
	}
}

// What was refused is remembered for as long as it is left alone, and no longer.
func TestBansAreForgotten(t *testing.T) {
	_, js := launch(t, embedded(false)).connect(t)
	w, err := NewWorker(js, WorkerOptions{Workers: 1, Engines: []string{"turbo/1"}, Open: (&hashSource{}).opener})
	if err != nil {
		t.Fatal(err)
	}
	run := openRun(t, js, testSpec(), RunOptions{})
	if err := w.discover(t.Context()); err != nil || len(w.banned) != 1 {
		t.Fatalf("%d bans, %v", len(w.banned), err)
	}
	if err := DeleteRun(t.Context(), js, run.Name); err != nil {
		t.Fatal(err)
	}
	if err := w.discover(t.Context()); err != nil || len(w.banned) != 1 {
		t.Fatalf("%d bans a moment later, %v", len(w.banned), err)
	}
	w.banned[banKey(run)] = time.Now().Add(-time.Second)
	if err := w.discover(t.Context()); err != nil || len(w.banned) != 0 {
		t.Errorf("%d bans when their time is over, %v", len(w.banned), err)
	}
}
