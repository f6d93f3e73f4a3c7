package train

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// ofState are the contents of an objective's own tensors.
func ofState(t *testing.T, l *Learner) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, b := range contents(t, l) {
		if strings.HasPrefix(name, statePrefix) {
			out[strings.TrimPrefix(name, statePrefix)] = string(b)
		}
	}
	return out
}

// TestObjectiveStateMoves: what a step moves of an objective's own tensors, and what it leaves
// where the recipe holds the parameters.
func TestObjectiveStateMoves(t *testing.T) {
	nntest.Torch(t)
	for _, c := range []struct {
		objective string
		hold      bool
		moves     []string
		stay      []string
	}{
		{"ressl", false, nil, nil},
		{"dino", false, []string{"centre", "prototypes", "prototypes_teacher"}, nil},
		{"dino", true, []string{"centre"}, []string{"prototypes", "prototypes_teacher"}},
		{"swav", false, []string{"prototypes", "queue0", "queue1"}, nil},
		{"swav", true, []string{"queue0", "queue1"}, []string{"prototypes"}},
		{"unigrad", true, []string{"correlation"}, nil},
		{"adco", true, []string{"adversaries"}, nil},
		{"npid", true, []string{"bank"}, nil},
		{"pirl", true, []string{"bank", "jigsaw"}, nil},           // hold_epochs does not count
		{"infomin", true, []string{"jigsaw", "jigsaw_bias"}, nil}, // nor here
		{"relative-loc", true, []string{"pair", "place"}, nil},
		{"cpc-v2", true, predictors(), nil},
		{"localagg", true, []string{"bank"}, []string{"labels"}}, // α is below 1
		{"s4l", true, []string{"bias", "classifier", "rotations", "rotations_bias"}, nil},
		{"fixmatch", true, []string{"bias", "classifier"}, nil}, // hold_epochs does not count
		{"compress", false, []string{"student_anchors", "teacher_anchors"}, nil},
	} {
		config := small
		config.Objective = c.objective
		l := newSmall(t, config)
		defer l.Free()
		before := ofState(t, l)
		h := hyper
		h.Hold = c.hold
		stepThree(t, l, "x", h)
		after := ofState(t, l)
		if got, want := slices.Sorted(maps.Keys(after)), slices.Sorted(slices.Values(slices.Concat(c.moves, c.stay))); !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", c.objective, got, want)
		}
		for _, name := range c.moves {
			if before[name] == after[name] {
				t.Errorf("%s, hold %v: %s stayed", c.objective, c.hold, name)
			}
		}
		for _, name := range c.stay {
			// SwAV's are brought to unit length again, which they have up to rounding.
			if d := nntest.Deviation(floats(after[name]), floats(before[name])); d > 2*nntest.Unit {
				t.Errorf("%s, hold %v: %s moved by %g", c.objective, c.hold, name, d)
			}
		}
	}
}

// predictors are CPC v2's own parameters: of each direction context network, targets and predictions.
func predictors() (names []string) {
	o := small.Options
	for _, direction := range []string{"down", "up", "right", "left"} {
		layers := []string{}
		for i := range o.ContextBlocks {
			for _, conv := range []string{"reduce", "across", "above", "expand"} {
				layers = append(layers, fmt.Sprintf("block%d.%s", i, conv))
			}
		}
		for k := o.StepFrom; k <= o.StepTo; k++ {
			layers = append(layers, fmt.Sprintf("step%d", k))
		}
		names = append(names, direction+".target")
		for _, l := range layers {
			names = append(names, direction+"."+l, direction+"."+l+"_bias")
		}
	}
	return names
}

// floats are a tensor's elements by its bytes.
func floats(b string) (out []float32) {
	torch.Do(func() error {
		out = torch.FromBytes(torch.Float32, []byte(b), int64(len(b)/4)).Float32s()
		return nil
	})
	return out
}

// TestSwAVsQueueIsNewestFirst: it takes the global crops' embeddings of every micro-batch.
func TestSwAVsQueueIsNewestFirst(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Objective, c.Accumulate = "swav", 2
	l := newSmall(t, c)
	defer l.Free()
	rows := func() []float32 { return floats(ofState(t, l)["queue0"]) }
	batch := smallBatch * c.Options.Dim
	stepThree(t, l, "first", hyper)
	first := rows()
	stepThree(t, l, "second", hyper)
	if second := rows(); !slices.Equal(second[batch:2*batch], first[:batch]) {
		t.Error("a batch's rows do not follow those of the next one")
	}
	for i, v := range first[batch:] {
		if v != 0 {
			t.Fatalf("element %d behind the first batch is %v, want 0", i, v)
		}
	}
}

