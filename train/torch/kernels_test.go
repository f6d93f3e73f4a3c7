package torch_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// isaNames maps the instruction sets of *_MAX_CPU_ISA to their names in oneDNN's log.
var isaNames = map[string]string{
	"SSE41":       "Intel SSE4.1",
	"AVX2":        "Intel AVX2",
	"AVX512_CORE": "Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions",
}

// TestKernelsAreThoseAskedFor: libtorch, oneDNN and OpenBLAS use the kernels that the
// environment selects. Otherwise a run of the tests with another CPU's kernels would prove
// nothing if a variable had no effect. deploy/cpus.sh reads the line that it logs.
func TestKernelsAreThoseAskedFor(t *testing.T) {
	torchtest.Require(t)
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	isa := info.OneDNNISA
	if isa == "" {
		isa = loggedISA(t)
	}
	t.Logf("kernels: ATen %s, oneDNN %s, BLAS %s, %d threads", info.CPU, isa, strings.TrimSpace(info.BLAS+" "+info.BLASKernel), info.Threads)
	if want := os.Getenv("ATEN_CPU_CAPABILITY"); want != "" && !strings.EqualFold(info.CPU, want) {
		t.Errorf("ATEN_CPU_CAPABILITY=%s, and libtorch's kernels are %s", want, info.CPU)
	}
	for _, name := range []string{"DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA"} {
		// A version knows one name or both.
		if want := os.Getenv(name); want != "" && isa != want && isa != isaNames[want] {
			t.Errorf("%s=%s, and oneDNN's kernels are %s", name, want, isa)
		}
	}
	if want := os.Getenv("OPENBLAS_CORETYPE"); want != "" && info.BLASKernel != "" && !strings.EqualFold(info.BLASKernel, want) {
		t.Errorf("OPENBLAS_CORETYPE=%s, and OpenBLAS's kernels are for %s", want, info.BLASKernel)
	}
}

// loggedISA is the instruction set in oneDNN's log of a child process: a libtorch with a
// static oneDNN offers no other way.
func loggedISA(t *testing.T) string {
	t.Helper()
	const child = "RESSLT_TEST_ONEDNN_LOG"
	if os.Getenv(child) != "" {
		return ""
	}
	// stdbuf, because a Go program ends without flushing C's buffers.
	c := exec.Command("stdbuf", "-oL", os.Args[0], "-test.run", "^TestOneDNNSpeaks$")
	c.Env = append(os.Environ(), child+"=1", "ONEDNN_VERBOSE=1", "DNNL_VERBOSE=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if _, isa, ok := strings.Cut(line, "isa:"); ok && strings.Contains(line, "verbose") {
			return strings.TrimSpace(isa)
		}
	}
	return "unknown"
}

// TestOneDNNSpeaks is loggedISA's child: a convolution, which oneDNN logs.
func TestOneDNNSpeaks(t *testing.T) {
	torchtest.Do(t, func() {
		x := torch.Ones([]int64{4, 16, 4, 4}, torch.Float32, torch.CPU)
		torch.Conv2d(x, torch.Ones([]int64{16, 16, 3, 3}, torch.Float32, torch.CPU), nil, []int64{1, 1}, []int64{1, 1}, []int64{1, 1}, 1)
	})
}
