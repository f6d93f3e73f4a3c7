package train

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/safetensors"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

type parallelCase struct {
	c     Config
	alone aloneConfig
}

// single says of which learners one step is compared in place of three: fp32's, of
// which a ReLU near zero takes either side; and those whose groups have two samples, where
// batch norm gives little but the sign of their difference, and three steps make 1e-4 of
// an ulp.
func single(c Config) bool { return !c.Double || c.Groups == 4 }

// aloneConfig is one process's learner.
type aloneConfig struct {
	Config
	single  bool   // one step in place of three
	locals  int    // local crops besides the objective's views
	ramped  bool   // α is 1
	native  bool   // without oneDNN
	round   bool   // weights to bf16 first
	nudge   string // if not empty, the student is an ulp off before each step, by the signs of that name
	started bool   // from the encoder of a file
}

// parallelCases are learners whose two ranks are compared with one process. alone, if set,
// is the one process's configuration where it differs.
func parallelCases() map[string]parallelCase {
	with := func(change func(*Config)) Config {
		c := small
		c.Double = true
		change(&c)
		return c
	}
	of := func(change func(*Config)) parallelCase {
		c := with(change)
		return parallelCase{c, aloneConfig{Config: c, single: single(c)}}
	}
	cases := map[string]parallelCase{
		"ressl":               of(func(*Config) {}),
		"ressl float32":       of(func(c *Config) { c.Double = false }),
		"ressl bfloat16":      of(func(c *Config) { c.Double, c.BF16 = false, true }),
		"ressl, recomputed":   of(func(c *Config) { c.Recompute = true }),
		"ressl, wrapping":     of(func(c *Config) { c.QueueSize = 11 }),
		"ressl*, four groups": of(func(c *Config) { c.Options.NoPredictor, c.Groups = true, 4 }),
		"moco-v2, groups":     of(func(c *Config) { c.Objective, c.Groups = "moco-v2", 2 }),
		"byol":                of(func(c *Config) { c.Objective = "byol" }),
		"simclr":              of(func(c *Config) { c.Objective = "simclr" }),
		"simsiam":             of(func(c *Config) { c.Objective = "simsiam" }),
		"nnclr":               of(func(c *Config) { c.Objective = "nnclr" }),
		"moco-v2, symmetric":  of(func(c *Config) { c.Objective, c.Groups = "moco-v2-symmetric", 2 }),
		"infomin, groups":     of(func(c *Config) { c.Objective, c.Groups = "infomin", 2 }),
		"barlow-twins":        of(func(c *Config) { c.Objective = "barlow-twins" }),
		"vicreg":              of(func(c *Config) { c.Objective = "vicreg" }),
		"moco-v3":             of(func(c *Config) { c.Objective = "moco-v3" }),
		"dino":                of(func(c *Config) { c.Objective = "dino" }),
		"swav":                of(func(c *Config) { c.Objective = "swav" }),
		"swav, wrapping":      of(func(c *Config) { c.Objective, c.QueueSize = "swav", 11 }),
		"w-mse":               of(func(c *Config) { c.Objective, c.Options.WhitenRows = "w-mse", 4 }),
		"clsa, groups":        of(func(c *Config) { c.Objective, c.Groups = "clsa", 2 }),
		"isd, groups":         of(func(c *Config) { c.Objective, c.Groups = "isd", 2 }),
		"seed":                of(func(c *Config) { c.Objective = "seed" }),
		"unigrad":             of(func(c *Config) { c.Objective = "unigrad" }),
		"truncated-triplet":   of(func(c *Config) { c.Objective = "truncated-triplet" }),
		"adco, filling":       of(func(c *Config) { c.Objective, c.Groups, c.QueueSize = "adco", 2, 11 }),
		"wcl":                 of(func(c *Config) { c.Objective = "wcl" }),
		"fnc":                 of(func(c *Config) { c.Objective = "fnc" }),
		"npid":                of(func(c *Config) { c.Objective, c.Options.Proximal = "npid", 0.5 }),
		"npid, softmax":       of(func(c *Config) { c.Objective, c.Options.BankNegatives = "npid", 0 }),
		"rotation":            of(func(c *Config) { c.Objective = "rotation" }),
		"rotation, groups":    of(func(c *Config) { c.Objective, c.Groups = "rotation", 2 }),
		"pirl":                of(func(c *Config) { c.Objective = "pirl" }),
		"relative-loc":        of(func(c *Config) { c.Objective = "relative-loc" }),
		"cpc-v2":              of(func(c *Config) { c.Objective = "cpc-v2" }),
		"cpc-v2, groups":      of(func(c *Config) { c.Objective, c.Groups = "cpc-v2", 2 }),
		"localagg, warm-up":   of(func(c *Config) { c.Objective = "localagg" }),
		"compress, groups":    of(func(c *Config) { c.Objective, c.Groups = "compress", 2 }),
		"compress-1q":         of(func(c *Config) { c.Objective = "compress-1q" }),
		"disco, groups":       of(func(c *Config) { c.Objective, c.Groups = "disco", 2 }),
		"bingo":               of(func(c *Config) { c.Objective = "bingo" }),
		"simdis":              of(func(c *Config) { c.Objective = "simdis" }),
		"fixmatch":            of(func(c *Config) { c.Objective = "fixmatch" }),
		"uda":                 of(func(c *Config) { c.Objective = "uda" }),
		"s4l":                 of(func(c *Config) { c.Objective = "s4l" }),
		"stochastic depth":    of(func(c *Config) { c.Backbone, c.StochasticDepth = "efficientnet_b0", 0.5 }),
	}
	for _, name := range []string{"byol", "moco-v2", "moco-v3", "dino", "swav", "simsiam", "nnclr"} {
		c := of(func(c *Config) { c.Objective = name })
		c.alone.locals = 2
		cases[name+", multi-crop"] = c
	}
	for _, name := range []string{"mochi", "adco"} {
		c := of(func(c *Config) { c.Objective, c.Groups = name, 2 })
		c.alone.ramped = true
		cases[name+", groups"] = c
	}
	pcl := of(func(c *Config) { c.Objective, c.Groups = "pcl-v2", 2 })
	pcl.alone.ramped = true
	cases["pcl-v2, groups"] = pcl
	aggregation := of(func(c *Config) { c.Objective = "localagg" })
	aggregation.alone.ramped = true
	cases["localagg"] = aggregation
	local := of(func(c *Config) { c.LocalNorm = true })
	local.alone.Groups = 2
	cases["shuffled over ranks"] = local
	started := of(func(c *Config) { c.LocalNorm, c.Freeze = true, []string{"stem", "layer1"} })
	started.alone.Groups, started.alone.started = 2, true
	cases["from a file, a part frozen"] = started
	return cases
}

