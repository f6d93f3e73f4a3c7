package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/cmd/internal/pipeline/pipelinetest"
	"resslt/cmd/internal/serve/peer"
	"resslt/schemas"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// pictures is a folder of n pictures in two classes, as a data URI.
func pictures(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		class := filepath.Join(dir, "train", []string{"cats", "dogs"}[i%2])
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		m := image.NewRGBA(image.Rect(0, 0, 24, 20))
		for p := range m.Pix {
			m.Pix[p] = byte(p*(i+3) ^ p>>3)
		}
		m.Set(i%24, i%20, color.White)
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, fmt.Sprintf("%03d.png", i)), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "folder:" + dir
}

// options are those of a small run: 2 epochs of 5 steps of 8 pictures in two views.
func options(t testing.TB, change func(*Options)) Options {
	t.Helper()
	set := map[string]bool{}
	for _, flag := range []string{"policy", "image-size", "batch-size", "seed", "epochs"} {
		set[flag] = true
	}
	o := Options{
		Data: pictures(t, 43), Policy: "small", ImageSize: 16, BatchSize: 8, Seed: 3, Epochs: 2,
		Given: func(flag string) bool { return set[flag] },
		Set:   []string{"chunk_samples=3"}, Workers: 2, MaxShared: 1 << 30,
		Listen: "unix:" + filepath.Join(t.TempDir(), "s", "door"), Stdin: strings.NewReader(""), Stderr: io.Discard,
	}
	if change != nil {
		change(&o)
	}
	return o
}

// running is a server.
type running struct {
	Ready
	stop  context.CancelFunc
	ended chan error
	token string
	tls   *tls.Config // of its clients; nil for other addresses
}

// start starts a server, and ends it with the test.
func start(t testing.TB, o Options) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{stop: stop, ended: make(chan error, 1)}
	out, in := io.Pipe()
	o.Stdout = in
	failed := make(chan error, 1)
	go func() {
		err := Run(ctx, o)
		in.CloseWithError(io.ErrUnexpectedEOF)
		failed <- err
		r.ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-failed; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	if err := json.NewDecoder(out).Decode(&r.Ready); err != nil {
		t.Fatalf("no ready line: %v", err)
	}
	if r.TokenFile != "" {
		raw, err := os.ReadFile(r.TokenFile)
		if err != nil {
			t.Fatal(err)
		}
		r.token = strings.TrimSpace(string(raw))
	}
	return r
}

// drinker is a peer whose failures are the test's.
type drinker struct {
	*peer.Peer
	t       testing.TB
	refused *peer.Refused // nil: it was welcomed
}

// connect connects and says hello.
func connect(t testing.TB, r *running, change func(*peer.Hello)) *drinker {
	t.Helper()
	h := peer.Default("train")
	h.Token = r.token
	if change != nil {
		change(&h)
	}
	c := &drinker{t: t}
	var err error
	if c.Peer, err = peer.Connect(r.Listen, r.tls, h, patience); err != nil {
		if !errors.As(err, &c.refused) {
			t.Fatal(err)
		}
		return c
	}
	t.Cleanup(func() { _ = c.Close() }) // it may be closed
	return c
}

// next reads the next event, which must be no error.
func (c *drinker) next() peer.Event {
	c.t.Helper()
	e, err := c.Next()
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// want checks that what came is the batch of a step, rows lo to hi.
func (c *drinker) want(e peer.Event, truth []*schemas.Batch, step int64, lo, hi int) {
	c.t.Helper()
	if e.Message == nil {
		c.t.Fatalf("%+v in place of step %d", e, step)
	}
	b, err := c.Batch(e)
	if err != nil {
		c.t.Fatal(err)
	}
	if got, want := peer.Digest(b, 0, b.Size), peer.Digest(truth[step], lo, hi); b.Step != step || got != want || e.Slot >= 0 && e.Step != step {
		c.t.Fatalf("step %d with %s, want step %d with %s", b.Step, got, step, want)
	}
}

// done acknowledges a step and releases its slot.
func (c *drinker) done(step int64, e peer.Event) {
	c.t.Helper()
	if err := c.Done(step, e.Slot); err != nil {
		c.t.Fatal(err)
	}
}

// send sends what the server has to think about.
func (c *drinker) send(b []byte) {
	c.t.Helper()
	if _, err := c.Conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// calm are the run's batches, made without broker, server and client.
func calm(t testing.TB, o Options) []*schemas.Batch {
	t.Helper()
	p, err := MakePlan(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return pipelinetest.Calm(t, &schemas.RunInfo{Spec: p.Spec, DataURI: p.Data})
}

// fuzzSpec is a spec that a hello is checked against.
func fuzzSpec() schemas.RunSpec {
	return schemas.RunSpec{BatchSize: 8, Epochs: 2, StepsPerEpoch: 5}
}
