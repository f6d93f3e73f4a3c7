package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"resslt/train"
)

// evaluates is the message with which a session begins to evaluate.
const evaluates = "evaluating the trained encoder"

// watched runs a training command with its health to be asked: it must be ready while it
// trains, and no longer when it evaluates. Where stop is set, it is interrupted then.
func watched(t *testing.T, stop bool, args ...string) outcome {
	t.Helper()
	c := command(t, "resslt", append(args, "--metrics", "127.0.0.1:0", "--log", "json")...)
	c.Stderr = nil
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var at string
	ready := func(when string, want int) {
		t.Helper()
		r, err := http.Get("http://" + at + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if text, err := io.ReadAll(r.Body); r.StatusCode != want || err != nil {
			t.Errorf("%s: /readyz answers %d, want %d: %s (%v)", when, r.StatusCode, want, text, err)
		}
	}
	asked := map[string]bool{}
	for lines := bufio.NewScanner(io.TeeReader(stderr, &c.errs)); lines.Scan(); {
		var l struct {
			Msg, Address string
			Step, Steps  int64
		}
		if json.Unmarshal(lines.Bytes(), &l) != nil || asked[l.Msg] {
			continue // the last line is not the log's
		}
		asked[l.Msg] = true
		switch l.Msg {
		case "metrics":
			at = l.Address
			ready("it begins", http.StatusServiceUnavailable)
		case "step":
			ready("it trains", http.StatusOK)
		case evaluates:
			ready("it evaluates", http.StatusServiceUnavailable)
			if stop {
				if err := c.Process.Signal(syscall.SIGINT); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if !asked["metrics"] || !asked[evaluates] {
		t.Errorf("it did not say where it is: %s", c.errs.String())
	}
	return c.end()
}

// A recording that was interrupted in its evaluation continues with that: it is trained and
// sealed, so that nothing can be made for it any more, nor need be. Ready is who trains,
// from a record, too.
func TestInterruptedInEvaluation(t *testing.T) {
	alsoUnderRace(t)
	needTorch(t)
	needData(t)
	url := natsServer(t)
	worker := start(t, command(t, "augmentd", "--nats", url, "--workers", "2"))
	dir := t.TempDir()
	session := func(out string, more ...string) []string {
		return append(append([]string{"train", "--nats", url}, quick(out, "--set", "eval=[knn]", "--set", "eval_images=300")[1:]...), more...)
	}
	o := watched(t, true, session(dir, "--run", "first", "--record", "stream")...)
	if o.code != 130 || !strings.Contains(o.stderr, "training is done and saved") {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	if err := worker.Process.Kill(); err != nil { // nobody needs it any more
		t.Fatal(err)
	}
	was, err := train.ReadSummary(filepath.Join(dir, "summary.json"))
	if err != nil || was.KNNTop1 != nil || was.ImagesPerSecond == 0 {
		t.Fatalf("%+v, %v", was, err)
	}
	for _, more := range [][]string{{"--record", "stream"}, {"--nats", "nats://127.0.0.1:1"}} { // with the broker, and without
		got := summaryOf(t, session(dir, append(more, "--run", "first", "--resume")...)...)
		sameWeights(t, "resumed", got, was)
		if got.KNNTop1 == nil || got.ImagesPerSecond != was.ImagesPerSecond || got.ChunksPublished != was.ChunksPublished || got.TrainSeconds != was.TrainSeconds {
			t.Errorf("resumed: %+v\nwas %+v", got, was)
		}
	}
	if o := watched(t, false, session(t.TempDir(), "--replay", "stream:first")...); o.code != 0 {
		t.Errorf("replay: exit %d: %s", o.code, o.stderr)
	} else {
		sameWeights(t, "replay", printed(t, o), was)
	}
}
