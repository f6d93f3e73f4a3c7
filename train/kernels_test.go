package train

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestGPUKernels: the shim's kernels, libtorch's by choice, by a fault, or for want of others.
func TestGPUKernels(t *testing.T) {
	for _, tc := range []struct {
		fused, own bool
		off, want  string
	}{
		{true, true, "", "own"},
		{false, false, "", "libtorch: fused=false"},
		{true, false, "attend lies 0.1 from libtorch's", "libtorch: attend lies 0.1 from libtorch's"},
		{true, false, "", "libtorch"},
	} {
		if got := gpuKernels(tc.fused, tc.own, tc.off); got != tc.want {
			t.Errorf("fused %v, own %v, %q: %q, want %q", tc.fused, tc.own, tc.off, got, tc.want)
		}
	}
	raw, err := json.Marshal(Summary{GPUKernels: (&Learner{}).GPUKernels()})
	if err != nil || strings.Contains(string(raw), "gpu_kernels") {
		t.Errorf("of a run on a CPU: %v, %s", err, raw)
	}
}
