package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"resslt/cmd/internal/runbook"
	"resslt/cmd/internal/version"
	"resslt/train"
)

// A run begins with some lines, says how long a neighbour's speed makes it, and keeps who made it.
func TestStart(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	if err := os.Rename(finished(t), filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	start := func(name string, more ...string) (o outcome, out string) {
		t.Helper()
		out = filepath.Join(dir, name)
		if o = resslt(t, quick(out, more...)...); o.code != 0 {
			t.Fatalf("%s: exit %d: %s", name, o.code, o.stderr)
		}
		return o, out
	}
	o, out := start("b", "--timestamps")
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	if len(lines) > 15 || !strings.Contains(o.stderr, "images/s of "+filepath.Join(dir, "a")) {
		t.Errorf("%d lines: %s", len(lines), o.stderr)
	}
	for _, line := range lines {
		if !regexp.MustCompile(`^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ .`).MatchString(line) {
			t.Errorf("no time: %q", line)
		}
	}
	if o, _ := start("c", "--quiet"); o.stderr != "" {
		t.Errorf("it is not quiet: %s", o.stderr)
	}
	if o, _ := start("d", "--verbose"); !strings.Contains(o.stderr, "\nlinear_batch_size: 256\n") {
		t.Errorf("no recipe: %s", o.stderr)
	}

	sum := printed(t, o)
	c, _, err := train.LatestCheckpoint(train.CheckpointDir(out))
	if err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string]train.Provenance{"summary": sum.Provenance, "checkpoint": c.Provenance} {
		if p.Host == "" || p.Started == "" || !strings.Contains(p.Command, "run --recipe smoke") || !strings.HasPrefix(p.Build, version.Number()) {
			t.Errorf("the %s has %+v", what, p)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(string(page), sum.Host) || !strings.Contains(string(page), sum.Started) {
		t.Errorf("the page lacks the host or the time: %v", err)
	}

	// The runs are listed, sorted, filtered, compared.
	if o := resslt(t, "runs", "note", out, "--tag", "base", "--text", "it's mine"); o.code != 0 {
		t.Fatal(o.stderr)
	}
	o = resslt(t, "runs", dir, "--json", "--filter", "tag=base", "--sort", "loss")
	var runs []runbook.Run
	if err := json.Unmarshal([]byte(o.stdout), &runs); err != nil || len(runs) != 1 || runs[0].Folder != out || runs[0].State != runbook.Ended || runs[0].Note != "it's mine" {
		t.Errorf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if o := resslt(t, "runs", dir); o.code != 0 || strings.Count(o.stdout, "\n") != 5 {
		t.Errorf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	file := filepath.Join(dir, "compare.html")
	o = resslt(t, "compare", filepath.Join(dir, "a"), out, "--out", file)
	if o.code != 0 || !strings.Contains(o.stdout, "the same batches: loss +0.0000") || !exists(file) {
		t.Errorf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	for _, args := range [][]string{{"runs", dir, "--sort", "los"}, {"runs", dir, "--filter", "x"}, {"compare", out}, {"runs", "note", out}} {
		if o := resslt(t, args...); o.code != 2 {
			t.Errorf("%q: exit %d: %s", args, o.code, o.stderr)
		}
	}
	if o := resslt(t, "version", "--json"); o.code != 0 || !strings.Contains(o.stdout, `"libtorch":"`+sum.TorchVersion) {
		t.Errorf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	if o := resslt(t, "run", "--recpie", "x"); o.code != 2 || !strings.Contains(o.stderr, "did you mean --recipe?") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}

// The help is there at once: in little CPU time, which another's load does not lengthen as it does
// the clock's.
func TestHelpIsQuick(t *testing.T) {
	best := time.Hour
	for range 5 { // other programs' work displaces this one's caches: the best is its own
		c := command(t, "resslt", "--help")
		if o := c.run(); o.code != 0 {
			t.Fatal(o.stderr)
		}
		best = min(best, c.ProcessState.UserTime()+c.ProcessState.SystemTime())
	}
	// The bound, 50 ms, on a quiet core; it took 20 to 30.
	if best > 50*time.Millisecond {
		t.Errorf("--help took %v", best)
	}
}