// TestUniGradsCorrelation: it begins as the first batch's, and keeps the trace that rows of
// unit length give it, whatever the micro-batches.
func TestUniGradsCorrelation(t *testing.T) {
	nntest.Torch(t)
	for _, accumulate := range []int{1, 2} {
		c := small
		c.Objective, c.Accumulate = "unigrad", accumulate
		l := newSmall(t, c)
		defer l.Free()
		d := c.Options.Dim
		var before []float32
		for step := range 3 {
			stepThree(t, l, "x", hyper)
			f := floats(ofState(t, l)["correlation"])
			trace := 0.0
			for i := range d {
				trace += float64(f[i*d+i])
			}
			if math.Abs(trace-1) > 1e-6 {
				t.Errorf("%d micro-batches: after step %d the trace is %v", accumulate, step, trace)
			}
			// 1 − ρ of the same images' correlation, which hardly moves, is let in.
			if step > 0 {
				if moved := nntest.Deviation(f, before); !(moved > 0 && moved < 0.1) {
					t.Errorf("%d micro-batches: step %d moved it by %g", accumulate, step, moved)
				}
			}
			before = f
		}
	}
}

// TestAdCosNegatives: they are the newest keys until K have come, and from then on climb the
// loss, by their own optimiser alone.
func TestAdCosNegatives(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Objective, c.QueueSize, c.Options.AdversaryLR = "adco", 2*smallBatch, 0.01
	l := newSmall(t, c)
	defer l.Free()
	d := c.Options.Dim
	h := Hyper{Momentum: 1, Alpha: 0.5, Stats: true} // the networks stay as they are
	rows := func() []float32 { return floats(ofState(t, l)["adversaries"]) }
	buffer := func() []float32 { return floats(string(contents(t, l)["optimizer.momentum.objective.adversaries"])) }
	random := rows()
	stepThree(t, l, "first", h)
	first := rows()
	if !slices.Equal(first[smallBatch*d:], random[:smallBatch*d]) || slices.Equal(first[:smallBatch*d], random[:smallBatch*d]) {
		t.Error("a batch's keys do not come before the others")
	}
	if slices.Max(buffer()) != 0 {
		t.Error("they have climbed while they were filled")
	}
	stepThree(t, l, "second", h)
	if second := rows(); !slices.Equal(second[smallBatch*d:], first[:smallBatch*d]) {
		t.Error("a batch's keys do not follow those of the next one")
	}
	h.Alpha, h.Hold = 1, true // which is of parameters that move with the network's
	var losses []float64
	for range 5 {
		losses = append(losses, stepThree(t, l, "second", h).InfoNCE)
	}
	if !slices.IsSorted(losses) || losses[4] < 1.01*losses[0] {
		t.Errorf("on one batch, with networks that stay, the loss goes %v: they do not climb", losses)
	}
}

// TestFrozenTeacher: its weights stay, a checkpoint has their digest in their place, and a run
// is resumed with no other.
func TestFrozenTeacher(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Objective = "seed"
	c.Frozen.File = smallTeacher(t)
	l := newSmall(t, c)
	defer l.Free()
	weights := func() (out nntest.Values) {
		out = nntest.Values{}
		nntest.Do(t, func() {
			for _, n := range nn.StateDict(l.teacher) {
				out.Take(n.Name, n.Tensor)
			}
		})
		return out
	}
	before := weights()
	stepThree(t, l, "x", hyper)
	for name, v := range weights() {
		if !slices.Equal(v, before[name]) {
			t.Errorf("%s moved", name)
		}
	}
	for name := range contents(t, l) {
		if strings.HasPrefix(name, "teacher.") && name != "teacher.digest" {
			t.Errorf("a checkpoint would hold %s", name)
		}
	}
	load := func(into *Learner) (err error) {
		nntest.Do(t, func() {
			values := map[string]*torch.Tensor{}
			for _, n := range l.State() {
				values[n.Name] = n.Tensor
			}
			err = into.LoadState(values)
		})
		return err
	}
	same := newSmall(t, c)
	defer same.Free()
	if err := load(same); err != nil {
		t.Error(err)
	}
	other := c
	other.Frozen.File = filepath.Join(t.TempDir(), "other.safetensors")
	if err := SaveEncoder(other.Frozen.File, l.teacher.Backbone, EncoderInfo{Backbone: "resnet18", Width: 1, Stem: "small", Mean: nn.ImageNetMean, Std: nn.ImageNetStd, ImageSize: 16}); err != nil {
		t.Fatal(err)
	}
	second := newSmall(t, other)
	defer second.Free()
	if err := load(second); !errors.Is(err, errs.ErrMismatch) || !strings.Contains(err.Error(), "digest") {
		t.Errorf("another teacher's file: %v", err)
	}
}

