package farmsim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"resslt/cmd/internal/farmsim"
)

// The scaled-down form of what docs/scale.md measures: every worker comes to serve, the trainers'
// steps come, also after half of the workers are gone, and an idle farm asks little.
func TestSmallFarm(t *testing.T) {
	if testing.Short() {
		t.Skip("a farm of 50 workers takes ten seconds")
	}
	program := filepath.Join(t.TempDir(), "farmsim")
	if out, err := exec.Command("go", "build", "-o", program, "resslt/cmd/farmsim").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := t.TempDir()
	const workers, runs, trainers = 50, 10, 3
	r, err := farmsim.Run(t.Context(), farmsim.Options{
		Program: program, Dir: dir, Workers: workers, Procs: 2, Runs: runs, Trainers: trainers,
		Batch: 32, Cost: 20 * time.Millisecond, Step: 50 * time.Millisecond, Measure: time.Second, Gather: 30 * time.Second, Half: true,
		AckWait: time.Second, Log: func(line string) { t.Log(line) },
	})
	if err != nil {
		logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, l := range logs {
			raw, _ := os.ReadFile(l)
			t.Logf("%s: %.2000s", l, raw)
		}
		t.Fatal(err)
	}
	if r.Gathered < workers-5 || r.Busy.Chunks == 0 {
		t.Errorf("%d of %d workers made chunks; %+v", r.Gathered, workers, r.Busy)
	}
	// A request of each worker stands with each live run, and is renewed each second at
	// first; before, every slot asked every run 20 times a second.
	if most := float64(workers*trainers*4 + 200); r.Idle.Requests > most {
		t.Errorf("an idle farm makes %.0f requests a second, want at most %.0f: %v", r.Idle.Requests, most, r.Idle.Messages)
	}
	if r.Half == nil || r.Half.Killed != workers/2 || r.Half.After == 0 {
		t.Errorf("after the death of half: %+v", r.Half)
	}
}