const parallelSteps = 3

// parallelRun is what a run leaves: the state after its steps, and the last losses.
type parallelRun struct {
	State map[string][]float64
	Bits  string // digest of the state
	Loss  float64
	Std   float64
}

// runParallel trains a few steps on this rank's rows. The loss is the last one.
func runParallel(t *testing.T, c aloneConfig) (out parallelRun) {
	t.Helper()
	if c.started {
		c.Start.File = smallStart(t, c.Width)
	}
	l := newSmall(t, c.Config)
	defer l.Free()
	if c.round {
		nntest.Do(t, func() { roundWeights(l) })
	}
	if c.native {
		nntest.Do(t, func() { torch.SetOneDNN(false) })
		defer nntest.Do(t, func() { torch.SetOneDNN(true) })
	}
	from, to := c.Group.Rows(smallBatch)
	row := smallSize * smallSize * 3
	steps := parallelSteps
	if c.single {
		steps = 1
	}
	for step := range steps {
		if c.nudge != "" { // before each step, since each rounds anew
			nntest.Do(t, func() {
				for _, p := range nn.Parameters(l.student) {
					nntest.Nudge(fmt.Sprint(c.nudge, step, p.Name), p.Tensor)
				}
			})
		}
		h := hyper
		h.Step, h.Stats = int64(step), true
		if c.ramped {
			h.Alpha = 1
		}
		h.Samples = samplesOf(fmt.Sprint("step ", step))[from:to]
		h.Refresh = c.ramped && step != 1
		h.Labels = labelsOf(l, from, to)
		err := torch.Do(func() error {
			views := func(side string, n int) (out []*torch.Tensor) {
				for v := range n {
					pixels := nntest.Pixels(fmt.Sprintf("%s %d %d", side, step, v), smallBatch, smallSize)
					out = append(out, torch.FromUint8(pixels[from*row:to*row], int64(to-from), smallSize, smallSize, 3))
				}
				return out
			}
			s, err := l.Step(views("teacher", l.parts.TeacherViews), views("student", max(1, l.parts.StudentViews)+c.locals), h)
			out.Loss, out.Std = s.Loss, s.EmbeddingStd
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	tensors, err := HostTensors(l.State())
	if err != nil {
		t.Fatal(err)
	}
	out.Bits, out.State = safetensors.Digest(tensors), map[string][]float64{}
	nntest.Do(t, func() {
		for _, n := range l.State() {
			out.State[n.Name] = n.Tensor.To(torch.CPU, torch.Float64, false).Float64s()
		}
	})
	return out
}

// TestTwoRanksAreOneProcess: two processes with half a batch each come to the state of
// one with the whole batch, by every objective and form of batch norm, in double
// precision but for rounding. In fp32 and bf16 what a step's forward passes leave is
// compared with one process's float64, as TestBFloat16AndChannelsLast does it. Between
// the ranks it is the same to the bit, the queue with it.
func TestTwoRanksAreOneProcess(t *testing.T) {
	racetest.SkipNumbers(t)
	cases := parallelCases()
	results := torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		torchtest.BFloat16(t)
		runs := map[string]parallelRun{}
		for _, name := range slices.Sorted(maps.Keys(cases)) { // in one order on both
			c := cases[name].c
			c.Group = g
			runs[name] = runParallel(t, aloneConfig{Config: c, single: single(c), locals: cases[name].alone.locals, ramped: cases[name].alone.ramped, started: cases[name].alone.started})
		}
		var out bytes.Buffer
		if err := gob.NewEncoder(&out).Encode(runs); err != nil {
			t.Error(err)
		}
		return out.Bytes()
	})
	ranks := make([]map[string]parallelRun, 2)
	for r := range ranks {
		if err := gob.NewDecoder(bytes.NewReader(results[r])).Decode(&ranks[r]); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range cases {
		got := ranks[0][name]
		if other := ranks[1][name]; other.Bits != got.Bits {
			t.Errorf("%s: the ranks' states differ", name)
		}
		exact := c.alone
		exact.Double, exact.BF16 = true, false
		one := runParallel(t, exact)
		switch {
		case c.c.BF16:
			torchtest.BFloat16(t)
			exact.round = true
			bound := halfRoundings(t, int64(8*small.Width)) * off(runParallel(t, exact).forward(), one.forward())
			if d := off(got.forward(), one.forward()); !(d <= bound) {
				t.Errorf("%s: %.2g from float64, more than %.2g", name, d, bound)
			}
		case !c.c.Double:
			native := c.alone
			native.native = true
			nntest.NewReference(t, one.forward(), runParallel(t, native).forward()).Check(t, name, got.forward())
		default:
			// Groups of two samples make much of rounding: how much, weights that are an ulp
			// off show, and so do the same sums in the order of the other memory format.
			var others []nntest.Values
			for i, nudge := range []string{"a", "b", "c", "d"} {
				exact.nudge, exact.ChannelsLast = nudge, i >= 2
				others = append(others, runParallel(t, exact).all())
			}
			nntest.NewReference64(t, one.all(), others...).Check(t, name, got.all())
			// The loss is read as fp32.
			if d := math.Abs(got.Loss-one.Loss) / math.Abs(one.Loss); !(d < 3*nntest.Unit) {
				t.Errorf("%s: loss %v, one process has %v", name, got.Loss, one.Loss)
			}
		}
	}
}

// all is the state.
func (r parallelRun) all() nntest.Values { return r.State }

// forward is what the forward passes of a single step leave.
func (r parallelRun) forward() nntest.Values {
	out := nntest.Values{"loss": {r.Loss}}
	for name, v := range r.State {
		if isForward(name) {
			out[name] = v
		}
	}
	return out
}

// TestRanksDivergeTogether: a loss that is not finite on one rank ends the step on all.
func TestRanksDivergeTogether(t *testing.T) {
	torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		c := small
		c.Group = g
		l := newSmall(t, c)
		defer l.Free()
		if g.Rank() == 1 {
			nntest.Do(t, func() {
				all := nn.Parameters(l.student.Predictor)
				torch.NoGrad(func() { torch.FillScalar_(all[len(all)-1].Tensor, math.NaN()) }) // behind the last batch norm
			})
		}
		err := torch.Do(func() error {
			x := torch.FromUint8(nntest.Pixels("x", smallBatch, smallSize), smallBatch, smallSize, smallSize, 3)
			_, err := l.Step([]*torch.Tensor{x}, []*torch.Tensor{x}, hyper)
			return err
		})
		if !errors.Is(err, errs.ErrDiverged) {
			t.Errorf("rank %d: %v", g.Rank(), err)
		}
		return nil
	})
}

// TestGroupsOverRanks: groups that do not fall evenly on the ranks are refused.
func TestGroupsOverRanks(t *testing.T) {
	torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		c := small
		c.Group, c.Groups = g, 3
		if err := c.Validate(); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "2 ranks") {
			t.Errorf("three groups on two ranks: %v", err)
		}
		return nil
	})
}
