package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/augment"
	"resslt/schemas/errs"
)

// TestBenchAugment runs the command on a folder of a few pictures, a broken one
// among them, with every engine.
func TestBenchAugment(t *testing.T) {
	dir := picturesFolder(t, true)
	for _, engine := range augment.EngineNames() {
		var rep augmentReport
		if err := json.Unmarshal(benchAugmentOutput(t, "--policy", "small", "--data", "folder:"+dir, "--workers", "2", "--count", "30", "--engine", engine, "--json"), &rep); err != nil {
			t.Fatal(err)
		}
		if rep.Engine != engine || rep.Workers != 2 || rep.Samples != 30 || rep.Refused != 10 || rep.DistinctSamples != 3 {
			t.Errorf("%+v", rep)
		}
		if rep.SamplesPerSecond <= 0 || rep.ViewsPerSecond != 2*rep.SamplesPerSecond || rep.DecodePerSecond <= 0 || rep.RSSBytes <= rep.DataBytes {
			t.Errorf("%+v", rep)
		}
	}
	for _, c := range []struct {
		args []string
		want error
	}{
		{[]string{"--data", "folder:" + dir, "--workers", "0"}, errs.ErrUsage},
		{[]string{"--data", "folder:" + dir, "--seconds", "-1"}, errs.ErrUsage},
		{[]string{"--policy", "small"}, errs.ErrUsage},
		{[]string{"--data", "folder:" + dir, "--policy", "no-such-policy"}, errs.ErrUsage},
		{[]string{"--data", "folder:" + dir, "--policy", "small", "--engine", "gift", "--profile", "--seconds", "0.01"}, errs.ErrUnsupported},
	} {
		cmd := newBenchAugmentCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(c.args)
		if err := cmd.Execute(); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.args, err, c.want)
		}
	}
}

// TestBenchAugmentProfile: what a policy draws has a cost, what it does not draw has none, and
// the shares are all of the time. --presets has a row for each.
func TestBenchAugmentProfile(t *testing.T) {
	if _, err := augment.EngineByFamily("turbo"); err != nil {
		t.Skip("this build has no turbo")
	}
	dir := picturesFolder(t, false)
	var rep augmentReport
	if err := json.Unmarshal(benchAugmentOutput(t, "--policy", "imagenet-strong", "--data", "folder:"+dir, "--count", "90", "--engine", "turbo", "--profile", "--json"), &rep); err != nil {
		t.Fatal(err)
	}
	share, calls := 0.0, map[string]float64{}
	for _, c := range rep.Profile {
		share += c.Share
		calls[c.Work] = c.CallsPerSample
		if c.CallsPerSample <= 0 || c.MicrosPerCall <= 0 {
			t.Errorf("%+v", c)
		}
	}
	if math.Abs(share-1) > 1e-9 {
		t.Errorf("shares of %g", share)
	}
	for _, work := range []string{"open", "decode", "filters", "resize across", "resize down", "brightness", "hue", "blur", "affine", "equalize"} {
		if calls[work] == 0 {
			t.Errorf("no %s: %v", work, calls)
		}
	}
	if calls["open"] != 1 || calls["resize across"] != 6 {
		t.Errorf("%v", calls)
	}

	table := string(benchAugmentOutput(t, "--data", "folder:"+dir, "--seconds", "0.01", "--presets"))
	for _, p := range augment.Presets() {
		if !strings.Contains(table, "| "+p+" | ") {
			t.Errorf("no row for %s:\n%s", p, table)
		}
	}
}

// benchAugmentOutput is what the command prints.
func benchAugmentOutput(t *testing.T, args ...string) []byte {
	t.Helper()
	c := newBenchAugmentCommand()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetArgs(append([]string{"--seconds", "0.1"}, args...))
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// picturesFolder is a folder of three pictures, one of them broken if that is asked for.
func picturesFolder(t *testing.T, broken bool) string {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	class := filepath.Join(dir, "train", "pictures")
	if err := os.MkdirAll(class, 0o755); err != nil {
		t.Fatal(err)
	}
	fixtures := filepath.Join("..", "..", "augment", "testdata", "parity", "files")
	for _, name := range []string{"jpeg420.jpg", "gray.jpg", "rgb.png"} {
		b, err := os.ReadFile(filepath.Join(fixtures, name))
		if err != nil {
			t.Fatal(err)
		}
		if broken && name == "gray.jpg" {
			b = b[:len(b)/2]
		}
		if err := os.WriteFile(filepath.Join(class, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
