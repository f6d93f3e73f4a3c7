package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/train"
)

// note is a subscriber to everything that notes what it is told.
func note(name string, told *[]string) *subscriber {
	tell := func(what string) { *told = append(*told, name+" "+what) }
	return &subscriber{
		started: func(context.Context) error { tell("started"); return nil },
		step:    func(p train.Progress) { tell(fmt.Sprint("step ", p.Step)) },
		notice:  func(text string) { tell("notice " + text) },
		saving:  func() error { tell("saving"); return nil },
		encoder: func(train.EncoderSnapshot) error { tell("encoder"); return nil },
		failed:  func() { tell("failed") }, ended: func() { tell("ended") },
		close:    func() error { tell("close"); return errors.New(name) },
		finished: func(context.Context) { tell("finished") },
	}
}

func TestSubscribersAreToldInOrder(t *testing.T) {
	var told []string
	ss := subscribers{note("a", &told), {}, note("b", &told)}
	if err := ss.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := ss.options(train.Options{})
	o.Observe(train.Progress{Step: 3})
	o.Notice("n")
	if err := errors.Join(o.Saving(), o.Snapshot(train.EncoderSnapshot{})); err != nil {
		t.Fatal(err)
	}
	ss.failed()
	ss.ended()
	if err := ss.close(); err == nil || err.Error() != "b\na" {
		t.Errorf("close: %v", err)
	}
	ss.finished(t.Context())
	want := []string{
		"a started", "b started", "a step 3", "b step 3", "a notice n", "b notice n", "a saving", "b saving", "a encoder", "b encoder",
		"a failed", "b failed", "b ended", "a ended", "b close", "a close", "a finished", "b finished",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
}

// An encoder costs a copy, and a kept batch a file: who does not ask is given none.
func TestSubscribersAskForWhatTheyGet(t *testing.T) {
	if o := (subscribers{{}, {}}).options(train.Options{}); o.Snapshot != nil || o.Keep != nil {
		t.Error("nobody asked for encoders or batches")
	}
	kept := &subscriber{diverged: func(*schemas.Batch) (string, error) { return "file", nil }}
	o := subscribers{{}, kept}.options(train.Options{})
	if file, err := o.Keep(nil); file != "file" || err != nil {
		t.Errorf("kept in %q, %v", file, err)
	}
	// Of several ranks each has rows of a batch alone, which are not what to keep.
	if o := (&group{}).options(o); o.Keep == nil {
		t.Error("a process by itself keeps no batch")
	}
}

func TestSubscribersStopAtAnError(t *testing.T) {
	var told []string
	bad := errors.New("no room")
	ss := subscribers{note("a", &told), {started: func(context.Context) error { return bad }}, note("b", &told)}
	if err := ss.start(t.Context()); !errors.Is(err, bad) || !slices.Equal(told, []string{"a started"}) {
		t.Errorf("%v after %q", err, told)
	}
}

type counter struct{ chunks, steps int }

func (c *counter) Chunk(context.Context, *wire.Chunk) error { c.chunks++; return nil }
func (c *counter) Step(int64) error                         { c.steps++; return nil }

// A stream's chunks wait until the run's files are in place; a stream that is closed before
// does not wait for ever.
func TestGate(t *testing.T) {
	var c counter
	g := newGate(subscribers{{}, {batches: &c}}.recorder())
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := g.Chunk(ctx, nil); !errors.Is(err, context.Canceled) || c.chunks != 0 {
		t.Errorf("a closed gate: %v, %d chunks", err, c.chunks)
	}
	done := make(chan error, 1)
	go func() { done <- g.Chunk(t.Context(), nil) }()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	g.open()
	if err := errors.Join(<-done, g.Chunk(t.Context(), nil), g.Step(0)); err != nil || c != (counter{2, 1}) {
		t.Errorf("%v, %+v", err, c)
	}
}
