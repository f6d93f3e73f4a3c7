package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/cmd/internal/online"
	"resslt/train"
)

// TestTracked: a run with trackers, of which one is away, has the weights of one without, and
// goes on in the same W&B folder when it is resumed.
func TestTracked(t *testing.T) {
	needTorch(t)
	needData(t)
	plain := undisturbed(t)
	dir := t.TempDir()
	tracked := func(more ...string) []string {
		return quick(dir, append([]string{"--track", "wandb:mine", "--track", "mlflow:http://127.0.0.1:1"}, more...)...)
	}
	interrupt(t, dir, 13, syscall.SIGKILL, tracked()...)
	o := resslt(t, tracked("--resume")...)
	if o.code != 0 {
		t.Fatalf("exit %d\n%s", o.code, o.stderr)
	}
	sameWeights(t, "tracked", printed(t, o), plain)
	if n := strings.Count(o.stderr, "does not wait for it"); n != 1 || strings.Count(o.stderr, "lacks the end") != 1 {
		t.Errorf("%d warnings of the tracker that is away:\n%s", n, o.stderr)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "wandb", "offline-run-*", "run-*.wandb")); len(files) != 1 {
		t.Errorf("W&B files %v", files)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "wandb", "offline-run-*", "files", "report.html")); len(kept) != 1 {
		t.Errorf("reports %v", kept)
	}
	if o := resslt(t, quick(t.TempDir(), "--track", "neptune")...); o.code != 2 || !strings.Contains(o.stderr, "--track neptune") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}

// mlflowServer starts MLflow's own server.
func mlflowServer(t *testing.T, python string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr)
	l.Close()
	dir := t.TempDir()
	c := exec.Command(python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", fmt.Sprint(at.Port), "--workers", "1",
		"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "mlflow.db"), "--artifacts-destination", filepath.Join(dir, "artifacts"))
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(python)+":"+os.Getenv("PATH"))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		c.Wait()
	})
	url := "http://" + at.String()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if r, err := http.Get(url + "/health"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return url
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("MLflow's server did not start:\n%s", said.String())
		}
	}
}

// trackedRun is what testdata/trackers.py reads of a run.
type trackedRun struct {
	Status  string            `json:"status"`
	Project string            `json:"project"`
	Name    string            `json:"name"`
	Params  map[string]string `json:"params"`
	Tags    map[string]string `json:"tags"`
	Loss    [][2]float64      `json:"loss"` // step, value
	KNN     [][2]float64      `json:"knn"`
	Linear  [][2]float64      `json:"linear"`
	Summary map[string]any    `json:"summary"`
	Files   []string          `json:"files"`
	Runs    int               `json:"runs"`
}

// TestTrackersRead: MLflow's server and W&B's own reader have a run that was killed and resumed
// as metrics.jsonl has it.
func TestTrackersRead(t *testing.T) {
	python := os.Getenv("RESSLT_TRACKERS_PYTHON")
	if python == "" {
		t.Skip("RESSLT_TRACKERS_PYTHON names no Python with mlflow and wandb: make trackers")
	}
	needTorch(t)
	needData(t)
	url := mlflowServer(t, python)
	dir := filepath.Join(t.TempDir(), "tracked")
	args := func(more ...string) []string {
		return quick(dir, append([]string{
			"--track", "mlflow:" + url, "--track", "wandb:mine", "--set", "knn_every=1", "--set", "linear_every=2", "--set", "linear_lr=0.1",
		}, more...)...)
	}
	interrupt(t, dir, 13, syscall.SIGTERM, args()...)
	want := summaryOf(t, args("--resume")...)
	lines := linesOf(t, dir)
	scores, err := online.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var knn, linear [][2]float64 // the first epoch's may have been interrupted; the last one's is waited for
	for _, s := range scores {
		if v, ok := s.KNN["k20"]; ok {
			knn = append(knn, [2]float64{float64(s.Step), v})
		}
		if s.LinearTop1 != nil {
			linear = append(linear, [2]float64{float64(s.Step), *s.LinearTop1})
		}
	}
	if len(knn) == 0 || knn[len(knn)-1][0] != 20 || len(linear) != 1 || linear[0][0] != 20 {
		t.Fatalf("the run has kNN %v, linear %v", knn, linear)
	}
	for _, kind := range []string{"mlflow", "wandb"} {
		c := exec.Command(python, "testdata/trackers.py", kind, url, dir)
		c.Stderr = os.Stderr
		raw, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		var got trackedRun
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%s: %v in %s", kind, err, raw)
		}
		if got.Runs != 1 || got.Status != "finished" || got.Name != "tracked" {
			t.Errorf("%s: %d runs, %s, named %s", kind, got.Runs, got.Status, got.Name)
		}
		if got.Params["tau_t"] != "0.04" || got.Params["backbone"] != "resnet18" || got.Params["knn_every"] != "1" {
			t.Errorf("%s has params %v", kind, got.Params)
		}
		if len(got.Loss) != len(lines) {
			t.Fatalf("%s has %d losses of %d", kind, len(got.Loss), len(lines))
		}
		for i, l := range lines {
			if got.Loss[i] != [2]float64{float64(l.Step), l.Loss} {
				t.Errorf("%s: loss %v, want %v of step %d", kind, got.Loss[i], l.Loss, l.Step)
			}
		}
		if !slices.Equal(got.KNN, knn) || !slices.Equal(got.Linear, linear) {
			t.Errorf("%s has kNN %v, linear %v, want %v and %v", kind, got.KNN, got.Linear, knn, linear)
		}
		if got.Summary["student_sha256"] != want.StudentSHA256 || got.Summary["final_loss"] != want.FinalLoss {
			t.Errorf("%s has the summary %v", kind, got.Summary)
		}
		if !slices.Contains(got.Files, "report.html") || !slices.Contains(got.Files, "summary.json") {
			t.Errorf("%s has the files %v", kind, got.Files)
		}
		if commit := got.Tags["commit"]; want.Build != "" && strings.Contains(want.Build, "unknown") != (commit == "") {
			t.Errorf("%s has the commit %q of %s", kind, commit, want.Build)
		}
	}
}

func linesOf(t *testing.T, dir string) []train.MetricsLine {
	t.Helper()
	lines, err := train.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