// TestUnfitTeacher: what a frozen teacher cannot be is refused by name.
func TestUnfitTeacher(t *testing.T) {
	nntest.Torch(t)
	file := smallTeacher(t)
	for says, change := range map[string]func(*Config){
		"teacher=FILE":      func(c *Config) { c.Frozen.File = "" },
		"embedding_dim=8":   func(c *Config) { c.Options.Dim = 16 },
		"none.safetensors":  func(c *Config) { c.Frozen.File = "none.safetensors" },
		"width 2":           func(c *Config) { c.Frozen.Width = 2 },
		"resnet50, width 1": func(c *Config) { c.Frozen.Backbone = "resnet50" },
	} {
		c := small
		c.Objective, c.Frozen.File = "seed", file
		change(&c)
		if l, err := NewLearner(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an error that says %q", err, says)
			if err == nil {
				l.Free()
			}
		}
	}
}

// TestKeyEncoder: beside a frozen teacher it begins as the student and follows it by equation 6,
// is in checkpoints, and gives the anchor points and keys of what it saw.
func TestKeyEncoder(t *testing.T) {
	nntest.Torch(t)
	for _, name := range []string{"compress", "disco"} {
		c := small
		c.Objective = name
		l := newSmall(t, c)
		defer l.Free()
		pairs := func() (same, all int) {
			state := contents(t, l)
			for key, b := range state {
				if rest, ok := strings.CutPrefix(key, "keys."); ok && !strings.Contains(rest, "running_") && !strings.Contains(rest, "num_batches") {
					all++
					if slices.Equal(b, state["student."+rest]) {
						same++
					}
				}
			}
			return same, all
		}
		if same, all := pairs(); all < 60 || same != all {
			t.Errorf("%s: %d of the key encoder's %d parameters begin as the student's", name, same, all)
		}
		embedded := func() []float32 { // of the view that it will see, before the step
			var out []float32
			nntest.Do(t, func() {
				x := torch.FromUint8(nntest.Pixels(fmt.Sprint("x", " teacher ", 0), smallBatch, smallSize), smallBatch, smallSize, smallSize, 3)
				torch.NoGrad(func() { out = l.keys.network.embed(x).P.Float32s() })
			})
			return out
		}()
		h := hyper
		h.Momentum = 1
		stepThree(t, l, "x", h)
		if same, all := pairs(); same > all/2 {
			t.Errorf("%s, m = 1: %d of %d parameters have moved with the student's", name, same, all)
		}
		rows := ofState(t, l)["student_anchors"]
		if name == "disco" {
			rows = string(contents(t, l)["queue.keys"])
		}
		if got := floats(rows)[:len(embedded)]; !slices.Equal(got, embedded) {
			t.Errorf("%s: the newest keys are not its embeddings", name)
		}
		h.Momentum = 0
		stepThree(t, l, "y", h)
		if same, all := pairs(); same != all {
			t.Errorf("%s, m = 0: %d of %d parameters are the student's", name, same, all)
		}
	}
}

// TestPredictors: where an objective has several they begin with weights of their own, and a step
// moves all of them.
func TestPredictors(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Objective = "simdis"
	l := newSmall(t, c)
	defer l.Free()
	const weight = ".0.weight" // of the first layer
	before := contents(t, l)
	stepThree(t, l, "x", hyper)
	after, seen := contents(t, l), map[string]bool{}
	for key, b := range before {
		if !strings.HasPrefix(key, "student.predictor") || !strings.HasSuffix(key, weight) {
			continue
		}
		if seen[string(b)] {
			t.Errorf("%s begins as another predictor's does", key)
		}
		if seen[string(b)] = true; slices.Equal(b, after[key]) {
			t.Errorf("%s has not moved", key)
		}
	}
	if want := l.parts.Predictors; len(seen) != want {
		t.Errorf("%d predictors are in the state, want %d", len(seen), want)
	}
}
