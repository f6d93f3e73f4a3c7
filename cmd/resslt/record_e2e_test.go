package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"resslt/batcher/record"
	"resslt/cmd/internal/session"
)

// again is quick as a replay of the source.
func again(t *testing.T, source string, more ...string) []string {
	t.Helper()
	return append(append([]string{"train", "--replay", source}, quick(t.TempDir())[1:]...), more...)
}

// verified is the ledger of a source, which must be whole and without problems.
func verified(t *testing.T, source string, more ...string) record.Report {
	t.Helper()
	o := resslt(t, append([]string{"record", "verify", source, "--complete", "--json"}, more...)...)
	if o.code != 0 {
		t.Fatalf("record verify %s: exit %d: %s%s", source, o.code, o.stdout, o.stderr)
	}
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	var r record.Report
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("%v: %s", err, o.stdout)
	}
	if r.StepsWhole != 20 || r.EpochsWhole != 2 || r.Visits != 20*64 || r.Tail != smallTrain-10*64 {
		t.Errorf("%s: %+v", source, r)
	}
	return r
}

// A farm's run that was recorded gives the same weights by all three replays: what the broker
// keeps, exported files, and the recipe log. An import of the files is a fourth. A source that
// was read can be read again: each is.
func TestReplayGivesTheSameWeights(t *testing.T) {
	needTorch(t)
	needData(t)
	url := natsServer(t)
	worker := start(t, command(t, "augmentd", "--nats", url, "--workers", "2"))
	dir, files := t.TempDir(), filepath.Join(t.TempDir(), "files")
	want := summaryOf(t, append([]string{"train", "--nats", url, "--run", "first", "--record", "stream"}, quick(dir)[1:]...)...)
	// A log may be made again by the farm, too.
	sameWeights(t, "log by the farm", summaryOf(t, again(t, "log:"+dir, "--nats", url, "--run", "third")...), want)
	if err := worker.Process.Kill(); err != nil { // the other replays need none
		t.Fatal(err)
	}
	verified(t, dir)
	if r := verified(t, "stream:first", "--nats", url); r.PixelChunks != 20 {
		t.Errorf("the broker keeps %d chunks", r.PixelChunks)
	}
	if o := resslt(t, "record", "export", "stream:first", "--nats", url, "--out", files); o.code != 0 {
		t.Fatalf("export: %s", o.stderr)
	}
	if o := resslt(t, "record", "import", files, "--run", "second", "--nats", url); o.code != 0 {
		t.Fatalf("import: %s", o.stderr)
	}
	if o := resslt(t, "record", "ls", "--nats", url); strings.Count(o.stdout, "0-19") != 2 || strings.Count(o.stdout, "true") != 2 {
		t.Errorf("record ls: %s%s", o.stdout, o.stderr)
	}
	for range 2 { // the log was read above, the files are read below
		sameWeights(t, "stream", summaryOf(t, again(t, "stream:first", "--nats", url)...), want)
	}
	// Neither broker nor data set: the recipe names a folder that is not there.
	sameWeights(t, "files", summaryOf(t, again(t, "pixels:"+files, "--data", "folder:/not/there")...), want)
	sameWeights(t, "log", summaryOf(t, again(t, "log:"+dir)...), want)
	sameWeights(t, "imported stream", summaryOf(t, again(t, "stream:second", "--nats", url)...), want)

	for _, source := range []string{"stream:first", "pixels:" + files} {
		if o := resslt(t, again(t, source, "--nats", url, "--audit", "5")...); o.code != 2 || !strings.Contains(o.stderr, "record verify --remake") {
			t.Errorf("audit of %s: exit %d: %s", source, o.code, o.stderr)
		}
	}

	// A replay may be killed and resumed, and is recorded itself.
	out := t.TempDir()
	replay := append([]string{"train", "--replay", "pixels:" + files}, quick(out)[1:]...)
	if o := interrupt(t, out, 12, syscall.SIGKILL, replay...); o.code == 0 {
		t.Fatalf("killed, and exit 0: %s", o.stderr)
	}
	sameWeights(t, "resumed replay", summaryOf(t, append(replay, "--resume")...), want)
	verified(t, out, "--remake", "5")
}

