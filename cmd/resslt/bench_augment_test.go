package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/augment"
	"resslt/schemas/errs"
)

// TestBenchAugment runs the command on a folder of a few pictures, a broken one
// among them, with every engine.
func TestBenchAugment(t *testing.T) {
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
		if name == "gray.jpg" {
			b = b[:len(b)/2]
		}
		if err := os.WriteFile(filepath.Join(class, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, engine := range augment.EngineNames() {
		c := newBenchAugmentCommand()
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetArgs([]string{"--policy", "small", "--data", "folder:" + dir, "--workers", "2", "--count", "30", "--seconds", "0.1", "--engine", engine, "--json"})
		if err := c.Execute(); err != nil {
			t.Fatal(err)
		}
		var rep augmentReport
		if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		if rep.Engine != engine || rep.Workers != 2 || rep.Samples != 30 || rep.Refused != 10 || rep.DistinctSamples != 3 {
			t.Errorf("%+v", rep)
		}
		if rep.SamplesPerSecond <= 0 || rep.ViewsPerSecond != 2*rep.SamplesPerSecond || rep.DecodePerSecond <= 0 || rep.RSSBytes <= rep.DataBytes {
			t.Errorf("%+v", rep)
		}
	}
	for _, args := range [][]string{
		{"--data", "folder:" + dir, "--workers", "0"},
		{"--data", "folder:" + dir, "--seconds", "-1"},
		{"--policy", "small"},
		{"--data", "folder:" + dir, "--policy", "no-such-policy"},
	} {
		c := newBenchAugmentCommand()
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs(args)
		if err := c.Execute(); !errors.Is(err, errs.ErrUsage) && !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
