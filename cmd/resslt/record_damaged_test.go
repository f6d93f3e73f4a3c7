package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"resslt/batcher/record"
)

// A flipped bit in the sealed log of a stopped run is said in a line, and costs neither the
// resume nor a weight; package record has the other kinds of damage.
func TestDamagedRecordResumes(t *testing.T) {
	needTorch(t)
	needData(t)
	want := undisturbed(t)
	dir := t.TempDir()
	if o := stopAt(t, dir, 7, syscall.SIGINT); o.code != 130 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	file := filepath.Join(dir, record.Subfolder, "log-000000.arrow")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 4
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	o := resslt(t, quick(dir, "--resume")...)
	if o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	sameWeights(t, "resumed", printed(t, o), want)
	if said := "warning: log-000000.arrow of the record is damaged"; strings.Count(o.stderr, said) != 1 || strings.Contains(o.stderr, "lacks") {
		t.Errorf("it does not say once %q, and that it lacks nothing:\n%s", said, o.stderr)
	}
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error(err)
	}
	verified(t, dir)
}
