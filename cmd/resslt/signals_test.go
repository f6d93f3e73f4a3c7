package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopSignals ask for an orderly end.
var stopSignals = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// TestSignals: however a run is told to stop, and told again within a moment, it has written a
// checkpoint, and the run that continues from it has the weights of the one that nobody
// stopped. Package cli has every pair of signals, at every pause.
func TestSignals(t *testing.T) {
	needTorch(t)
	needData(t)
	whole := undisturbed(t)
	for i, pause := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 500 * time.Millisecond} {
		first, second := stopSignals[i], stopSignals[(i+1)%len(stopSignals)]
		t.Run(fmt.Sprintf("%v, %v after %v", first, second, pause), func(t *testing.T) {
			dir := t.TempDir()
			c := start(t, command(t, "resslt", quick(dir)...))
			afterSteps(t, dir, 3+i)
			signalled(t, c, pause, first, second)
			o := c.end()
			if o.code != 130 || !strings.Contains(o.stderr, "checkpoint written") {
				t.Fatalf("exit %d, want 130 after a checkpoint: %s", o.code, o.stderr)
			}
			if saved, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*.json")); err != nil || len(saved) == 0 {
				t.Fatalf("checkpoints: %v, %v", saved, err)
			}
			sameWeights(t, "resumed", summaryOf(t, quick(dir, "--resume")...), whole)
		})
	}
}

// signalled sends both signals; the program may end before the second.
func signalled(t *testing.T, c *program, pause time.Duration, first, second syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(first); err != nil {
		t.Fatal(err)
	}
	time.Sleep(pause)
	_ = c.Process.Signal(second)
}

// Ctrl-C in a terminal and torchrun's SIGTERM after it come to every rank.
func TestSignalsToRanks(t *testing.T) {
	alsoUnderRace(t)
	needGloo(t)
	needData(t)
	recorded := t.TempDir()
	recipe := []string{"--set", "threads=1"}
	whole := summaryOf(t, quick(recorded, append(recipe, "--record", "pixels")...)...)
	session := func(out string, more ...string) []string {
		return append(append([]string{"train", "--replay", "pixels:" + recorded}, quick(out, recipe...)[1:]...), more...)
	}
	want := together(t, session(t.TempDir())...)
	if want.Steps != whole.Steps {
		t.Fatalf("%d steps, want %d", want.Steps, whole.Steps)
	}
	dir := t.TempDir()
	ranks := startRanks(t, session(dir)...)
	afterSteps(t, dir, 4)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for _, r := range ranks {
			_ = r.Process.Signal(sig) // it may be gone
		}
		time.Sleep(20 * time.Millisecond)
	}
	for i, r := range ranks {
		if o := r.end(); o.code != 130 {
			t.Errorf("rank %d: exit %d: %s", i, o.code, o.stderr)
		}
	}
	sameWeights(t, "resumed", together(t, session(dir, "--resume")...), want)
}
