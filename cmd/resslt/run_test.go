package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A worker elsewhere joins `resslt run` by the line that it prints, helps, and leaves the
// weights as they are; one without the token is sent away, and an address that other
// machines reach is not listened on without one.
func TestRunListens(t *testing.T) {
	alsoUnderRace(t)
	needTorch(t)
	needData(t)
	more := []string{"--set", "epochs=10", "--set", "batch_size=16", "--workers", "1"} // more steps than a window has
	whole := summaryOf(t, quick(t.TempDir(), more...)...)

	c := command(t, "resslt", quick(t.TempDir(), append(more, "--listen", "127.0.0.1:0")...)...)
	c.Stderr = nil
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, c)
	lines := bufio.NewScanner(io.TeeReader(stderr, &c.errs))
	var join []string
	for join == nil && lines.Scan() {
		if _, call, ok := strings.Cut(lines.Text(), "the broker listens: "); ok {
			join = strings.Fields(call)
		}
	}
	if len(join) != 5 || join[0] != "augmentd" {
		t.Fatalf("it does not say how to join it: %s", c.errs.String())
	}
	stranger := command(t, "augmentd", append(join[1:3:3], "--token", "guess")...)
	if o := stranger.run(); o.code == 0 || !strings.Contains(o.stderr, "denied") {
		t.Errorf("a stranger: exit %d: %s", o.code, o.stderr)
	}
	worker := command(t, "augmentd", append(join[1:], "--workers", "2", "--log", "json")...)
	start(t, worker)
	for lines.Scan() { // to its end
	}
	o := c.end()
	if o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	sameWeights(t, "with a worker elsewhere", printed(t, o), whole)
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Error(err)
	}
	var last struct{ Chunks int64 }
	log := strings.Split(strings.TrimSpace(worker.errs.String()), "\n")
	if err := json.Unmarshal([]byte(log[len(log)-1]), &last); err != nil || last.Chunks == 0 {
		t.Errorf("the worker made nothing: %v: %s", err, worker.errs.String())
	}

	if o := resslt(t, quick(t.TempDir(), "--listen", "0.0.0.0:0")...); o.code != 2 || !strings.Contains(o.stderr, "NATS_TOKEN") {
		t.Errorf("an open address without a token: exit %d: %s", o.code, o.stderr)
	}
}

// A dry run prints the plan with the resolved recipe, and starts nothing: neither folder nor
// broker is touched.
func TestDryRun(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	for _, verb := range [][]string{{"run"}, {"train", "--nats", "nats://127.0.0.1:1"}} {
		out := filepath.Join(t.TempDir(), "out")
		o := resslt(t, append(append(verb, quick(out, "--dry-run")[1:]...), "--set", "seed=7")...)
		if o.code != 0 || !strings.Contains(o.stdout, "20 steps of 64 images") || !strings.Contains(o.stdout, "\nseed: 7\n") {
			t.Errorf("%s: exit %d: %s%s", verb[0], o.code, o.stdout, o.stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s made the folder", verb[0])
		}
	}
}
