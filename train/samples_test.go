package train

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestBankIsKeyedBySample: a step writes the rows of its samples, each whole, whatever the
// micro-batches, and no others; an id beyond N is a mixture's repeat of a sample.
func TestBankIsKeyedBySample(t *testing.T) {
	nntest.Torch(t)
	for _, name := range []string{"npid", "pcl-v2", "localagg", "pirl"} {
		for _, accumulate := range []int{1, 2} {
			c := small
			c.Objective, c.Accumulate = name, accumulate
			l := newSmall(t, c)
			defer l.Free()
			d := c.Options.Dim
			bank := func() []float32 { return floats(ofState(t, l)["bank"]) }
			before := bank()
			h := hyper
			stepThree(t, l, "x", h)
			after, seen := bank(), samplesOf("x")
			for row := range int(c.Samples) {
				same := slices.Equal(before[row*d:(row+1)*d], after[row*d:(row+1)*d])
				if same == slices.Contains(seen, int64(row)) {
					t.Errorf("%s, %d micro-batches of samples %v: row %d stayed: %v", name, accumulate, seen, row, same)
				}
			}
		}
	}
}

// TestRepeatsAreOneSample: ids i and i+N of a mixture have one row.
func TestRepeatsAreOneSample(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Objective = "npid"
	l := newSmall(t, c)
	defer l.Free()
	nntest.Do(t, func() {
		if got := l.samples([]int64{3, 23, 19, 40}, 1, 2).Int64s(); !slices.Equal(got, []int64{19, 0}) {
			t.Errorf("the second half of ids 3, 23, 19, 40 of 20 samples is %v", got)
		}
	})
}

// TestKeyedRefuses: what an objective with a bank cannot work with is refused by name, before
// anything has moved; a learner that only evaluates needs none of it.
func TestKeyedRefuses(t *testing.T) {
	nntest.Torch(t)
	for says, change := range map[string]func(*Config){
		"how many samples": func(c *Config) { c.Samples = 0 },
		"has 20 samples":   func(c *Config) { c.Options.Clusters = []int{21} },
	} {
		c := small
		c.Objective = "pcl-v2"
		change(&c)
		if l, err := NewLearner(c); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an error that says %q", err, says)
			if err == nil {
				l.Free()
			}
		}
	}
	c := small
	c.Objective = "npid"
	l := newSmall(t, c)
	defer l.Free()
	before := contents(t, l)
	nntest.Do(t, func() {
		x := torch.FromUint8(nntest.Pixels("x", smallBatch, smallSize), smallBatch, smallSize, smallSize, 3)
		for says, ids := range map[string][]int64{"got 0 for 8 rows": nil, "one is -1": {0, 1, 2, 3, 4, 5, 6, -1}} {
			h := hyper
			h.Samples = ids
			if _, err := l.Step(nil, []*torch.Tensor{x}, h); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), says) {
				t.Errorf("samples %v: %v, want %q", ids, err, says)
			}
		}
	})
	sameContents(t, "refused steps", before, contents(t, l))

	r, _ := tiny(t, 1, "objective=pcl-v2", "clusters=[4000]")
	u, err := untrained(r, 8)
	if err != nil {
		t.Fatalf("the untrained encoder of a run with 4000 clusters: %v", err)
	}
	u.Free()
}

// TestRefreshes: the first step of every cluster_every epochs once α is 1, and the first whose α
// is 1, wherever a run is resumed.
func TestRefreshes(t *testing.T) {
	for set, want := range map[string][]int64{
		"pcl_warmup_epochs=0":   {0, 4, 8, 12},
		"pcl_warmup_epochs=1.5": {6, 8, 12},
		"pcl_warmup_epochs=2":   {8, 12},
	} {
		r, spec := tiny(t, 4, "objective=pcl-v2", "epochs=4", set)
		spec.Epochs = 4
		s, err := newSchedules(r, spec)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for step := range spec.Steps() {
			if s.at(step, false).Refresh {
				got = append(got, step)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: refreshed before steps %v, want %v", set, got, want)
		}
	}
}
