package train

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/objective"
	"resslt/train/torch"
)

// threeSteps makes three steps on images of three views and gives the state.
func threeSteps(t testing.TB, c Config) map[string][]byte {
	t.Helper()
	l := newSmall(t, c)
	defer l.Free()
	for i := range 3 {
		stepThree(t, l, fmt.Sprint("image ", i), Hyper{LR: 0.01, Momentum: 0.99, Alpha: 0.5, Step: int64(i)})
	}
	return contents(t, l)
}

// stepThree is a step on as many views as the objective takes.
func stepThree(t testing.TB, l *Learner, name string, h Hyper) (s Stats) {
	t.Helper()
	err := torch.Do(func() (err error) {
		views := func(side string, n int) (out []*torch.Tensor) {
			for v := range n {
				out = append(out, torch.FromUint8(nntest.Pixels(fmt.Sprint(name, side, v), smallBatch, smallSize), smallBatch, smallSize, smallSize, 3))
			}
			return out
		}
		students := l.parts.StudentViews
		if students == 0 {
			students = 2
		}
		h.Samples = samplesOf(name)
		h.Labels = labelsOf(l, 0, smallBatch)
		s, err = l.Step(views(" teacher ", l.parts.TeacherViews), views(" student ", students), h)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRecomputeGivesTheSameBits: activation checkpointing changes memory alone, for
// every objective, and where stages draw (stochastic depth), group (batch norm) or
// compute in bf16.
func TestRecomputeGivesTheSameBits(t *testing.T) {
	nntest.Torch(t)
	cases := map[string]func(*Config){
		"bf16":        func(c *Config) { c.BF16 = true },
		"groups":      func(c *Config) { c.Groups, c.Options.NoPredictor = 2, true },
		"accumulate":  func(c *Config) { c.Accumulate = 2 },
		"channels":    func(c *Config) { c.ChannelsLast = true },
		"efficient":   func(c *Config) { c.Backbone, c.StochasticDepth = "efficientnet_b0", 0.5 },
		"transformer": func(c *Config) { c.Backbone, c.StochasticDepth, c.ImageSize = "vit_tiny_patch4", 0.5, smallSize },
		"pairs":       func(c *Config) { c.Objective, c.Accumulate = "simclr", 2 },
		"three":       func(c *Config) { c.Objective, c.Accumulate = "bingo", 2 },
		"a pair":      func(c *Config) { c.Objective, c.Backbone, c.StochasticDepth = "simclr", "efficientnet_b0", 0.5 },
		"mobile":      func(c *Config) { c.Backbone = "mobilenet_v3_large" },
		"bottlenecks": func(c *Config) { c.Backbone = "resnet50" },
		"wide":        func(c *Config) { c.Backbone = "wide_resnet50_2" },
		"convnext":    func(c *Config) { c.Backbone, c.StochasticDepth = "convnext_tiny", 0.5 },
		"frozen":      func(c *Config) { c.Freeze = []string{"stem", "layer1"} },
		"a gap":       func(c *Config) { c.Freeze = []string{"layer2"} },
		"heads alone": func(c *Config) { c.Freeze = []string{"*"} },
		"patches": func(c *Config) {
			c.Backbone, c.ImageSize, c.Freeze = "vit_tiny_patch4", smallSize, []string{"conv_proj"}
		},
	}
	for _, name := range objective.Names() {
		cases[name] = func(c *Config) { c.Objective = name }
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			c := small
			if change(&c); c.BF16 {
				nntest.BFloat16(t)
			}
			plain := threeSteps(t, c)
			c.Recompute = true
			sameContents(t, "recomputed", plain, threeSteps(t, c))
		})
	}
}

// TestRecomputeLeaksNothing: tapes are gone after the step.
func TestRecomputeLeaksNothing(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Recompute, c.Accumulate, c.Objective = true, 2, "nnclr"
	l := newSmall(t, c)
	defer l.Free()
	stepThree(t, l, "first", hyper)
	want := torch.LiveTensors()
	stepThree(t, l, "second", hyper)
	if got := torch.LiveTensors(); got != want {
		t.Errorf("%d live tensors after a second step, %d after the first", got, want)
	}
}

// TestAccumulateIsTheMeanOverTheBatch: micro-batches are to batch norm what groups
// are, so a batch in two halves and one in two groups take the same step where
// nothing is shuffled and no sample is compared with another.
func TestAccumulateIsTheMeanOverTheBatch(t *testing.T) {
	nntest.Torch(t)
	step := func(change func(*Config)) (float64, nntest.Values) {
		c := small
		c.Objective, c.Double = "simsiam", true
		change(&c)
		l := newSmall(t, c)
		defer l.Free()
		h := hyper
		h.Stats = true
		loss := stepThree(t, l, "x", h).Loss
		weights := nntest.Values{}
		nntest.Do(t, func() {
			for _, p := range nn.Parameters(l.student) {
				weights.Take(p.Name, p.Tensor)
			}
		})
		return loss, weights
	}
	loss, halves := step(func(c *Config) { c.Accumulate = 2 })
	want, groups := step(func(c *Config) { c.Groups = 2 })
	whole, _ := step(func(*Config) {})
	// In float64 sums in another order agree to 2⁻⁵³ times the condition, which fp32's
	// steps put below 1e6 (TestStepParity): 1e-9 is ten times that.
	if math.Abs(loss-want) > 1e-9*math.Abs(want) {
		t.Errorf("two halves have loss %v, two groups %v", loss, want)
	}
	if math.Abs(loss-whole) < 1e-6 {
		t.Errorf("two halves have the loss of one batch, %v: batch norm did not see halves", whole)
	}
	for name, w := range groups {
		nntest.Close(t, name, halves[name], w, 1e-9)
	}
}

// TestQueueTakesAccumulatedKeysOnce: all micro-batches meet the queue as it was, and
// their keys follow one another in it.
func TestQueueTakesAccumulatedKeysOnce(t *testing.T) {
	nntest.Torch(t)
	for _, name := range []string{"ressl", "nnclr"} {
		c := small
		c.Objective, c.Accumulate = name, 4
		l := newSmall(t, c)
		nntest.Do(t, func() {
			before := l.queue.keys.Float32s()
			stepThree(t, l, "x", hyper)
			after := l.queue.keys.Float32s()
			d := small.Options.Dim
			if l.queue.at != smallBatch {
				t.Errorf("%s: the queue's pointer is %d after a batch of %d", name, l.queue.at, smallBatch)
			}
			if !slices.Equal(before[smallBatch*d:], after[smallBatch*d:]) {
				t.Errorf("%s: keys beyond the batch changed", name)
			}
			for row := range smallBatch {
				if slices.Equal(before[row*d:(row+1)*d], after[row*d:(row+1)*d]) {
					t.Errorf("%s: row %d is as it was", name, row)
				}
			}
		})
		l.Free()
	}
}

// TestShuffleIsAFunctionOfSeedAndStep, and undone: row i of the teacher's z² belongs
// to sample i.
func TestShuffleIsAFunctionOfSeedAndStep(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Options.NoPredictor, c.Groups = true, 2
	l := newSmall(t, c)
	defer l.Free()
	nntest.Do(t, func() {
		x := torch.FromUint8(nntest.Pixels("x", smallBatch, smallSize), smallBatch, smallSize, smallSize, 3)
		targets := func(step int64) []float32 {
			return l.teacher.embed([]*torch.Tensor{x}, drawKey{step: step})[0].Float32s()
		}
		if !slices.Equal(targets(1), targets(1)) {
			t.Error("one step drew two shuffles")
		}
		if slices.Equal(targets(1), targets(2)) {
			t.Error("two steps drew the same shuffle")
		}
		shuffled, back := l.parallel.shuffle(x, nn.Random(c.Seed, "name"))
		if slices.Equal(shuffled.Bytes(), x.Bytes()) {
			t.Error("the rows stayed where they were")
		}
		if !slices.Equal(back(shuffled).Bytes(), x.Bytes()) {
			t.Error("the shuffle was not undone")
		}
		// In eval mode samples do not depend on each other, so the shuffle cannot be seen.
		l.teacher.SetTraining(false)
		if !slices.Equal(targets(1), targets(2)) {
			t.Error("rows do not come back in the samples' order")
		}
	})
}
