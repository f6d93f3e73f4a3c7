package main

import (
	"encoding/json"
	"math"
	"testing"
)

// The phases that bench step tells of are the step.
func TestBenchStepTellsPhases(t *testing.T) {
	needTorch(t)
	o := resslt(t, "bench", "step", "--width", "8", "--batch", "16", "--threads", "1", "--steps", "5", "--student-sizes", "32,24", "--json")
	var rep stepReport
	if err := json.Unmarshal([]byte(o.stdout), &rep); o.code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s", o.code, err, o.stderr)
	}
	sum := 0.0
	for _, ms := range rep.PhaseMS.Values() {
		sum += ms
	}
	if rep.Steps != 5 || len(rep.StudentSizes) != 2 || rep.Ungraphed == "" || rep.MSPerStep <= 0 || math.Abs(rep.ImagesPerSecond*rep.MSPerStep-16000) > 1 {
		t.Errorf("report %+v", rep)
	}
	if sum < 0.5*rep.MSPerStep { // mean against median: not more than a bound
		t.Errorf("phases take %.2f ms together, a step %.2f ms", sum, rep.MSPerStep)
	}
}
