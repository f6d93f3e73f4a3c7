package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"resslt/schemas/errs"
	"resslt/train/recipe"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// rising is a Score whose encoders get better until the third epoch: 10, 20, 30, 30, 29, …
func rising(s EncoderSnapshot, _ string) (float64, error) {
	return []float64{10, 20, 30, 30, 29, 30, 30, 30}[s.Epoch-1], nil
}

func TestStopRule(t *testing.T) {
	for _, c := range []struct {
		on     string
		scores []float64
		want   int // the score with which the run ends, from 1; 0: none
	}{
		{"knn:1", []float64{10, 11, 11}, 3},
		{"knn:2", []float64{10, 20, 15, 21, 20, 20}, 6},
		{"linear:2:1", []float64{10, 10.5, 10.9, 30}, 3},
		{"linear:3:1", []float64{10, 10.5, 11.5, 12, 12.4}, 0},
		{"knn:1", []float64{0, 0}, 2},
		{"knn:9", []float64{5, 4, 3, 2}, 0},
	} {
		r := recipe.Default()
		r.StopOn = c.on
		rule, s, err := stoppingOf(&r, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for i, score := range c.scores {
			if s.take(rule, int64(i+1), score) {
				got = i + 1
				break
			}
		}
		if got != c.want {
			t.Errorf("%s on %v ends with score %d, want %d", c.on, c.scores, got, c.want)
		}
	}
}

// stoppable is a run of 8 epochs of 2 steps that rising ends after the fifth.
func stoppable(t *testing.T, set ...string) Options {
	r, spec := tiny(t, 2, append([]string{"epochs=8", "knn_every=1", "stop_on=knn:2", "checkpoint_every=3", "log_every=3"}, set...)...)
	spec.Epochs = 8
	return Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir(), Score: rising}
}

// A run that stop_on ends has the weights of that step of the run as planned, and its recipe
// gives them again without a score.
func TestStopOn(t *testing.T) {
	o := stoppable(t)
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	res.Learner.Free()
	sum := res.Summary
	if res.Spec.Epochs != 5 || res.Recipe.Epochs != 5 || res.Recipe.StopOn != "" || !slices.Equal(res.Recipe.Replanned, []string{"10:8"}) ||
		sum.Steps != 10 || sum.Stopping == nil || *sum.Stopping != (Stopping{"knn:2", 10, 30, 6, 2, 8}) {
		t.Fatalf("ended as %+v, %+v, recipe of %d epochs, replanned %v", sum.Steps, sum.Stopping, res.Recipe.Epochs, res.Recipe.Replanned)
	}
	if o.Recipe.Epochs != 8 || o.Spec.Epochs != 8 {
		t.Error("the caller's recipe or spec was changed")
	}
	c, _, err := LatestCheckpoint(CheckpointDir(o.Out))
	if err != nil || c.Step != 10 || !c.Stopping.Ended() || c.RunDigest != res.Spec.Digest() {
		t.Fatalf("checkpoint %+v, %v", c, err)
	}

	planned := stoppable(t, "stop_on=")
	planned.Stream = &noise{spec: planned.Spec, failAt: 10}
	if _, err := Run(context.Background(), planned); !errors.Is(err, errBroker) {
		t.Fatal(err)
	}
	at, _, err := LatestCheckpoint(CheckpointDir(planned.Out))
	if err != nil || at.Step != 10 || at.SHA256 != c.SHA256 {
		t.Errorf("step %d of the run as planned has another state, %v", at.Step, err)
	}

	again := Options{Recipe: res.Recipe, Spec: res.Spec, Stream: &noise{spec: res.Spec}, Out: t.TempDir()}
	if got := finish(t, again); got.StudentSHA256 != sum.StudentSHA256 || got.QueueSHA256 != sum.QueueSHA256 || got.FinalLoss != sum.FinalLoss {
		t.Error("the recipe that is kept gives other weights")
	}

	// Longer again, it goes on by the schedules that it was planned for.
	longer := stoppable(t, "stop_on=", "replanned=[10:8]")
	longer.Resume, longer.Stream, longer.Out = c, &noise{spec: longer.Spec, step: 10}, o.Out
	whole := stoppable(t, "stop_on=")
	if a, b := finish(t, longer), finish(t, whole); a.StudentSHA256 != b.StudentSHA256 {
		t.Error("a run that was ended and goes on ends elsewhere than one that was not")
	}
}

