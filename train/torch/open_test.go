package torch_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// A process can load one shim only, so each case of Open runs in a process of
// its own: this test binary again, which TestMain turns into openMain.
const envOpen = "RESSLT_TEST_OPEN"

func TestMain(m *testing.M) {
	if path, ok := os.LookupEnv(envOpen); ok {
		openMain(path)
		return
	}
	os.Exit(m.Run())
}

// openMain opens path and prints the result, for openIn to read.
func openMain(path string) {
	err := torch.Open(path)
	kind := "ok"
	switch {
	case errors.Is(err, errs.ErrUnavailable):
		kind = "unavailable"
	case errors.Is(err, errs.ErrMismatch):
		kind = "mismatch"
	case err != nil:
		kind = "other"
	}
	fmt.Printf("%s|%v|%d|%d|%s\n", kind, err, torch.LiveTensors(), torch.NumThreads(), torch.Waiting())
}

// openIn runs openMain on path with RESSLT_TORCH set to env ("" unsets it).
func openIn(t *testing.T, path, env string) (kind, message string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envOpen+"="+path, torch.EnvShim+"="+env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	kind, rest, ok := strings.Cut(strings.TrimSpace(string(out)), "|")
	if !ok || strings.Contains(rest, "\n") {
		t.Fatalf("not one line: %q", out)
	}
	return kind, rest
}

func compileC(t *testing.T, source string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler, to make a library that is no shim")
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "lib.c"), filepath.Join(dir, "lib.so")
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(cc, "-shared", "-fPIC", "-o", out, src).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, text)
	}
	return out
}

func TestOpenRefusesWhatIsNoShim(t *testing.T) {
	torchtest.Require(t) // so that a build without cgo skips
	dir := t.TempDir()
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a library\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.so")
	abi := compileC(t, "static const struct { int abi, size; } table = {999, 4};\nconst void *resslt_torch_api(void) { return &table; }\n")
	other := compileC(t, "int nothing_of_ours;\n")

	cases := []struct {
		name, path, env string
		kind            string
		parts           []string
	}{
		{"missing file", missing, "", "unavailable", []string{missing + " (not there)", "make shim", "RESSLT_TORCH"}},
		{"missing file by environment", "", missing, "unavailable", []string{missing + " (not there)", "libtorch-dev"}},
		{"folder without one", dir, "", "unavailable", []string{filepath.Join(dir, torch.ShimName)}},
		{"text file", text, "", "unavailable", []string{text, "ELF"}},
		{"another ABI", abi, "", "mismatch", []string{abi, "ABI 999", "ABI 1", "make shim"}},
		{"another ABI by environment", "", abi, "mismatch", []string{"ABI 999"}},
		{"a library of something else", other, "", "mismatch", []string{"not resslt's shim"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kind, message := openIn(t, c.path, c.env)
			if kind != c.kind {
				t.Errorf("%s: %s, want %s", kind, message, c.kind)
			}
			for _, part := range c.parts {
				if !strings.Contains(message, part) {
					t.Errorf("%q does not say %q", message, part)
				}
			}
		})
	}
	// A search that finds nothing names all the places.
	t.Run("search", func(t *testing.T) {
		kind, message := openIn(t, "", "")
		if kind == "ok" {
			t.Skip("a shim is on the system loader's path")
		}
		exe := filepath.Dir(os.Args[0])
		for _, part := range []string{filepath.Join(exe, torch.ShimName), filepath.Join(filepath.Dir(exe), "lib", torch.ShimName)} {
			if kind != "unavailable" || !strings.Contains(message, part) {
				t.Errorf("%s: %q does not say %q", kind, message, part)
			}
		}
	})
}

func TestOpenByFileFolderAndEnvironment(t *testing.T) {
	torchtest.Require(t)
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	shim, err := filepath.Abs(info.Shim)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), torch.ShimName)
	if err := os.Symlink(shim, link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, env string }{
		"file":                  {shim, ""},
		"folder":                {filepath.Dir(link), ""},
		"environment, file":     {"", shim},
		"environment, folder":   {"", filepath.Dir(link)},
		"path over environment": {shim, "/nonexistent"},
	} {
		t.Run(name, func(t *testing.T) {
			if kind, message := openIn(t, c.path, c.env); kind != "ok" {
				t.Errorf("%s: %s", kind, message)
			}
		})
	}
	if err := torch.Open("/nonexistent"); err != nil {
		t.Errorf("Open after a success: %v", err)
	}
}

func TestInfo(t *testing.T) {
	torchtest.Require(t)
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", info)
	if info.ABI != 1 || info.Shim == "" || !strings.Contains(info.TorchVersion, ".") || info.Library == "" {
		t.Errorf("ABI %d, shim %q, version %q, library %q", info.ABI, info.Shim, info.TorchVersion, info.Library)
	}
	if info.BLAS == "" || info.CPU == "" || info.Config == "" {
		t.Errorf("BLAS %q, CPU %q, config %q", info.BLAS, info.CPU, info.Config)
	}
	if info.Threads < 1 || info.InteropThreads < 1 || info.Threads != torch.NumThreads() {
		t.Errorf("threads %d, inter-op %d, NumThreads %d", info.Threads, info.InteropThreads, torch.NumThreads())
	}
	if len(info.CUDA) > 0 && !info.CUDABuild {
		t.Errorf("CUDA devices %v in a build without CUDA", info.CUDA)
	}
	if len(info.CUDA) == 0 {
		err := torch.Do(func() error {
			torch.CUDAMemoryOf(torch.CUDA(0))
			return nil
		})
		if !errors.Is(err, errs.ErrUnsupported) {
			t.Errorf("CUDA memory without CUDA: %v", err)
		}
		err = torch.Do(func() error {
			torch.Zeros([]int64{1}, torch.Float32, torch.CUDA(0))
			return nil
		})
		if err == nil {
			t.Error("a CUDA tensor without CUDA")
		}
	}
}

func TestNumThreads(t *testing.T) {
	torchtest.Require(t)
	was := torch.NumThreads()
	for _, n := range []int{1, 2, was} {
		if err := torch.SetNumThreads(n); err != nil {
			t.Fatal(err)
		}
		if got := torch.NumThreads(); got != n {
			t.Errorf("%d threads, want %d", got, n)
		}
		info, err := torch.Info()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info.BLASPath, "openblas-pthread") && info.BLASThreads != n {
			t.Errorf("OpenBLAS has %d threads, want %d", info.BLASThreads, n)
		}
	}
	for _, n := range []int{0, -1, 1 << 20} {
		if err := torch.SetNumThreads(n); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("SetNumThreads(%d): %v", n, err)
		}
	}
}
