package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/safetensors"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// runStoring is Run with another store for its checkpoints.
func runStoring(ctx context.Context, t *testing.T, o Options, store func(Checkpoint, []safetensors.Tensor) error) error {
	t.Helper()
	cfg, err := LearnerConfig(o.Recipe)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ImageSize, cfg.Group = o.Spec.EncoderSize(), o.Group
	learner, err := NewLearner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer learner.Free()
	l, err := newLoop(o, learner)
	if err != nil {
		t.Fatal(err)
	}
	l.store = func(_ string, c Checkpoint, tensors []safetensors.Tensor, _ int) error { return store(c, tensors) }
	return l.run(ctx)
}

// weightsFiles are the tensors' files of a run's checkpoints, by name.
func weightsFiles(t *testing.T, out string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(CheckpointDir(out), "*.safetensors"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, n := range names {
		raw, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(n)] = raw
	}
	return files
}

// TestStepsGoOnWhileACheckpointIsWritten: while one is written the loop makes the steps up to
// the next, which waits; what is written is the state as it was, in the bytes of a plain copy.
func TestStepsGoOnWhileACheckpointIsWritten(t *testing.T) {
	const steps, every = 12, 4
	r, spec := tiny(t, steps, fmt.Sprintf("checkpoint_every=%d", every), "keep_checkpoints=9", "log_every=3")
	plain := t.TempDir()
	finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: plain})
	want := weightsFiles(t, plain)
	for _, inFlight := range []int{-1, 2, 6} {
		t.Run(fmt.Sprint("in flight ", inFlight), func(t *testing.T) {
			before := torch.LiveTensors()
			out := t.TempDir()
			var seen, writing atomic.Int64 // steps observed; checkpoints being written
			var stored []int64
			reached := make(chan struct{}, steps)
			err := runStoring(t.Context(), t, Options{
				Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec}}, Out: out, Ahead: 2, InFlight: inFlight,
				Observe: func(p Progress) { seen.Store(p.Step); reached <- struct{}{} },
			}, func(c Checkpoint, tensors []safetensors.Tensor) error {
				if writing.Add(1) > 1 {
					t.Error("two checkpoints are written at once")
				}
				defer writing.Add(-1)
				// The next steps are made meanwhile: as many as are settled before the next
				// copy needs the memory.
				for until := min(c.Step+max(1, every-1-int64(max(0, inFlight))), steps); seen.Load() < until; {
					<-reached
				}
				stored = append(stored, c.Step)
				return writeCheckpoint(CheckpointDir(out), c, tensors, 9)
			})
			if err != nil || !slices.Equal(stored, []int64{4, 8, 12}) {
				t.Fatalf("stored %v, %v", stored, err)
			}
			for name, raw := range weightsFiles(t, out) {
				if !bytes.Equal(raw, want[name]) {
					t.Errorf("%s has other bytes than one that was waited for", name)
				}
			}
			if after := torch.LiveTensors(); after != before {
				t.Errorf("%d tensors before, %d after", before, after)
			}
		})
	}
}

// TestCheckpointThatFails: the run ends by the next step or checkpoint with the disk's own
// error, once, and does not say that it saved; where a later step can be saved it is.
func TestCheckpointThatFails(t *testing.T) {
	full := errs.New("write", "step-00000004.safetensors", "make room on the disk", errs.ErrUnavailable)
	for name, c := range map[string]struct {
		steps  int64
		fails  func(step int64) bool
		newest int64 // that can be resumed from; 0: none, −1: of the step at which the run ended
	}{
		"from then on":            {12, func(int64) bool { return true }, 0},
		"once":                    {12, func(step int64) bool { return step == 4 }, -1},
		"the last one":            {4, func(int64) bool { return true }, 0},
		"the one before the last": {5, func(step int64) bool { return step == 4 }, -1},
	} {
		for _, inFlight := range []int{-1, 2} {
			t.Run(fmt.Sprint(name, ", in flight ", inFlight), func(t *testing.T) {
				r, spec := tiny(t, c.steps, "checkpoint_every=4", "log_every=1")
				out := t.TempDir()
				var last atomic.Int64
				observed := make(chan struct{}, c.steps)
				err := runStoring(t.Context(), t, Options{
					Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec}}, Out: out, Ahead: 2, InFlight: inFlight,
					Observe: func(p Progress) { last.Store(p.Step); observed <- struct{}{} },
				}, func(p Checkpoint, tensors []safetensors.Tensor) error {
					for p.Step == 4 && last.Load() < min(5, c.steps) { // seen no sooner than a step later
						<-observed
					}
					if c.fails(p.Step) {
						return full
					}
					return writeCheckpoint(CheckpointDir(out), p, tensors, 2)
				})
				if err == nil || err.Error() != full.Error() {
					t.Fatalf("got %v, want the disk's error alone", err)
				}
				if last.Load() > 8 {
					t.Errorf("the run went on to step %d", last.Load())
				}
				got, _, err := LatestCheckpoint(CheckpointDir(out))
				switch {
				case c.newest == 0 && !errors.Is(err, errs.ErrNotFound):
					t.Errorf("newest checkpoint %+v, %v", got, err)
				case c.newest < 0 && (err != nil || got.Step != last.Load()):
					t.Errorf("newest checkpoint %+v, %v; want step %d", got, err, last.Load())
				}
			})
		}
	}
}

