package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
)

// tell publishes a chunk of a run as soon as there is one, with another pixel than it has.
func tell(t *testing.T, url, name, worker string) {
	t.Helper()
	nc, js, err := broker.Connect(t.Context(), broker.ConnectOptions{URL: url, Name: worker})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var run *runs.Run
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if run, err = runs.Lookup(t.Context(), js, name); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	src, err := pipeline.OpenSource(t.Context(), &run.Info, nil, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	maker, err := src.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	enc, c := wire.NewEncoder(run.Spec()), wire.NewChunk(run.Spec())
	if err := produce.Chunk(t.Context(), run.Spec(), src.Order(), maker, enc, 0, 0, c); err != nil {
		t.Fatal(err)
	}
	c.Digest, c.Pixels[0][0] = "", c.Pixels[0][0]^1
	if err := run.Store(t.Context(), enc, c, worker); err != nil {
		t.Fatal(err)
	}
}

// What an audit refuses stays refused, by whatever start but one that starts over.
func TestAuditRefusesForGood(t *testing.T) {
	needTorch(t)
	needData(t)
	url, dir := natsServer(t), t.TempDir()
	args := append([]string{"train", "--nats", url, "--run", "farm"}, quick(dir)[1:]...)
	c := start(t, command(t, "resslt", append(args, "--audit", "1")...))
	tell(t, url, "farm", "crooked-box")
	wantRefusal := func(what string, o outcome) {
		t.Helper()
		for _, says := range []string{"determinism", "chunk 0 of step 0", "from crooked-box", "--fresh"} {
			if o.code != 1 || !strings.Contains(o.stderr, says) {
				t.Fatalf("%s: exit %d, does not say %q: %s", what, o.code, says, o.stderr)
			}
		}
	}
	wantRefusal("the run", c.end())
	start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
	wantRefusal("resumed", resslt(t, append(args, "--resume")...))
	wantRefusal("resumed by run", resslt(t, quick(dir, "--resume")...))
	wantRefusal("started again, the broker as it was", resslt(t, args...))
	wantRefusal("resumed on a fresh broker", resslt(t, append(args, "--resume", "--fresh")...))
	sameWeights(t, "started over", summaryOf(t, append(args, "--fresh")...), undisturbed(t))
	if _, err := os.Stat(filepath.Join(dir, "audit-refused.txt")); err == nil {
		t.Error("it is refused still")
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "previous-1", "audit-refused.txt")); err != nil || bytes.Count(raw, []byte("\n")) != 1 {
		t.Errorf("what was refused: %q, %v", raw, err)
	}
}
