package torchtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"resslt/train/torch"
)

// EnvRequire is set to 1 to make a missing shim a failure: CI sets it, so that a
// broken build of the shim cannot pass as skipped tests.
const EnvRequire = "RESSLT_REQUIRE_TORCH"

// EnvThreads is the number of threads that an op may use in tests; if unset, libtorch
// chooses.
const EnvThreads = "RESSLT_TEST_THREADS"

// threads applies EnvThreads once. A test that needs another number sets it itself.
var threads = sync.OnceValue(func() error {
	v := os.Getenv(EnvThreads)
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return fmt.Errorf("%s: %w", EnvThreads, err)
	}
	return torch.SetNumThreads(n)
})

// RestoreThreads restores the number of threads when the test ends, for a test that
// changes it.
func RestoreThreads(tb testing.TB) {
	tb.Helper()
	was := torch.NumThreads()
	tb.Cleanup(func() {
		if err := torch.SetNumThreads(was); err != nil {
			tb.Error(err)
		}
	})
}

// Require opens the shim, or skips the test and says why. If torch.Open finds none,
// it looks in bin/ at the module's root, where `make shim` puts it.
func Require(tb testing.TB) {
	tb.Helper()
	err := open()
	if err == nil {
		if err := threads(); err != nil {
			tb.Fatal(err)
		}
		return
	}
	if os.Getenv(EnvRequire) == "1" {
		tb.Fatalf("%s=1 and no libtorch: %v", EnvRequire, err)
	}
	tb.Skipf("needs libtorch: %v", err)
}

// open opens the shim that torch.Open finds, or the one in bin/.
func open() error {
	err := torch.Available()
	if err == nil {
		return nil
	}
	if root := ModuleRoot(); root != "" {
		built := filepath.Join(root, "bin", torch.ShimName)
		if _, statErr := os.Stat(built); statErr == nil {
			err = torch.Open(built)
		}
	}
	return err
}

// Do runs fn in torch.Do, after Require. It fails the test on an error, or if the
// number of live tensors has changed.
func Do(tb testing.TB, fn func()) {
	tb.Helper()
	Require(tb)
	before := torch.LiveTensors()
	if err := torch.Do(func() error { fn(); return nil }); err != nil {
		tb.Fatal(err)
	}
	if after := torch.LiveTensors(); after != before {
		tb.Errorf("live tensors: %d before, %d after", before, after)
	}
}

// BFloat16 turns oneDNN off until the test ends if its bf16 convolutions do not run:
// libtorch 1.13 chooses oneDNN by the processor, even if the environment restricts
// oneDNN to a lower instruction set. The test then uses libtorch's own convolutions, as
// a processor without bf16 does.
func BFloat16(tb testing.TB) {
	tb.Helper()
	Require(tb)
	why := tryBFloat16()
	if why == nil {
		return
	}
	set := func(on bool) {
		if err := torch.Do(func() error { torch.SetOneDNN(on); return nil }); err != nil {
			tb.Fatal(err)
		}
	}
	set(false)
	tb.Cleanup(func() { set(true) })
	if err := tryBFloat16(); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("bf16 without oneDNN: %v", why)
}

// HasBFloat16 reports whether bf16 convolutions run as libtorch chooses them.
func HasBFloat16() bool { return tryBFloat16() == nil }

func tryBFloat16() error {
	return torch.Do(func() error {
		torch.ScopeDo(func() {
			x := torch.Ones([]int64{4, 16, 4, 4}, torch.BFloat16, torch.CPU)
			torch.Conv2d(x, torch.Ones([]int64{16, 16, 3, 3}, torch.BFloat16, torch.CPU), nil, []int64{1, 1}, []int64{1, 1}, []int64{1, 1}, 1)
		})
		return nil
	})
}

// ModuleRoot is the nearest enclosing folder with a go.mod, "" if there is none.
func ModuleRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// Twins runs fn, inside torch.Do, with the CPU computing by the twins of a GPU's kernels
// (torch.SetKernelTwins), once for each order of their threads.
func Twins(fn func(order int)) {
	defer torch.SetKernelTwins(-1)
	for order := range torch.TwinOrders {
		torch.SetKernelTwins(order)
		fn(order)
	}
}

// SkipLike skips a long test beside which one of its kind always runs, but where the long ones
// are asked for: make test LONG=1, make parity, make test-cpus, make libtorch.
func SkipLike(t testing.TB, kind string) {
	t.Helper()
	if testing.Short() || os.Getenv("RESSLT_LONG") == "" {
		t.Skip("one of its kind is tested, " + kind + ": make test LONG=1 has all")
	}
}
