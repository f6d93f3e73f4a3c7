package torchtest

import (
	"os"
	"path/filepath"
	"testing"

	"resslt/train/torch"
)

// EnvRequire, set to 1, makes a missing shim a failure: CI sets it, so that a
// broken build of the shim cannot pass as skipped tests.
const EnvRequire = "RESSLT_REQUIRE_TORCH"

// Require opens the shim, or skips the test and says why. Where torch.Open's own
// search finds none, it looks in bin/ at the module's root, where `make shim`
// puts it.
func Require(tb testing.TB) {
	tb.Helper()
	err := torch.Available()
	if err == nil {
		return
	}
	if root := moduleRoot(); root != "" {
		built := filepath.Join(root, "bin", torch.ShimName)
		if _, statErr := os.Stat(built); statErr == nil {
			if err = torch.Open(built); err == nil {
				return
			}
		}
	}
	if os.Getenv(EnvRequire) == "1" {
		tb.Fatalf("%s=1 and no libtorch: %v", EnvRequire, err)
	}
	tb.Skipf("needs libtorch: %v", err)
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
