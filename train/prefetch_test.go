package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// counted is a stream that can be used from another goroutine than the test's.
type counted struct {
	noise
	released, most atomic.Int64
	gate           chan struct{} // if not nil, Next takes one before each batch
}

func (c *counted) Next(ctx context.Context) (*schemas.Batch, error) {
	if c.gate != nil {
		select {
		case <-c.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if c.step >= c.spec.Steps() {
		return nil, errors.New("asked beyond the last step")
	}
	b, err := c.noise.Next(ctx)
	if err != nil {
		return nil, err
	}
	c.most.Store(max(c.most.Load(), c.step-c.released.Load()))
	pixels := b.Pixels
	b.OnRelease(func() {
		c.released.Add(1)
		for _, px := range pixels { // whoever still reads the batch reads this
			for i := range px {
				px[i] = 0xee
			}
		}
	})
	return b, nil
}

// TestAheadAndInFlightChangeNoBit: batches taken ahead, and losses seen late, give the
// weights, the metrics and the loss of a loop that does one thing after the other.
func TestAheadAndInFlightChangeNoBit(t *testing.T) {
	for _, set := range [][]string{{"log_every=3"}, {"log_every=4", "accumulate=2"}, {"objective=nnclr", "log_every=1"}, {"log_every=100", "precision=bf16", "activation_checkpointing=true"}} {
		t.Run(strings.Join(set, " "), func(t *testing.T) {
			if slices.Contains(set, "precision=bf16") {
				nntest.BFloat16(t)
			}
			const steps = 13
			r, spec := tiny(t, steps, set...)
			run := func(ahead, inFlight int) (Summary, []MetricsLine) {
				out := t.TempDir()
				s := &counted{noise: noise{spec: spec}}
				sum := finish(t, Options{Recipe: r, Spec: spec, Stream: s, Out: out, Ahead: ahead, InFlight: inFlight})
				if s.released.Load() != steps {
					t.Errorf("%d of %d batches were released", s.released.Load(), steps)
				}
				if most := s.most.Load(); most > int64(ahead+1+inFlight) {
					t.Errorf("%d batches were held, ahead %d, in flight %d", most, ahead, inFlight)
				}
				lines, err := ReadMetrics(filepath.Join(out, "metrics.jsonl"))
				if err != nil {
					t.Fatal(err)
				}
				return sum, lines
			}
			want, lines := run(0, 0)
			for _, n := range [][2]int{{1, 0}, {2, 2}, {0, 3}, {5, 1}} {
				got, l := run(n[0], n[1])
				if got.StudentSHA256 != want.StudentSHA256 || got.TeacherSHA256 != want.TeacherSHA256 || got.QueueSHA256 != want.QueueSHA256 || got.FinalLoss != want.FinalLoss {
					t.Errorf("ahead %d, in flight %d: student %.12s loss %v, want %.12s loss %v", n[0], n[1], got.StudentSHA256, got.FinalLoss, want.StudentSHA256, want.FinalLoss)
				}
				for i, line := range l {
					if line.Step != lines[i].Step || line.Loss != lines[i].Loss || fmt.Sprint(statsOf(0, line.Figures)) != fmt.Sprint(statsOf(0, lines[i].Figures)) {
						t.Errorf("ahead %d, in flight %d: line %+v, want %+v", n[0], n[1], line, lines[i])
					}
				}
			}
		})
	}
}

// TestDivergenceSeenLate: a loss that is not finite is read late where steps are in flight.
// The run ends naming the step, with its batch, and saves nothing since.
func TestDivergenceSeenLate(t *testing.T) {
	r, spec := tiny(t, 12, "checkpoint_every=2", "log_every=100", "base_lr=1e30", "lr_warmup_epochs=0")
	want := divergesAt(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
	out := t.TempDir()
	if got := divergesAt(t, Options{Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec}}, Out: out, Ahead: 2, InFlight: 2}); got != want {
		t.Errorf("diverged at step %d, want %d", got, want)
	}
	if c, _, err := LatestCheckpoint(CheckpointDir(out)); err == nil && c.Step > want {
		t.Errorf("the state after the step that diverged was saved as step %d", c.Step)
	}
}

// divergesAt runs to a divergence and gives its step; the batch that is kept must be
// that step's, whole.
func divergesAt(t *testing.T, o Options) int64 {
	t.Helper()
	var kept *schemas.Batch
	poisoned := false
	o.Keep = func(b *schemas.Batch) (string, error) {
		kept = b
		for i, n := 0, 0; i < len(b.Pixels[0]); i++ {
			if b.Pixels[0][i] == 0xee {
				n++
			}
			poisoned = poisoned || n > len(b.Pixels[0])/2
		}
		return "diverged.arrow", nil
	}
	_, err := Run(context.Background(), o)
	if !errors.Is(err, errs.ErrDiverged) || kept == nil || !strings.Contains(err.Error(), fmt.Sprintf("step %d", kept.Step)) {
		t.Fatalf("got %v, batch kept: %+v", err, kept)
	}
	if poisoned {
		t.Error("the batch that was kept had been released")
	}
	return kept.Step
}

// TestErrorAhead: the stream's error ends the run after the steps that it has given, which
// are saved.
func TestErrorAhead(t *testing.T) {
	r, spec := tiny(t, 12)
	out := t.TempDir()
	s := &counted{noise: noise{spec: spec, failAt: 6}}
	_, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: s, Out: out, Ahead: 3, InFlight: 2})
	if !errors.Is(err, errBroker) {
		t.Fatalf("got %v, want the stream's error", err)
	}
	if c, _, err := LatestCheckpoint(CheckpointDir(out)); err != nil || c.Step != 6 {
		t.Errorf("checkpoint %+v, %v; want step 6", c, err)
	}
	if s.released.Load() != 6 {
		t.Errorf("%d of 6 batches were released", s.released.Load())
	}
}

