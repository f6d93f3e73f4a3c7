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

// EnvRequire, set to 1, makes a missing shim a failure: CI sets it, so that a
// broken build of the shim cannot pass as skipped tests.
const EnvRequire = "RESSLT_REQUIRE_TORCH"

// EnvThreads sets how many threads an op may use in tests; unset, libtorch chooses.
const EnvThreads = "RESSLT_TEST_THREADS"

// threads heeds EnvThreads once. A test that wants a number of its own sets it itself.
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

// RestoreThreads has the number of threads put back at the test's end, for a test that
// sets it.
func RestoreThreads(tb testing.TB) {
	tb.Helper()
	was := torch.NumThreads()
	tb.Cleanup(func() {
		if err := torch.SetNumThreads(was); err != nil {
			tb.Error(err)
		}
	})
}

// Require opens the shim, or skips the test and says why. Where torch.Open's own
// search finds none, it looks in bin/ at the module's root, where `make shim`
// puts it.
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

// open opens the shim where torch.Open finds it, or in bin/.
func open() error {
	err := torch.Available()
	if err == nil {
		return nil
	}
	if root := moduleRoot(); root != "" {
		built := filepath.Join(root, "bin", torch.ShimName)
		if _, statErr := os.Stat(built); statErr == nil {
			err = torch.Open(built)
		}
	}
	return err
}

// Do runs fn in torch.Do, after Require, and fails the test on an error, or if
// fn left more live tensors than there were.
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

// BFloat16 turns oneDNN off until the test's end where its bf16 convolutions do not run:
// libtorch 1.13 goes by the processor when it chooses it, and not by the lower
// instruction set that the environment may hold oneDNN to. A processor without bf16
// gets libtorch's own convolutions, and so does this test then.
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

// HasBFloat16 tells whether bf16 convolutions run as libtorch chooses them.
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

// moduleRoot is the nearest folder up from here that holds go.mod, "" if none.
func moduleRoot() string {
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