// TestInterruptWaitsForTheCheckpoint: an interrupt says that a checkpoint was written when it
// was, and not before.
func TestInterruptWaitsForTheCheckpoint(t *testing.T) {
	r, spec := tiny(t, 12, "checkpoint_every=4", "log_every=100")
	for _, fails := range []bool{false, true} {
		out := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		err := runStoring(ctx, t, Options{
			Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec}}, Out: out, Ahead: 2, InFlight: 2,
		}, func(c Checkpoint, tensors []safetensors.Tensor) error {
			cancel()
			if fails {
				return errBroker
			}
			return writeCheckpoint(CheckpointDir(out), c, tensors, 2)
		})
		if errors.Is(err, errs.ErrInterrupted) == fails || errors.Is(err, errBroker) != fails {
			t.Errorf("a write that fails: %v; the run ends with %v", fails, err)
		}
		if c, _, err := LatestCheckpoint(CheckpointDir(out)); (err == nil) == fails {
			t.Errorf("checkpoint %+v, %v", c, err)
		}
	}
}

// TestDivergenceWhileACheckpointIsWritten: that checkpoint is of sound steps, and is whole
// when the run has ended.
func TestDivergenceWhileACheckpointIsWritten(t *testing.T) {
	r, spec := tiny(t, 12, "checkpoint_every=1", "log_every=100", "base_lr=1e30", "lr_warmup_epochs=0")
	out := t.TempDir()
	stored := 0
	err := runStoring(t.Context(), t, Options{
		Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec}}, Out: out, Ahead: 2, InFlight: 2,
	}, func(c Checkpoint, tensors []safetensors.Tensor) error {
		stored++
		return writeCheckpoint(CheckpointDir(out), c, tensors, 2)
	})
	if !errors.Is(err, errs.ErrDiverged) || stored == 0 {
		t.Fatalf("%d checkpoints, then %v; want one, and ErrDiverged", stored, err)
	}
	c, damaged, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil || len(damaged) > 0 {
		t.Fatalf("%v, %v", err, damaged)
	}
	tensors, _, err := safetensors.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	torchtest.Do(t, func() {
		for _, x := range tensors {
			if v := torch.FromBytes(dtypes[x.DType], x.Data, x.Shape...); torch.All(torch.Isfinite(v)).Item() == 0 && !strings.HasPrefix(x.Name, "optimizer.") {
				t.Errorf("%s of step %d is not finite", x.Name, c.Step)
			}
		}
	})
}

// timeless is metrics.jsonl without what the clock says.
func timeless(t *testing.T, out string) (lines []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		for _, clock := range []string{"images_per_second", "data_wait_fraction", "phase_ms"} {
			delete(m, clock)
		}
		kept, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(kept))
	}
	return lines
}

// TestLateLossesInOrder: losses that are read late come in order, each before the checkpoint
// of its step; the file of metrics is the same, also where the run stops and resumes, and no
// logged step waits for the device.
func TestLateLossesInOrder(t *testing.T) {
	const steps, stop = 23, 14
	for _, set := range [][]string{{"log_every=1", "checkpoint_every=1"}, {"log_every=3", "checkpoint_every=5"}, {"log_every=5", "checkpoint_every=3", "infonce_warmup_epochs=0.5"}} {
		t.Run(strings.Join(set, " "), func(t *testing.T) {
			r, spec := tiny(t, steps, set...)
			plain := t.TempDir()
			finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: plain})
			want := timeless(t, plain)
			for _, inFlight := range []int{1, 2, 4} {
				out := t.TempDir()
				var order []string
				s := &counted{noise: noise{spec: spec, failAt: stop}}
				o := Options{
					Recipe: r, Spec: spec, Stream: s, Out: out, Ahead: 2, InFlight: inFlight,
					Observe: func(p Progress) { order = append(order, fmt.Sprint("step ", p.Step)) },
					Saving: func() error {
						lines := 0
						for _, entry := range order {
							lines += logged(entry, r.LogEvery, steps)
						}
						if got := timeless(t, out); !slices.Equal(got, want[:lines]) {
							t.Errorf("%d lines of metrics after %v, want %d", len(got), order, lines)
						}
						order = append(order, "saving")
						return nil
					},
				}
				if _, err := Run(t.Context(), o); !errors.Is(err, errBroker) {
					t.Fatal(err)
				}
				c, _, err := LatestCheckpoint(CheckpointDir(out))
				if err != nil || c.Step != stop {
					t.Fatalf("%+v, %v", c, err)
				}
				o.Stream, o.Resume = &counted{noise: noise{spec: spec, step: stop}}, c
				finish(t, o)
				if got := timeless(t, out); !slices.Equal(got, want) {
					t.Errorf("in flight %d: metrics\n%s\nwant\n%s", inFlight, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				var plan []string
				for i := range int64(steps) {
					plan = append(plan, fmt.Sprint("step ", i+1))
					if done := i + 1; done%int64(r.CheckpointEvery) == 0 || done == stop || done == steps {
						plan = append(plan, "saving")
					}
				}
				if !slices.Equal(order, plan) {
					t.Errorf("in flight %d: %v, want %v", inFlight, order, plan)
				}
			}
		})
	}
}

