package runbook

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/durable"
	"resslt/train"
)

// A follower reads each line once, sees what has changed and only that, and notices another run in
// the same folder, and one that was resumed before the lines that it has read.
func TestFollow(t *testing.T) {
	dir := made(t, filepath.Join(t.TempDir(), "a"), false, "", nil, flat(2), 5)
	f := Follow(dir)
	look := func(want string, lines int, changes bool) *Run {
		t.Helper()
		r, changed, err := f.Look()
		if err != nil || len(r.Lines) != lines || changed != changes {
			t.Fatalf("%s: %d lines, changed %v, %v; want %d, %v", want, len(r.Lines), changed, err, lines, changes)
		}
		return r
	}
	metrics := filepath.Join(dir, "metrics.jsonl")
	add := func(text string) {
		t.Helper()
		w, err := os.OpenFile(metrics, os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = w.WriteString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	line := func(step int64, loss float64) string {
		raw, err := json.Marshal(train.MetricsLine{Step: step, Loss: loss})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw) + "\n"
	}
	first := look("at first", 5, true)
	look("the same", 5, false)
	half := line(6, 3)
	add(half[:10])
	look("half a line", 5, false)
	add(half[10:] + line(7, math.Pi))
	if r := look("two lines more", 7, true); *r.Loss != math.Pi || r.Step != 7 || len(first.Lines) != 5 {
		t.Errorf("loss %v at step %d; the run given before has %d lines", *r.Loss, r.Step, len(first.Lines))
	}

	// Resumed at step 3: cut short, then longer than before with other lines.
	raw, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Join(strings.SplitAfter(string(raw), "\n")[:3], "")
	if err := os.WriteFile(metrics, []byte(kept+strings.Repeat(line(4, 9), 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := look("resumed", 23, true); *r.Loss != 9 {
		t.Errorf("loss %v", *r.Loss)
	}

	// A score, notes, a summary.
	for name, text := range map[string]string{"knn.jsonl": `{"step":5,"epoch":1,"knn_top1":{"k20":50,"k200":40}}` + "\n", NotesFile: `{"tags":["x"]}`} {
		if err := durable.WriteFile(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
		look(name, 23, true)
	}
	s := train.Summary{RunDigest: "d", ImagesPerSecond: 5}
	if err := s.Write(filepath.Join(dir, "summary.json")); err != nil {
		t.Fatal(err)
	}
	if r := look("ended", 23, true); r.State != Ended || r.RunDigest != "d" || r.Rate != 5 || len(r.Scores) != 1 || len(r.Tags) != 1 {
		t.Errorf("%+v", r)
	}
	look("the same", 23, false)

	// Another run begins in the folder.
	for _, name := range []string{"metrics.jsonl", "summary.json", "knn.jsonl", NotesFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r := look("set aside", 0, true); r.State != Stopped || r.Loss != nil || len(r.Scores) != 0 || len(r.Tags) != 0 {
		t.Errorf("%+v", r)
	}
}

// The book has runs that come, and no more those that go.
func TestBook(t *testing.T) {
	top := t.TempDir()
	b := Open(top)
	look := func(want int, changes bool) {
		t.Helper()
		runs, changed, err := b.Look()
		if err != nil || len(runs) != want || changed != changes {
			t.Fatalf("%d runs, changed %v, %v; want %d, %v", len(runs), changed, err, want, changes)
		}
	}
	look(0, false)
	made(t, filepath.Join(top, "a"), false, "", nil, flat(2), 5)
	look(1, true)
	look(1, false)
	made(t, filepath.Join(top, "deeper", "b"), true, "d", nil, flat(2), 5)
	look(2, true)
	if err := os.RemoveAll(filepath.Join(top, "a")); err != nil {
		t.Fatal(err)
	}
	look(1, true)
	look(1, false)
}