// However a run is interrupted, also while it waits for a score, it ends at the same step.
func TestStopOnResumes(t *testing.T) {
	want := finish(t, stoppable(t))
	for failAt := int64(1); failAt < 10; failAt++ {
		o := stoppable(t)
		o.Stream = &noise{spec: o.Spec, failAt: failAt}
		if _, err := Run(context.Background(), o); !errors.Is(err, errBroker) {
			t.Fatal(err)
		}
		resumeStopped(t, o, want)
	}
	for epoch := int64(1); epoch <= 5; epoch++ {
		o := stoppable(t)
		ctx, cancel := context.WithCancel(context.Background())
		o.Score = func(s EncoderSnapshot, probe string) (float64, error) {
			if s.Epoch == epoch {
				cancel()
				return 0, ctx.Err()
			}
			return rising(s, probe)
		}
		if _, err := Run(ctx, o); !errors.Is(err, errs.ErrInterrupted) {
			t.Fatalf("interrupted in the score of epoch %d: %v", epoch, err)
		}
		resumeStopped(t, o, want)
	}
}

func resumeStopped(t *testing.T, o Options, want Summary) {
	t.Helper()
	c, _, err := LatestCheckpoint(CheckpointDir(o.Out))
	if err != nil {
		t.Fatal(err)
	}
	o.Resume, o.Stream, o.Score = c, &noise{spec: o.Spec, step: c.Step}, rising
	got := finish(t, o)
	if got.Steps != want.Steps || got.StudentSHA256 != want.StudentSHA256 || *got.Stopping != *want.Stopping {
		t.Errorf("resumed at step %d it ended after step %d of %+v, want %d, %+v", c.Step, got.Steps, got.Stopping, want.Steps, want.Stopping)
	}
}

// Without anybody to score, a run that depends on it does not go on as if it did not.
func TestStopOnNeedsAScore(t *testing.T) {
	o := stoppable(t)
	o.Score = nil
	if _, err := Run(context.Background(), o); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("it gives %v", err)
	}
}

// TestVerdict: rank 0 decides for all, or fails for all, however long it takes.
func TestVerdict(t *testing.T) {
	torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		own := errors.New("no score")
		for _, c := range []struct {
			ends bool
			err  error
		}{{true, nil}, {false, nil}, {false, own}} {
			r := &ranks{group: g}
			ends, err := r.verdict(t.Context(), "step 2 of 16", func() (bool, error) {
				if g.Rank() != 0 {
					t.Error("another rank than 0 judges")
				}
				time.Sleep(3 * verdictEvery / 2)
				return c.ends, c.err
			})
			if ends != c.ends {
				t.Errorf("rank %d ends: %v", g.Rank(), ends)
			}
			switch {
			case c.err == nil && err != nil:
				t.Errorf("rank %d: %v", g.Rank(), err)
			case c.err != nil && g.Rank() == 0 && !errors.Is(err, own), c.err != nil && g.Rank() == 1 && !errors.Is(err, errs.ErrUnavailable):
				t.Errorf("rank %d: %v", g.Rank(), err)
			}
		}
		return nil
	})
}

// TestStopOnRanks: two ranks end their run after the step that rank 0's score says, with one state.
func TestStopOnRanks(t *testing.T) {
	out := t.TempDir()
	ends := torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		o := stoppable(t)
		half := *o.Spec
		half.BatchSize /= 2
		o.Stream, o.Out, o.Group = &noise{spec: &half}, out, g
		if g.Rank() != 0 {
			o.Score = nil
		}
		sum := finish(t, o)
		return fmt.Appendf(nil, "%d %s", sum.Steps, sum.StudentSHA256)
	})
	if string(ends[0]) != string(ends[1]) || !strings.HasPrefix(string(ends[0]), "10 ") {
		t.Errorf("the ranks end as %q", ends)
	}
}
