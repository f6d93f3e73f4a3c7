package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// sweepOf reads DIR/sweep.json.
func sweepOf(t *testing.T, dir string) map[string]*sweepResult {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "sweep.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f sweepFile
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	out := map[string]*sweepResult{}
	for _, c := range f.Cells {
		out[c.Column] = c
	}
	return out
}

// A sweep's cells, trained beside each other over one stream, have the weights of the
// same runs alone, also when the sweep was stopped in the middle and started again.
func TestSweepGivesTheWeightsOfRun(t *testing.T) {
	needTorch(t)
	needData(t)
	dir := t.TempDir()
	args := []string{
		"sweep", "--recipe", "smoke", "--grid", "tau_t=0.03,0.04,0.05", "--set", "eval=[knn]", "--set", "eval_images=300",
		"--data", "fashion-mnist:" + smallData(), "--parallel", "2", "--workers", "1", "--out", dir,
	}
	c := start(t, command(t, "resslt", args...))
	afterSteps(t, filepath.Join(dir, "cells", "r1-c1_0_03"), 7)
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if o := c.end(); o.code != 130 || !strings.Contains(o.stderr, "same command again") {
		t.Fatalf("exit %d of an interrupted sweep: %s", o.code, o.stderr)
	}

	o := resslt(t, append(args, "--json")...)
	if o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	var printed sweepFile
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &printed); err != nil || len(printed.Cells) != 3 {
		t.Errorf("last line is no result of three cells: %v\n%s", err, o.stdout)
	}
	if !strings.Contains(o.stdout, "kNN, top-1 %") || !strings.Contains(o.stdout, "tau_t 0.05") || strings.Contains(o.stdout, "linear probe") {
		t.Errorf("the table:\n%s", o.stdout)
	}
	cells := sweepOf(t, dir)
	for tau, cell := range cells {
		if tau != "0.04" { // the first was interrupted, the last came when others were done
			alone := summaryOf(t, quick(t.TempDir(), "--set", "tau_t="+tau)...)
			if !cell.Done || cell.StudentSHA256 != alone.StudentSHA256 {
				t.Errorf("tau_t %s: student %.12s in the sweep, %.12s alone", tau, cell.StudentSHA256, alone.StudentSHA256)
			}
		}
		if cell.KNNTop1 == nil || cell.EmbeddingStd == nil || *cell.EmbeddingStd <= 0 || cell.Run != cells["0.03"].Run {
			t.Errorf("tau_t %s: %+v", tau, cell)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "sweep.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll(); err != nil || len(rows) != 4 || rows[2][1] != "0.04" {
		t.Errorf("sweep.csv: %v, %q", err, rows)
	}
	// Done is done; what was changed since is not.
	if o := resslt(t, args...); o.code != 0 || strings.Contains(o.stderr, "begins") {
		t.Errorf("a sweep that was done: exit %d: %s", o.code, o.stderr)
	}
}

// A run is dropped when its last cell has ended, failed or not, and an interrupted sweep
// still tells which cells failed.
func TestSweepDropsAndTells(t *testing.T) {
	cell := func(id, run string) *sweepCell { return &sweepCell{Cell: recipe.Cell{ID: id}, run: run} }
	cells := []*sweepCell{cell("a1", "a"), cell("b1", "b"), cell("a2", "a"), cell("c1", "c")}
	interrupted := errs.Because(errs.ErrInterrupted, "stopped")
	for _, tc := range []struct {
		name, stopAt, dropped string
		says                  []string
	}{
		{"to the end", "", "bac", []string{"b1 broke", "a2 broke", "no room for c"}},
		{"interrupted", "a2", "b", []string{"b1 broke", "interrupted: stopped"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			dropped := ""
			err := eachCell(ctx, cells, 1, func(c *sweepCell) error {
				switch c.ID {
				case tc.stopAt:
					stop()
					return ctx.Err()
				case "b1", "a2":
					return errors.New(c.ID + " broke")
				}
				return nil
			}, func(run string) error {
				dropped += run
				if run == "c" {
					return errors.New("no room for c")
				}
				return nil
			}, interrupted)
			if dropped != tc.dropped {
				t.Errorf("runs %q were dropped, want %q", dropped, tc.dropped)
			}
			if err == nil || err.Error() != strings.Join(tc.says, "\n") || errors.Is(err, errs.ErrInterrupted) != (tc.stopAt != "") {
				t.Errorf("it says %v, want %q", err, tc.says)
			}
		})
	}
}

func TestSweepPlan(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	// Cells that differ in their batches do not share a stream.
	o := resslt(t, "sweep", "--recipe", "smoke", "--grid", "batch_size=32,64", "--grid", "m=0.9,0.99", "--seeds", "1,2", "--dry-run")
	if o.code != 0 || !strings.Contains(o.stdout, "8 cells over 4 streams") {
		t.Errorf("exit %d: %s%s", o.code, o.stdout, o.stderr)
	}
	table := filepath.Join(t.TempDir(), "names.yaml")
	if err := os.WriteFile(table, []byte(`{name: names, claim: none, source: none, hardware: any, recipe: smoke, metric: knn, rows: {title: objective, points: [
		{name: DINO, set: [m=0.9]}, {name: "DINO, multi-crop", set: [m=0.91]}, {name: MoCo v2, set: [m=0.92]}, {name: "MoCo v2, symmetric", set: [m=0.93]}]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, only := range []struct {
		names []string
		want  string
	}{
		{nil, "4 cells"},
		{[]string{"DINO"}, "1 cells"}, // a name, with which another begins
		{[]string{"DINO,"}, "1 cells"},
		{[]string{"MoCo v2", "DINO"}, "2 cells"},
		{[]string{"MoCo"}, "2 cells"},
	} {
		args := []string{"sweep", "--dry-run", "--file", table}
		for _, name := range only.names {
			args = append(args, "--only", name)
		}
		if o := resslt(t, args...); o.code != 0 || !strings.Contains(o.stdout, only.want) {
			t.Errorf("%s: exit %d: %s%s", only.names, o.code, o.stdout, o.stderr)
		}
	}
	for text, args := range map[string][]string{
		"--file":        {"sweep"},
		"--grid":        {"sweep", "--file", "smoke", "--grid", "m=1"},
		"--only":        {"sweep", "--file", "smoke", "--only", "nobody", "--dry-run"},
		"r1-c1_2":       {"sweep", "--recipe", "smoke", "--grid", "tau_t=2", "--dry-run"},
		"no_such_key":   {"sweep", "--recipe", "smoke", "--grid", "no_such_key=1", "--dry-run"},
		"--workers":     {"sweep", "--file", "smoke", "--workers", "0"},
		"--parallel":    {"sweep", "--file", "smoke", "--parallel", "0"},
		"there is none": {"sweep", "--recipe", "nobody"},
	} {
		o := resslt(t, args...)
		if o.code != 2 || !strings.Contains(o.stderr, text) || strings.Count(strings.TrimSpace(o.stderr), "\n") != 0 {
			t.Errorf("%v: exit %d: %s", args, o.code, o.stderr)
		}
	}
}
