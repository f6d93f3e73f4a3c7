package runbook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
)

// made makes a run's folder of n steps with the losses given, ended or not.
func made(t *testing.T, dir string, ended bool, digest string, set []string, loss func(step int) float64, n int) string {
	t.Helper()
	r, err := recipe.Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set(set...); err != nil {
		t.Fatal(err)
	}
	if err := r.Resolve(recipe.Host{Threads: 1}); err != nil {
		t.Fatal(err)
	}
	write := func(name string, raw []byte) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("recipe.yaml", r.YAML())
	var lines bytes.Buffer
	for i := 1; i <= n; i++ {
		if err := json.NewEncoder(&lines).Encode(train.MetricsLine{Step: int64(i), Epoch: float64(i) / 10, Loss: loss(i), ImagesPerSecond: 100}); err != nil {
			t.Fatal(err)
		}
	}
	write("metrics.jsonl", lines.Bytes())
	if ended {
		knn, linear := 50+loss(1), 60.0
		s := train.Summary{Recipe: "smoke", RunDigest: digest, KNNTop1: &knn, LinearTop1: &linear, ImagesPerSecond: 123}
		if err := s.Write(filepath.Join(dir, "summary.json")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func flat(v float64) func(int) float64 { return func(int) float64 { return v } }

func TestFind(t *testing.T) {
	top := t.TempDir()
	a := made(t, filepath.Join(top, "a"), true, "d", nil, flat(2), 20)
	b := made(t, filepath.Join(top, "sweep/cells/b"), false, "d", nil, flat(3), 5)
	made(t, filepath.Join(a, "previous-1"), true, "d", nil, flat(4), 20)
	if err := os.MkdirAll(filepath.Join(top, "no run"), 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(b, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	states := func() (out []string) {
		runs, err := Find(top)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			out = append(out, fmt.Sprintf("%s %s %.4g/%d %.1f", filepath.Base(r.Folder), r.State, r.Epoch, r.Epochs, *r.Loss))
		}
		return out
	}
	if got, want := states(), []string{"a ended 2/2 2.0", "b stopped 0.5/2 3.0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := os.Stat("/proc/locks"); err == nil {
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if got := states()[1]; got != "b running 0.5/2 3.0" {
			t.Error(got)
		}
	}
	r, err := Read(a)
	if err != nil || *r.KNN != 52 || *r.Linear != 60 || r.Rate != 123 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, dir := range []string{filepath.Join(top, "none"), filepath.Join(top, "no run")} {
		if _, err := Read(dir); !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := Find(filepath.Join(top, "none")); !errors.Is(err, errs.ErrNotFound) {
		t.Error(err)
	}
}

func TestNotes(t *testing.T) {
	dir := made(t, filepath.Join(t.TempDir(), "a"), true, "d", nil, flat(2), 3)
	text := "as it was"
	for _, err := range []error{
		Note(dir, []string{"b", "a", "b"}, nil, &text), Note(dir, []string{"c"}, []string{"a"}, nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Read(dir); err != nil || !slices.Equal(r.Tags, []string{"b", "c"}) || r.Note != text {
		t.Errorf("%q %q, %v", r.Tags, r.Note, err)
	}
	if err := Note(dir, []string{"two words"}, nil, nil); !errors.Is(err, errs.ErrUsage) {
		t.Error(err)
	}
	if err := Note(t.TempDir(), []string{"x"}, nil, nil); !errors.Is(err, errs.ErrNotFound) {
		t.Error(err)
	}
}

func TestCompare(t *testing.T) {
	top := t.TempDir()
	noise := func(step int) float64 { return math.Sin(float64(step) * 12.9898) } // of the batches: the same in both
	read := func(dir string) *Run {
		t.Helper()
		r, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a := read(made(t, filepath.Join(top, "x/one"), true, "same", nil, func(s int) float64 { return 5 + noise(s) }, 200))
	b := read(made(t, filepath.Join(top, "y/one"), true, "same", []string{"tau_t=0.05"}, func(s int) float64 { return 4.75 + noise(s) + 0.1*noise(s+7) }, 180))
	other := read(made(t, filepath.Join(top, "z"), true, "another", []string{"seed=9"}, flat(1), 200))
	c := Compare(a, b, other)
	if len(c.Keys) != 2 || c.Keys[0].Name != "seed" && c.Keys[1].Name != "seed" {
		t.Errorf("keys %+v", c.Keys)
	}
	if len(c.Paired) != 1 {
		t.Fatalf("paired %+v: the third had other batches", c.Paired)
	}
	p := c.Paired[0]
	// The mean of the difference is −0.25 but for 0.1 times a mean of 180 sines, 0.01 at most.
	if p.Steps != 180 || math.Abs(p.Mean+0.25) > 0.01 || !(p.Low < p.Mean && p.Mean < p.High && p.High < -0.2) || p.Lower != 1 {
		t.Errorf("%+v", p)
	}
	if got := Names(c.Runs); !slices.Equal(got, []string{"x/one", "y/one", filepath.Base(top) + "/z"}) {
		t.Errorf("names %q", got)
	}
	var page bytes.Buffer
	if err := c.WritePage(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tau_t", "Paired losses", "-0.2", ">Loss</h3>", "y/one"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Twenty blocks' interval has the mean of independent differences about as often as it says.
func TestIntervalHolds(t *testing.T) {
	state := uint64(1)
	draw := func() float64 { // uniform in [-1, 1): SplitMix64
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return float64((z^z>>31)>>11)/(1<<52) - 1
	}
	held, n := 0, 400
	for range n {
		a, b := &Run{}, &Run{}
		for s := range int64(200) {
			a.Lines = append(a.Lines, train.MetricsLine{Step: s})
			b.Lines = append(b.Lines, train.MetricsLine{Step: s, Loss: 0.3 + draw()})
		}
		if p, ok := paired(a, b); ok && p.Low <= 0.3 && 0.3 <= p.High {
			held++
		}
	}
	// 95 % of 400 is 380, and the standard deviation of the count 4.4: four of them.
	if held < 380-18 || held > 380+18 {
		t.Errorf("%d of %d", held, n)
	}
}
