package train

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn/nntest"
)

// TestShownLabels: as many samples show their label as the fraction says, the same ones in any
// batch, by another seed others, and the rest show none.
func TestShownLabels(t *testing.T) {
	const n, fraction = 20000, 0.1
	spec := &schemas.RunSpec{Seed: 3, Dataset: schemas.DatasetSpec{Samples: n}}
	b := &schemas.Batch{}
	for i := range int64(n) {
		b.Samples, b.Labels = append(b.Samples, i), append(b.Labels, int32(i%10))
	}
	got, err := shownLabels(b, spec, fraction)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for i, label := range got {
		if label == schemas.NoLabel {
			continue
		}
		if shown++; label != b.Labels[i] {
			t.Fatalf("sample %d shows %d, its label is %d", i, label, b.Labels[i])
		}
	}
	// Five standard deviations of a binomial number.
	if d := math.Abs(float64(shown) - fraction*n); d > 5*math.Sqrt(n*fraction*(1-fraction)) {
		t.Errorf("%d of %d samples show their label, want about %g", shown, n, fraction*n)
	}
	slices.Reverse(b.Samples)
	slices.Reverse(b.Labels)
	again, err := shownLabels(b, spec, fraction)
	if slices.Reverse(again); err != nil || !slices.Equal(again, got) {
		t.Errorf("in another order other samples show theirs (%v)", err)
	}
	if !showsLabel(spec, 5+n, 1) || showsLabel(spec, schemas.Unmade, 1) {
		t.Error("a mixture's further id, or a slot that was not made")
	}
	for id := range int64(100) {
		if showsLabel(spec, id, fraction) != showsLabel(spec, id+n, fraction) {
			t.Errorf("sample %d has two answers, by its two ids", id)
		}
	}
	spec.Seed++
	slices.Reverse(b.Samples)
	slices.Reverse(b.Labels)
	if other, err := shownLabels(b, spec, fraction); err != nil || slices.Equal(other, got) {
		t.Errorf("by another seed the same samples show theirs (%v)", err)
	}
	if all, err := shownLabels(b, spec, 1); err != nil || !slices.Equal(all, b.Labels) {
		t.Errorf("of a fraction of 1 not all are shown (%v)", err)
	}
	b.Labels[7] = schemas.NoLabel
	if _, err := shownLabels(b, spec, 1); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "sample 7") {
		t.Errorf("data without a label: %v", err)
	}
}

// relabelled is noise, of which samples that show or hide their label have another one.
type relabelled struct {
	noise
	shown bool
}

func (r *relabelled) Next(ctx context.Context) (*schemas.Batch, error) {
	b, err := r.noise.Next(ctx)
	if err != nil {
		return nil, err
	}
	for i, id := range b.Samples {
		if showsLabel(r.spec, id, 0.5) == r.shown {
			b.Labels[i] = (b.Labels[i] + 1) % 10
		}
	}
	return b, nil
}

// TestHiddenLabelsDoNothing: weights are the same to the bit whatever the labels of the samples
// that do not show theirs, and others by those that do.
func TestHiddenLabelsDoNothing(t *testing.T) {
	for _, name := range []string{"fixmatch", "uda", "s4l"} {
		r, spec := tiny(t, 4, "objective="+name, "classes=10", "label_fraction=0.5", "lr_warmup_epochs=0")
		run := func(s Stream) (student, own string) {
			sum := finish(t, Options{Recipe: r, Spec: spec, Stream: s, Out: t.TempDir()})
			return sum.StudentSHA256, sum.ObjectiveSHA256
		}
		student, own := run(&noise{spec: spec})
		if s, o := run(&relabelled{noise{spec: spec}, false}); s != student || o != own {
			t.Errorf("%s: labels that are hidden moved the weights", name)
		}
		if s, o := run(&relabelled{noise{spec: spec}, true}); s == student || o == own {
			t.Errorf("%s: labels that are shown moved nothing", name)
		}
	}
}

// TestLabelsThatAStepRefuses, before anything moves.
func TestLabelsThatAStepRefuses(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Objective = "fixmatch"
	l := newSmall(t, c)
	defer l.Free()
	for says, labels := range map[string][]int32{
		"5 for 8 samples": make([]int32, 5),
		"class 5":         {0, 1, 2, 3, 4, 5, -1, -1},
		"class -2":        {-2, 1, 2, 3, 4, 4, -1, -1},
	} {
		if err := l.checkLabels(labels, smallBatch); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want a usage error that says %q", labels, err, says)
		}
	}
	c.Options.Classes = 0
	if _, err := NewLearner(c); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("without classes: %v", err)
	}
}

// TestLabelsAreLearned: on one batch whose samples all show their label the classifier comes to
// them.
func TestLabelsAreLearned(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Objective, c.Options.LabelFraction = "fixmatch", 0.5 // as many as labelsOf shows
	l := newSmall(t, c)
	defer l.Free()
	h := Hyper{LR: 0.1, Stats: true}
	first := stepThree(t, l, "x", h).Supervised
	var last float64
	for range 30 {
		last = stepThree(t, l, "x", h).Supervised
	}
	if !(last < first/4) {
		t.Errorf("the labels' cross-entropy goes from %.3f to %.3f", first, last)
	}
}