// TestInterruptAhead: an interrupt ends a reader that waits, loses no step that was done,
// and every batch is released; the resumed run ends with the same bits.
func TestInterruptAhead(t *testing.T) {
	const steps, stop = 11, 4
	r, spec := tiny(t, steps, "log_every=100")
	whole := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
	out := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &counted{noise: noise{spec: spec}, gate: make(chan struct{}, steps)}
	for range stop {
		s.gate <- struct{}{}
	}
	_, err := Run(ctx, Options{Recipe: r, Spec: spec, Stream: s, Out: out, Ahead: 2, InFlight: 2, Observe: func(p Progress) {
		if p.Step == stop { // the reader waits for the next batch, or soon will
			time.AfterFunc(20*time.Millisecond, cancel)
		}
	}})
	if !errors.Is(err, errs.ErrInterrupted) {
		t.Fatalf("got %v, want ErrInterrupted", err)
	}
	if s.released.Load() != stop {
		t.Errorf("%d of %d batches were released", s.released.Load(), stop)
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil || c.Step != stop {
		t.Fatalf("checkpoint %+v, %v; want step %d", c, err, stop)
	}
	got := finish(t, Options{Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec, step: c.Step}}, Out: out, Resume: c, Ahead: 2, InFlight: 2})
	if got.StudentSHA256 != whole.StudentSHA256 || got.QueueSHA256 != whole.QueueSHA256 {
		t.Errorf("resumed run ends with student %.12s, want %.12s", got.StudentSHA256, whole.StudentSHA256)
	}
}