// The batch of a step whose loss is no number is kept, and can be looked at.
func TestDivergedBatchIsKept(t *testing.T) {
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	o := resslt(t, quick(dir, "--set", "base_lr=1e30")...)
	kept, err := filepath.Glob(session.KeptBatch(dir, "*"))
	if err != nil || o.code != 1 || len(kept) != 1 || !strings.Contains(o.stderr, "diverged") || !strings.Contains(o.stderr, kept[0]) {
		t.Fatalf("exit %d, kept %q, %v: %s", o.code, kept, err, o.stderr)
	}
	var step string
	if _, after, ok := strings.Cut(filepath.Base(kept[0]), "diverged-step-"); ok {
		step = strings.TrimSuffix(after, ".arrow")
	}
	sheet := filepath.Join(t.TempDir(), "sheet.png")
	if o := resslt(t, "inspect", "--step", step, "--record", dir, "--out", sheet); o.code != 0 || !strings.Contains(o.stderr, "as it was recorded") {
		t.Errorf("inspect --step %s: exit %d: %s", step, o.code, o.stderr)
	}
}

// The ledger and the replays name what is amiss.
func TestRecordRefuses(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	summaryOf(t, quick(dir, "--record", "pixels:4-9")...)
	verified(t, dir)
	sheet := func(source string) string {
		t.Helper()
		out := filepath.Join(t.TempDir(), "sheet.png")
		if o := resslt(t, "inspect", "--step", "5", "--slot", "62", "--record", source, "--out", out); o.code != 0 {
			t.Fatalf("inspect: %s", o.stderr)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if sheet(dir) != sheet("log:"+dir) {
		t.Error("a step that is made again from the log looks unlike its recorded pixels")
	}
	small := filepath.Join(t.TempDir(), "images", "a")
	if err := os.MkdirAll(small, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../../augment/testdata/parity/files/gray.png")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(small, "x.png"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{again(t, "tape:x"), 2, "stream:RUN"},
		{again(t, "pixels:"+t.TempDir()), 1, "holds no record"},
		{again(t, "pixels:"+dir), 1, "lacks the pixels of step 0"},
		{again(t, dir, "--set", "batch_size=32"), 1, "batch_size"},
		{again(t, dir, "--set", "seed=7"), 1, "seed"},
		{again(t, "log:"+dir, "--data", "folder:"+filepath.Dir(small)), 1, "digest"},
		{quick(t.TempDir(), "--record", "stream"), 2, "--record pixels"},
		{quick(t.TempDir(), "--record", "pixels:9-4"), 2, "0 to 19"},
		{[]string{"record", "verify", dir, "--steps", "4-99"}, 0, ""},
		{[]string{"record", "export", dir}, 2, "--out"},
		{[]string{"record", "export", dir, "--out", t.TempDir(), "--steps", "8-11"}, 1, "chunk 0 of step 10"},
		{[]string{"record", "import", t.TempDir(), "--run", "x"}, 1, "holds no record"},
	} {
		o := resslt(t, tc.args...)
		if o.code != tc.code || !strings.Contains(o.stderr, tc.says) {
			t.Errorf("%v: exit %d, want %d and %q: %s", tc.args, o.code, tc.code, tc.says, o.stderr)
		}
	}
	// A log that has lost its tail is not whole.
	if err := os.Truncate(filepath.Join(dir, record.Subfolder, "log-000000.arrow"), 3000); err != nil {
		t.Fatal(err)
	}
	if o := resslt(t, "record", "verify", dir); o.code != 1 || !strings.Contains(o.stderr, "log-000000.arrow") {
		t.Errorf("a cut log: exit %d: %s", o.code, o.stderr)
	}
}
