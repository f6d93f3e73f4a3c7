package torch_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"resslt/schemas/racetest"
)

// TestWinogradOnARM builds the convolution's loops for arm64 and runs them in QEMU: NEON
// gives the same bits as this machine's instruction sets.
func TestWinogradOnARM(t *testing.T) {
	racetest.SkipNumbers(t)
	const compiler, emulator = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
	if runtime.GOARCH != "amd64" {
		t.Skip("the other side is amd64")
	}
	for _, tool := range []string{compiler, emulator, "g++"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (`deploy/setup.sh cross`)", tool)
		}
	}
	build := func(compiler string, flags ...string) string {
		out := filepath.Join(t.TempDir(), "winograd")
		args := append([]string{"-std=c++17", "-O2", "-Wall", "-Wextra", "-Itestdata/winograd", "testdata/winograd/main.cc", "-o", out}, flags...)
		if said, err := exec.Command(compiler, args...).CombinedOutput(); err != nil || len(said) > 0 {
			t.Fatalf("%s: %v\n%s", compiler, err, said)
		}
		return out
	}
	run := func(command ...string) string {
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		return string(out)
	}
	want := run(emulator, build(compiler, "-static"), "neon")
	if len(want) < 100 {
		t.Fatalf("NEON gave %q", want)
	}
	here, compared := build("g++"), 0
	for _, tier := range []string{"avx512", "avx2"} {
		got := run(here, tier)
		if got == "not here\n" {
			t.Logf("this CPU has no %s", tier)
			continue
		}
		compared++
		if got != want {
			t.Errorf("%s and NEON give other bits:\n%s\n%s", tier, got, want)
		}
	}
	if compared == 0 {
		t.Skip("this CPU has neither AVX2 nor AVX-512")
	}
}