// TestFailedAsyncStepIsNotSaved: a step that fails on its way to the device ends the run
// without a checkpoint of it, and leaks nothing.
func TestFailedAsyncStepIsNotSaved(t *testing.T) {
	r, spec := tiny(t, 12, "checkpoint_every=4", "log_every=100")
	before := torch.LiveTensors()
	out := t.TempDir()
	s := &counted{noise: noise{spec: spec}}
	if _, err := runFailing(t, Options{Recipe: r, Spec: spec, Stream: s, Out: out, Ahead: 2, InFlight: 2}, 6); err == nil {
		t.Fatal("the run continued")
	}
	if c, _, err := LatestCheckpoint(CheckpointDir(out)); err != nil || c.Step != 4 {
		t.Errorf("newest checkpoint is %+v, %v; want step 4", c, err)
	}
	if after := torch.LiveTensors(); after != before {
		t.Errorf("%d tensors before, %d after", before, after)
	}
	if s.released.Load() != s.step {
		t.Errorf("%d of %d batches were released", s.released.Load(), s.step)
	}
}

// TestPhasesAreTimed: every phase of a step takes some time, in the metrics and in the
// summary.
func TestPhasesAreTimed(t *testing.T) {
	r, spec := tiny(t, 6, "log_every=2")
	out := t.TempDir()
	sum := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: out})
	lines, err := ReadMetrics(filepath.Join(out, "metrics.jsonl"))
	if err != nil || len(lines) != 3 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	total := 0.0
	for i, name := range PhaseNames {
		for _, p := range []Phases{sum.PhaseMS, lines[0].PhaseMS} {
			if v := p.Values()[i]; !(v > 0) && name != "graph" {
				t.Errorf("%s took %v ms", name, v)
			}
		}
		total += sum.PhaseMS.Values()[i]
	}
	if step := 1000 * float64(spec.BatchSize) / sum.ImagesPerSecond; total > 1.01*step || total < 0.5*step {
		t.Errorf("phases take %.3f ms together, a step %.3f", total, step)
	}
	if raw, err := os.ReadFile(filepath.Join(out, "metrics.jsonl")); err != nil || !strings.Contains(string(raw), `"phase_ms":{"data_wait":`) {
		t.Errorf("metrics without phases: %.200s (%v)", raw, err)
	}
}

// TestFailuresGiveAHint: a step's failure names the step, what to change and how to
// continue; nothing of it is saved.
func TestFailuresGiveAHint(t *testing.T) {
	r, spec := tiny(t, 4, "accumulate=2", "deterministic=true")
	onGPU := *r
	onGPU.Device = "cuda"
	torchError := func(sentinel error, text string) error {
		return errs.New("torch", "aten::convolution_backward", "a hint of its own", errs.Because(sentinel, text))
	}
	for hint, err := range map[string]error{
		"set accumulate=4, activation_checkpointing=true or precision=bf16, or lower batch_size": torchError(errs.ErrTooLarge, "CUDA out of memory. Tried to allocate 2.00 GiB"),
		"the newest checkpoint is sound: continue from it with --resume; a hint of its own":      torchError(errs.ErrUnavailable, "CUDA error: unspecified launch failure"),
		"set deterministic=false": torchError(errs.ErrUnsupported, "max_pool2d_with_indices_backward_cuda does not have a deterministic implementation"),
	} {
		l := &loop{Options: Options{Recipe: r, Spec: spec}}
		got := l.failed(inFlightStep{step: 3}, err)
		if !l.inconsistent {
			t.Errorf("%v: the state may be saved", err)
		}
		var was *errs.Error
		if !errors.As(err, &was) || !errors.Is(got, was.Err) || strings.Count(got.Error(), "hint:") != 1 ||
			!strings.Contains(got.Error(), hint) || !strings.Contains(got.Error(), "step 3") || !strings.Contains(got.Error(), was.Err.Error()) {
			t.Errorf("%v becomes %v", err, got)
		}
		l.Recipe = &onGPU
		if got := l.failed(inFlightStep{step: 3}, err); strings.Contains(got.Error(), "set cuda_graph=false, ") != errors.Is(err, errs.ErrTooLarge) {
			t.Errorf("on a GPU %v becomes %v", err, got)
		}
	}
}
