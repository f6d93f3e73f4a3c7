package torch_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// TestWaiting starts a process that opens libtorch, and reads from OMP_DISPLAY_ENV's output
// how long OpenMP's threads spin. GNU's OpenMP, which Debian's and PyPI's libtorch use,
// prints 0 if they sleep at once.
func TestWaiting(t *testing.T) {
	torchtest.Require(t)
	for _, c := range []struct {
		name, set, spins, says string
	}{
		{"by default", "", "0", "passive"},
		{"the user's policy wins", "OMP_WAIT_POLICY=active", "30000000000", "OMP_WAIT_POLICY=active"},
		{"the user's spinning wins", "GOMP_SPINCOUNT=1234", "1234", "GOMP_SPINCOUNT=1234"},
		{"passive as the user's", "OMP_WAIT_POLICY=PASSIVE", "0", "passive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := exec.Command(os.Args[0]) // openMain
			p.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
				name, _, _ := strings.Cut(v, "=")
				return slices.Contains(torch.WaitVariables, name)
			})
			p.Env = append(p.Env, envOpen+"=", "OMP_DISPLAY_ENV=verbose", c.set)
			out, err := p.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			spins := ""
			for line := range strings.Lines(string(out)) {
				if name, value, ok := strings.Cut(line, "="); ok && strings.HasSuffix(strings.TrimSpace(name), "GOMP_SPINCOUNT") {
					spins = strings.Trim(strings.TrimSpace(value), "'") // quoted in some versions
				}
			}
			if spins == "" {
				t.Skipf("this libtorch's OpenMP is not GNU's: %s", out)
			}
			if spins != c.spins {
				t.Errorf("OpenMP spins %s times, want %s", spins, c.spins)
			}
			if want := "|" + c.says + "\n"; !strings.Contains(string(out), want) {
				t.Errorf("it printed no %q: %s", want, out)
			}
		})
	}
}
