package stream

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"resslt/schemas/errs/errstest"

	"resslt/batcher/broker"
	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// said collects reports.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, text)
}

func (s *said) error(err error) { s.line(err.Error()) }

// wait gives the lines when there are n or more, or after a while.
func (s *said) wait(n int) []string {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		lines := append([]string(nil), s.lines...)
		s.mu.Unlock()
		if len(lines) >= n || time.Now().After(deadline) {
			return lines
		}
	}
}

// The connection's loss and its return are reported, once each; its end is not. A
// worker says once, not every few seconds, that it finds no broker.
func TestLostBrokerIsTold(t *testing.T) {
	b := rig.Launch(t, rig.Separate())
	var conn, farmer said
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{URL: "nats://user:secret@" + b.Addr, Report: conn.line})
	if err != nil {
		t.Fatal(err)
	}
	openRun(t, js, fixture.Spec(), runs.Options{})
	src := &rig.HashSource{}
	f := farm.Start(t, js, src, worker.Options{Workers: 1, Report: farmer.error}, "")
	time.Sleep(100 * time.Millisecond)
	b.Stop()
	conn.wait(1)
	time.Sleep(500 * time.Millisecond) // ten looks for new runs
	b.Start(t, b)
	lines := conn.wait(2)
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	time.Sleep(50 * time.Millisecond)
	lines = conn.wait(len(lines))
	name := "broker nats://...@" + b.Addr
	if len(lines) != 2 || lines[0] != name+" lost, waiting for it" || lines[1] != name+" is back" {
		t.Errorf("the connection said %q", lines)
	}
	if lines := farmer.wait(1); len(lines) != 1 || !strings.Contains(lines[0], name+" does not answer") {
		t.Errorf("the worker said %q", lines)
	}
}

// A worker that is stopped has no error to report, wherever it is at: looking
// up the run, opening its data, making a chunk. One that is not, has.
func TestWorkerStopsWithoutError(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	openRun(t, js, fixture.Spec(), runs.Options{})
	var reports said
	for _, run := range []string{"r", ""} {
		opening := make(chan struct{}, 1)
		w, err := worker.New(js, worker.Options{Workers: 1, Report: reports.error, Open: func(ctx context.Context, _ *schemas.RunInfo) (produce.Source, error) {
			opening <- struct{}{}
			<-ctx.Done()
			return nil, errs.New("open folder", "/data", "mount it", errs.BecauseErr(errs.ErrUnavailable, ctx.Err()))
		}})
		if err != nil {
			t.Fatal(err)
		}
		serve := func(ctx context.Context) error {
			if run == "" {
				return w.Serve(ctx)
			}
			return w.ServeRun(ctx, run)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-opening; cancel() }()
		if err := serve(ctx); err != nil {
			t.Errorf("run %q, stopped while it opened the data: %v", run, err)
		}
		if err := serve(ctx); err != nil {
			t.Errorf("run %q, stopped before it began: %v", run, err)
		}
	}
	if len(reports.lines) != 0 {
		t.Errorf("reports %q", reports.lines)
	}
	w, err := worker.New(js, worker.Options{Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) {
		return nil, errs.New("open folder", "/data", "mount it", errs.ErrNotFound)
	}})
	if err != nil {
		t.Fatal(err)
	}
	errstest.Want(t, w.ServeRun(t.Context(), "r"), errs.ErrNotFound, "/data")
}

// A run that was refused because its data cannot be opened is served as soon as it
// is opened with the data's new place.
func TestMovedDataIsTriedAtOnce(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	spec := fixture.Spec()
	openRun(t, js, spec, runs.Options{DataURI: "folder:old"})
	src := &rig.HashSource{}
	var reports said
	farm.Start(t, js, src, worker.Options{Workers: 1, Report: reports.error, Open: func(ctx context.Context, rec *schemas.RunInfo) (produce.Source, error) {
		if rec.DataURI != "folder:new" {
			return nil, errs.New("open", rec.DataURI, "name a folder", errs.ErrNotFound)
		}
		return src.Opener(ctx, rec)
	}}, "")
	if lines := reports.wait(1); len(lines) != 1 {
		t.Fatalf("reports %q", lines)
	}
	s := openStream(t, openRun(t, js, spec, runs.Options{DataURI: "folder:new"}), Options{})
	rig.Equal(t, take(t, s, 1), rig.Want(t, spec, src, 0, 1))
}

// A stall's error quotes the workers that are there, by the rule that everybody goes by: a
// worker of many runs is silent for longer than one that has ended.
func TestStallQuotesLiveWorkers(t *testing.T) {
	_, js := rig.Launch(t, rig.Embedded(false)).Connect(t)
	run := openRun(t, js, fixture.Spec(), runs.Options{})
	for _, b := range []runs.Heartbeat{
		{Worker: "gone", Every: time.Second, Time: time.Now().Add(-10 * time.Second), Trouble: "the disk is gone"},
		{Worker: "busy", Every: time.Minute, Time: time.Now().Add(-2 * time.Minute), Trouble: "the data do not open"},
	} {
		body, err := b.Encode()
		if err == nil {
			_, err = js.Publish(t.Context(), schemas.WorkerSubject("r", b.Worker), body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := openStream(t, run, Options{StallTimeout: time.Millisecond}).Next(t.Context())
	errstest.Want(t, err, errs.ErrUnavailable, "the workers say: the data do not open")
	if strings.Contains(err.Error(), "disk") {
		t.Errorf("a worker that has ended is quoted: %v", err)
	}
}
