package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// grey is a Source of views without a picture.
type grey struct{}

func (grey) At(_, index int64) int64          { return index }
func (grey) Order() wire.Order                { return grey{} }
func (grey) NewMaker() (produce.Maker, error) { return grey{}, nil }
func (grey) Close() error                     { return nil }
func (grey) Make(context.Context, wire.TaskRow, [][]byte, [][]byte) (produce.Made, error) {
	return produce.Made{}, nil
}

// TestStatus: what is shown of a run is what a trainer and a worker did, by text and
// by JSON, and what another machine says cannot talk to the terminal.
func TestStatus(t *testing.T) {
	b, err := broker.Start(broker.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{Broker: b})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	status := func(args ...string) string {
		t.Helper()
		root := newRootCommand()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(append([]string{"status", "--nats", b.URL(), "--token", b.Token()}, args...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := status(); got != "no runs\n" {
		t.Fatalf("of an empty broker: %q", got)
	}
	spec := schemas.RunSpec{
		Version: schemas.SpecVersion,
		Dataset: schemas.DatasetSpec{Digest: "d0", Format: "folder", Split: "train", Samples: 40},
		Order:   "global", Policy: "{}", Engine: "grey/1", Seed: 1,
		BatchSize: 10, Epochs: 2, StepsPerEpoch: 4, ChunkSamples: 5, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 8}},
	}
	run, err := runs.Open(t.Context(), js, "first", spec, runs.Options{Window: 3})
	if err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(js, worker.Options{
		Name: "w1", Workers: 2, Heartbeat: 20 * time.Millisecond,
		Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) { return grey{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.ServeRun(ctx, "first") }()
	defer func() { stop(); <-served }()
	stream, err := stream.Open(t.Context(), run, grey{}, stream.Options{Trainer: "t1"})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for range 2 {
		batch, err := stream.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		batch.Release()
	}
	if _, err := js.Publish(t.Context(), schemas.WorkerSubject("first", "liar"), []byte(`{"worker":"\u001b[2Jliar"}`)); err != nil {
		t.Fatal(err)
	}
	var s runStatus
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var all struct{ Runs []runStatus }
		if err := json.Unmarshal([]byte(status("first", "--json")), &all); err != nil || len(all.Runs) != 1 {
			t.Fatalf("%d runs, %v", len(all.Runs), err)
		}
		s = all.Runs[0]
		if s.Step == 2 && s.BufferedSteps == 3 && s.SamplesPerSecond > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after two steps: %+v", s)
		}
	}
	if s.Steps != 8 || s.WindowSteps != 3 || s.ETASeconds == nil || s.ChunkBytes == 0 || len(s.Trainers) != 1 || !s.Trainers[0].Live || len(s.Workers) != 2 {
		t.Errorf("%+v", s)
	}
	text := status()
	for _, want := range []string{"run first", "step 2/8", "buffered 3/3", "trainer t1", "worker w1", "?[2Jliar"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if strings.ContainsRune(text, '\x1b') {
		t.Errorf("a heartbeat reaches the terminal: %q", text)
	}
	root := newRootCommand()
	root.SetArgs([]string{"status", "none", "--nats", b.URL(), "--token", b.Token()})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("of a run that is not there: %v", err)
	}
}
