package track

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"resslt/cmd/internal/online"
	"resslt/schemas/errs"
	"resslt/train"
)

// book is a Service in memory: it has what a real one would show.
type book struct {
	mu     sync.Mutex
	fail   func(call string) error // of a call; nil: none fails
	begins []string                // ids that it was begun with
	steps  map[string][]int64      // by a point's first tag
	ends   []Outcome
	closed int
}

func (b *book) of(ctx context.Context, call string) error {
	if b.fail == nil {
		return ctx.Err()
	}
	if err := b.fail(call); err != nil {
		return err
	}
	return ctx.Err()
}

func (b *book) Begin(ctx context.Context, _ *Run, id string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.of(ctx, "begin"); err != nil {
		return "", err
	}
	b.begins = append(b.begins, id)
	return "run-1", nil
}

func (b *book) Log(ctx context.Context, points []Point) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.of(ctx, "log"); err != nil {
		return err
	}
	if b.steps == nil {
		b.steps = map[string][]int64{}
	}
	for _, p := range points {
		tag := p.Values[0].Tag
		b.steps[tag] = append(b.steps[tag], p.Step)
	}
	return nil
}

func (b *book) End(ctx context.Context, o Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.of(ctx, "end"); err != nil {
		return err
	}
	b.ends = append(b.ends, o)
	return nil
}

func (b *book) Close() error { b.closed++; return nil }

func (b *book) logged(tag string) []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.steps[tag])
}

// trained appends lines of metrics, and of scores.
func trained(t *testing.T, out string, steps ...int64) {
	t.Helper()
	appendLines(t, filepath.Join(out, train.MetricsFile), steps, func(s int64) any { return train.MetricsLine{Step: s, Loss: 1 / float64(s)} })
}

func scored(t *testing.T, out string, steps ...int64) {
	t.Helper()
	appendLines(t, filepath.Join(out, online.KNNFile), steps, func(s int64) any {
		return online.Scores{Step: s, KNN: map[string]float64{"k20": 50}}
	})
}

func appendLines(t *testing.T, path string, steps []int64, line func(int64) any) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range steps {
		if err := json.NewEncoder(f).Encode(line(s)); err != nil {
			t.Fatal(err)
		}
	}
}

// lines are what a tracker prints.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) print(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func started(t *testing.T, out string, s Service) (*Tracker, *lines) {
	t.Helper()
	printed := &lines{}
	tr, err := Start(Options{Name: "book:here", Service: s, Run: &Run{Out: out}, Print: printed.print})
	if err != nil {
		t.Fatal(err)
	}
	return tr, printed
}

func equal(t *testing.T, what string, got []int64, want ...int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: steps %v, want %v", what, got, want)
	}
}

// Two sessions of a run, the first killed: every point arrives, in order, once, in one run.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, b := t.TempDir(), &book{}
		tr, _ := started(t, out, b)
		trained(t, out, 10, 20)
		tr.Wake()
		time.Sleep(time.Minute)
		equal(t, "while it trains", b.logged("loss/total"), 10, 20)
		trained(t, out, 30)
		scored(t, out, 20)
		tr.Wake()
		tr.Wake()
		time.Sleep(time.Minute)
		equal(t, "scores", b.logged("knn/top1_k20"), 20)
		tr.Stop()

		// The session was killed: it goes on from step 20.
		path := filepath.Join(out, train.MetricsFile)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := strings.LastIndex(strings.TrimSpace(string(raw)), "\n") + 1
		if err := os.WriteFile(path, raw[:at], 0o644); err != nil {
			t.Fatal(err)
		}
		tr, printed := started(t, out, b)
		trained(t, out, 30, 40)
		tr.Wake()
		time.Sleep(time.Minute)
		trained(t, out, 50)
		scored(t, out, 40)
		tr.Stop()
		tr.Finish(t.Context(), Outcome{Status: Finished})
		equal(t, "of both sessions", b.logged("loss/total"), 10, 20, 30, 40, 50)
		equal(t, "scores of both", b.logged("knn/top1_k20"), 20, 40)
		if !slices.Equal(b.begins, []string{"", "run-1"}) || len(b.ends) != 1 || b.ends[0].Status != Finished || b.closed != 1 {
			t.Errorf("begun as %q, ended %+v, closed %d times", b.begins, b.ends, b.closed)
		}
		if printed.count("warning") > 0 {
			t.Error(printed.all)
		}
	})
}

// A file that a new session cuts off below what was read is read from its beginning.
func TestCutFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, b := t.TempDir(), &book{}
		trained(t, out, 10, 20, 30) // of a session that was killed after step 30
		tr, _ := started(t, out, b)
		tr.Wake()
		time.Sleep(time.Minute)
		if err := os.Truncate(filepath.Join(out, train.MetricsFile), 0); err != nil {
			t.Fatal(err)
		}
		trained(t, out, 10)
		tr.Wake()
		time.Sleep(time.Minute)
		trained(t, out, 20, 30, 40)
		tr.Wake()
		time.Sleep(time.Minute)
		equal(t, "cut and written again", b.logged("loss/total"), 10, 20, 30, 40)
		tr.Stop()
	})
}

