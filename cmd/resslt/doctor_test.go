package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/cmd/internal/cli"
	"resslt/schemas/errs"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// A CUDA shim without a GPU that computes is a failure, on one line with why and hint.
func TestDoctorFailsWithoutTheGPUItIsBuiltFor(t *testing.T) {
	for why, hint := range map[string]string{
		"no CUDA-capable device is detected; libtorch is built for CUDA 12.4, and there is no NVIDIA driver":                         "install NVIDIA's driver",
		"CUDA driver version is insufficient for CUDA runtime version; libtorch is built for CUDA 12.4, the driver is for CUDA 11.2": "update NVIDIA's driver",
		"no CUDA-capable device is detected; libtorch is built for CUDA 12.4, the driver is for CUDA 12.4":                           "CUDA_VISIBLE_DEVICES",
	} {
		fs := examineDevices(torch.BuildInfo{CUDABuild: true, CUDAWhy: why})
		var out bytes.Buffer
		err := printFindings(&out, fs, false)
		if !errors.Is(err, errs.ErrUnavailable) {
			t.Fatalf("got %v, want ErrUnavailable", err)
		}
		if line := cli.Line(err); !strings.Contains(line, why) || !strings.Contains(line, hint) || strings.Contains(line, "\n") {
			t.Errorf("says %q", line)
		}
	}
	if fs := examineDevices(torch.BuildInfo{}); len(fs) != 1 || fs[0].State != "ok" {
		t.Errorf("a CPU build gives %+v", fs)
	}
}

// What the doctor lets a device compute is right; where there is no such device it says so.
func TestDoctorTriesDevices(t *testing.T) {
	torchtest.Require(t)
	if err := tryDevice(torch.CPU); err != nil {
		t.Error(err)
	}
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	fs := examineDevices(torch.BuildInfo{CUDA: []torch.CUDADevice{{Name: "a GPU"}}, CUDAGraphs: true})
	if want := len(info.CUDA) > 0; want != (fs[0].State == "ok") || !strings.Contains(fs[0].Says, "a GPU") {
		t.Errorf("%+v with %d GPUs here", fs[0], len(info.CUDA))
	}
}

// TestDoctorWithCUDAShim runs against a real CUDA libtorch: RESSLT_CUDA_SHIM names the
// shim. With a GPU the doctor is content, without it fails.
func TestDoctorWithCUDAShim(t *testing.T) {
	shim := os.Getenv("RESSLT_CUDA_SHIM")
	if shim == "" {
		t.Skip("needs a shim built against a CUDA libtorch: set RESSLT_CUDA_SHIM")
	}
	c := command(t, "resslt", "doctor")
	c.Env = append(c.Env, torch.EnvShim+"="+shim) // instead of the shim that was built here
	o := c.run()
	switch {
	case strings.Contains(o.stdout, "cuda:0"):
		if o.code != 0 {
			t.Errorf("exit %d with a GPU: %s%s", o.code, o.stdout, o.stderr)
		}
	case o.code != 1 || !strings.Contains(o.stderr, "hint:") || !strings.Contains(o.stderr, "libtorch is built for CUDA"):
		t.Errorf("exit %d without a GPU: %s", o.code, o.stderr)
	}
}

// What several processes lack is said of the libtorch at hand: a wheel has no package to
// install for gloo, and NCCL is of use where there are GPUs alone.
func TestDoctorSaysWhatSeveralProcessesLack(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "own", "include", "gloo"), 0o755); err != nil {
		t.Fatal(err)
	}
	debian, wheel, own := "/usr/lib/x86_64-linux-gnu/libtorch_cpu.so", filepath.Join(dir, "torch/lib/libtorch_cpu.so"), filepath.Join(dir, "own/lib/libtorch_cpu.so")
	gpu := []torch.CUDADevice{{Name: "a GPU"}}
	for _, c := range []struct {
		name, library string
		have          []string
		gpus          []torch.CUDADevice
		state, says   string
		hint, never   string // in Hint; "" is none at all
	}{
		{"Debian's, all there", debian, []string{"gloo"}, nil, "ok", "by gloo", "", ""},
		{"Debian's without gloo", debian, nil, nil, "absent", "no gloo", "libgloo-dev", "wheel"},
		{"a wheel for CPUs", wheel, nil, nil, "absent", "no gloo", "PyTorch's wheels do not", "install gloo's headers"},
		{"a tree with gloo's headers", own, nil, nil, "absent", "no gloo", "run `make shim` again", "libgloo-dev"},
		{"a CUDA wheel without a GPU", wheel, []string{"nccl"}, nil, "ok", "on GPUs, by nccl; on CPUs one", "PyTorch's wheels do not", "install gloo's headers"},
		{"a CUDA wheel with a GPU", wheel, []string{"nccl"}, gpu, "ok", "by nccl", "", ""},
		{"a GPU without NCCL", wheel, nil, gpu, "absent", "no NCCL", "make shim", "gloo"},
		{"both", debian, []string{"gloo", "nccl"}, gpu, "ok", "by gloo and nccl", "", ""},
	} {
		f := groupsBy(c.have, torch.BuildInfo{Library: c.library, CUDA: c.gpus})
		if f.State != c.state || !strings.Contains(f.Says, c.says) || (c.hint == "") != (f.Hint == "") || !strings.Contains(f.Hint, c.hint) ||
			c.never != "" && strings.Contains(f.Hint, c.never) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

// The hint is in the JSON under its name, and under the one that it had before.
func TestDoctorKeepsTheOldKey(t *testing.T) {
	var out bytes.Buffer
	if err := printFindings(&out, []finding{{Name: "disk", State: "low", Says: "full", Hint: "free some space"}, {Name: "x", State: "ok"}}, true); err != nil {
		t.Fatal(err)
	}
	const want = `{"findings":[{"name":"disk","state":"low","says":"full","hint":"free some space","mend":"free some space"},{"name":"x","state":"ok","says":""}],"healthy":true}`
	if got := strings.TrimSpace(out.String()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