// logged counts the lines of metrics that an entry, "step N" or another, stands for.
func logged(entry string, every, steps int) int {
	var step int
	if n, err := fmt.Sscanf(entry, "step %d", &step); err == nil && n == 1 && (step%every == 0 || step == steps) {
		return 1
	}
	return 0
}

// TestLoggedStepsAreNotWaitedFor: when a step is logged, the device has been given those
// after it.
func TestLoggedStepsAreNotWaitedFor(t *testing.T) {
	const steps, inFlight = 12, 2
	r, spec := tiny(t, steps, "log_every=1", "checkpoint_every=3")
	s := &counted{noise: noise{spec: spec}, gate: make(chan struct{}, steps)}
	for range steps {
		s.gate <- struct{}{}
	}
	var behind []int64
	cfg, err := LearnerConfig(r)
	if err != nil {
		t.Fatal(err)
	}
	learner := newSmall(t, cfg)
	defer learner.Free()
	var l *loop
	o := Options{Recipe: r, Spec: spec, Stream: s, Out: t.TempDir(), Ahead: steps, InFlight: inFlight, Observe: func(p Progress) { behind = append(behind, l.step-p.Step) }}
	if l, err = newLoop(o, learner); err != nil {
		t.Fatal(err)
	}
	if err := l.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, b := range behind {
		if b == inFlight {
			most++
		}
	}
	// But where the reader is behind, and at the end.
	if most < steps/2 || len(behind) != steps {
		t.Errorf("steps given to the device beyond each that was logged: %v", behind)
	}
}

// TestRanksSaveInTheBackground: two ranks go on while rank 0 writes; its failure ends both,
// by one agreement, and nothing is waited for that nobody sends.
func TestRanksSaveInTheBackground(t *testing.T) {
	torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		for _, fails := range []int64{0, 4, 8, 9} { // the last is the run's last
			r, spec := tiny(t, 3, "checkpoint_every=4", "log_every=1", "knn_every=1", "epochs=3")
			spec.Epochs = 3
			out := t.TempDir()
			first, end := g.Rows(spec.BatchSize)
			var stored []int64
			err := runStoring(t.Context(), t, Options{
				Recipe: r, Spec: spec, Stream: &rows{noise{spec: spec}, first, end}, Out: out, InFlight: 2, Group: g,
				Snapshot: func(EncoderSnapshot) error { return nil },
			}, func(c Checkpoint, tensors []safetensors.Tensor) error {
				if c.Step == fails {
					return errBroker
				}
				stored = append(stored, c.Step)
				return writeCheckpoint(CheckpointDir(out), c, tensors, 9)
			})
			switch {
			case fails == 0 && err != nil:
				t.Errorf("rank %d: %v", g.Rank(), err)
			case fails > 0 && g.Rank() == 0 && !errors.Is(err, errBroker):
				t.Errorf("rank 0, whose checkpoint of step %d fails: %v", fails, err)
			case fails > 0 && g.Rank() == 1 && (!errors.Is(err, errs.ErrUnavailable) || !strings.Contains(err.Error(), "rank 0 cannot")):
				t.Errorf("rank 1, where rank 0's checkpoint of step %d fails: %v", fails, err)
			}
			if g.Rank() == 0 && fails == 0 && !slices.Equal(stored, []int64{4, 8, 9}) || g.Rank() == 1 && len(stored) > 0 {
				t.Errorf("rank %d stored %v", g.Rank(), stored)
			}
		}
		return nil
	})
}

// rows is noise of a rank's rows.
type rows struct {
	noise
	first, end int
}

func (r *rows) Next(ctx context.Context) (*schemas.Batch, error) {
	b, err := r.noise.Next(ctx)
	if err != nil {
		return nil, err
	}
	for i, v := range b.Views {
		b.Pixels[i] = b.Pixels[i][r.first*v.Bytes() : r.end*v.Bytes()]
	}
	return b, nil
}