// A service that is away for an hour is warned of once, and then has everything; meanwhile it is
// tried about once a minute.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, tries, away := t.TempDir(), 0, true
		b := &book{fail: func(string) error {
			if !away {
				return nil
			}
			tries++
			return errs.New("track", "there", "wait", errs.ErrUnavailable)
		}}
		tr, printed := started(t, out, b)
		for step := int64(1); step <= 60; step++ {
			trained(t, out, step)
			tr.Wake()
			time.Sleep(time.Minute)
		}
		b.mu.Lock() // fail is called under it
		if tries < 50 || tries > 80 || printed.count("warning") != 1 {
			t.Errorf("%d attempts in an hour, printed %q", tries, printed.all)
		}
		away = false
		b.mu.Unlock()
		time.Sleep(longest)
		if got := b.logged("loss/total"); len(got) != 60 || printed.count("answers again") != 1 {
			t.Errorf("%d of 60 steps, %q", len(got), printed.all)
		}
		tr.Stop()
	})
}

// A part that fails in the middle of a run is sent again, whole.
func TestLostPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := t.TempDir(), 0
		b := &book{fail: func(call string) error {
			if n++; call == "log" && n%2 == 0 {
				return errs.New("track", "there", "wait", errs.ErrUnavailable)
			}
			return nil
		}}
		tr, _ := started(t, out, b)
		var want []int64
		for step := int64(1); step <= 9; step++ {
			want = append(want, step)
			trained(t, out, step)
			tr.Wake()
			time.Sleep(10 * time.Second)
		}
		equal(t, "with faults", b.logged("loss/total"), want...)
		tr.Stop()
	})
}

// hanging never answers.
type hanging struct{ book }

func (h *hanging) Begin(ctx context.Context, _ *Run, _ string) (string, error) {
	<-ctx.Done()
	return "", errs.New("track", "there", "wait", errs.BecauseErr(errs.ErrUnavailable, ctx.Err()))
}

// A service that hangs takes nothing of the run, and of its end no more than it may.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, h := t.TempDir(), &hanging{}
		tr, printed := started(t, out, h)
		trained(t, out, 1)
		began := time.Now()
		for range 1000 {
			tr.Wake()
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the training waited for %v", took)
		}
		time.Sleep(5 * time.Second)
		tr.Stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("to stop took %v", took)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), FinishWait)
		defer cancel()
		tr.Finish(ctx, Outcome{Status: Finished})
		if took := time.Since(began); took > FinishWait || printed.count("lacks the end") != 1 || h.closed != 1 {
			t.Errorf("the end waited for %v, printed %q", took, printed.all)
		}
	})
}

// What cannot pass is said once, and then the run goes on alone.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, tries := t.TempDir(), 0
		b := &book{fail: func(string) error {
			tries++
			return errs.New("track", "there", "log in", errs.ErrDenied)
		}}
		tr, printed := started(t, out, b)
		for step := int64(1); step <= 5; step++ {
			trained(t, out, step)
			tr.Wake()
			time.Sleep(time.Minute)
		}
		tr.Stop()
		tr.Finish(t.Context(), Outcome{Status: Finished})
		if tries != 1 || printed.count("no longer tracked") != 1 || len(printed.all) != 1 {
			t.Errorf("%d attempts, printed %q", tries, printed.all)
		}
	})
}

// A run that fails before its first step is none that a service should show.
func TestNothingToShow(t *testing.T) {
	b := &book{}
	tr, _ := started(t, t.TempDir(), b)
	tr.Stop()
	tr.Finish(t.Context(), Outcome{Status: Failed})
	if len(b.begins)+len(b.ends) > 0 || b.closed != 1 {
		t.Errorf("begun %d times, ended %d", len(b.begins), len(b.ends))
	}
}

// Half a line is read when it is whole, and a long file in parts.
func TestTail(t *testing.T) {
	out := t.TempDir()
	path := filepath.Join(out, train.MetricsFile)
	if err := os.WriteFile(path, []byte(`{"step":1,"loss":2}`+"\n"+`{"step":2,`), 0o644); err != nil {
		t.Fatal(err)
	}
	r := tailOf(out)
	lines, _, err := r.Read()
	if err != nil || len(lines) != 1 || lines[0].Step != 1 {
		t.Fatalf("%+v, %v", lines, err)
	}
	var b strings.Builder
	b.WriteString(`"loss":3}` + "\n")
	const many = 2 * partBytes / 20
	for i := range many {
		fmt.Fprintf(&b, `{"step":%d,"loss":2}`+"\n", i+3)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(b.String()); err != nil {
		t.Fatal(err)
	}
	f.Close()
	next, parts := int64(2), 0
	for {
		lines, rewritten, err := r.Read()
		if err != nil || rewritten {
			t.Fatalf("%v, rewritten %v", err, rewritten)
		}
		if len(lines) == 0 {
			break
		}
		parts++
		for _, p := range lines {
			if p.Step != next {
				t.Fatalf("step %d after %d", p.Step, next-1)
			}
			next++
		}
	}
	if next != many+3 || parts < 2 {
		t.Errorf("read up to step %d of %d in %d parts", next-1, many+2, parts)
	}
}
