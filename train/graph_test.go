package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// runAsync makes steps by StepAsync, reading each loss two steps later, and gives the
// state, the losses and why no graph was captured.
func runAsync(t *testing.T, c Config, steps, views int) (map[string][]byte, []Stats, string) {
	t.Helper()
	l := newSmall(t, c)
	defer l.Free()
	var losses []Stats
	var inFlight []*PendingStep
	wait := func(leave int) {
		for len(inFlight) > leave {
			s, err := inFlight[0].Wait()
			if err != nil {
				t.Fatal(err)
			}
			losses, inFlight = append(losses, s), inFlight[1:]
		}
	}
	var held []*torch.Tensor
	for i := range steps {
		h := Hyper{LR: 0.01, Momentum: 0.99, Alpha: min(1, float64(i)/float64(steps/2)), Step: int64(i), Stats: i%3 == 0}
		nntest.Do(t, func() {
			image := func(side string, n int) (out []*torch.Tensor) {
				for v := range n {
					x := torch.FromUint8(nntest.Pixels(fmt.Sprint(side, i, v), smallBatch, smallSize), smallBatch, smallSize, smallSize, 3).Keep()
					out, held = append(out, x), append(held, x)
				}
				return out
			}
			students := l.parts.StudentViews
			if students == 0 {
				students = views
			}
			h.Samples = samplesOf(fmt.Sprint(i))
			h.Refresh = h.Alpha >= 1 && i%4 == 0
			if h.Labels = labelsOf(l, i%3, i%3+smallBatch); l.parts.Labels && i%5 == 0 { // differ from step to step
				h.Labels[0] = 1
			}
			s, err := l.StepAsync(image("teacher", l.parts.TeacherViews), image("student", students), h)
			if err != nil {
				t.Fatal(err)
			}
			inFlight = append(inFlight, s)
		})
		wait(2)
	}
	wait(0)
	for _, x := range held {
		x.Free()
	}
	return contents(t, l), losses, l.Ungraphed()
}

// TestGraphIsThePlainStep: steps that are replayed leave the bits of steps that are not,
// through the warm-up of equation 7, with statistics and without, by every objective.
func TestGraphIsThePlainStep(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	cases := map[string]func(*Config){
		"ressl":       func(*Config) {},
		"bf16":        func(c *Config) { c.BF16 = true },
		"efficient":   func(c *Config) { c.Backbone = "efficientnet_b0" },
		"wrapping":    func(c *Config) { c.QueueSize = 11 },
		"depth":       func(c *Config) { c.StochasticDepth = 0.2 }, // which ResNets have none of
		"channels":    func(c *Config) { c.ChannelsLast = true },
		"one alpha":   func(c *Config) { c.Objective = "moco-v2" },
		"both views":  func(c *Config) { c.Objective = "byol" },
		"pair":        func(c *Config) { c.Objective = "simclr" },
		"neighbours":  func(c *Config) { c.Objective = "nnclr" },
		"raw":         func(c *Config) { c.Objective = "vicreg" },
		"symmetric":   func(c *Config) { c.Objective = "moco-v2-symmetric" },
		"jigsaw key":  func(c *Config) { c.Objective = "infomin" },
		"in batch":    func(c *Config) { c.Objective = "moco-v3" },
		"centre":      func(c *Config) { c.Objective = "dino" },
		"prototypes":  func(c *Config) { c.Objective = "swav" },
		"whitened":    func(c *Config) { c.Objective = "w-mse" },
		"divergence":  func(c *Config) { c.Objective = "clsa" },
		"relation":    func(c *Config) { c.Objective = "isd" },
		"frozen":      func(c *Config) { c.Objective = "seed" },
		"average":     func(c *Config) { c.Objective = "unigrad" },
		"ranks":       func(c *Config) { c.Objective = "truncated-triplet" },
		"draws":       func(c *Config) { c.Objective = "mochi" },
		"climbing":    func(c *Config) { c.Objective = "adco" },
		"two heads":   func(c *Config) { c.Objective = "wcl" },
		"attraction":  func(c *Config) { c.Objective = "fnc" },
		"bank":        func(c *Config) { c.Objective = "npid" },
		"whole bank":  func(c *Config) { c.Objective, c.Options.BankNegatives = "npid", 0 },
		"clusters":    func(c *Config) { c.Objective = "pcl-v2" },
		"rotations":   func(c *Config) { c.Objective = "rotation" },
		"jigsaw":      func(c *Config) { c.Objective = "pirl" },
		"patches":     func(c *Config) { c.Objective = "relative-loc" },
		"directions":  func(c *Config) { c.Objective = "cpc-v2" },
		"close ones":  func(c *Config) { c.Objective = "localagg" },
		"anchors":     func(c *Config) { c.Objective = "compress" },
		"one queue":   func(c *Config) { c.Objective = "compress-1q" },
		"encoder":     func(c *Config) { c.Objective = "disco" },
		"pairs":       func(c *Config) { c.Objective = "bingo" },
		"predictors":  func(c *Config) { c.Objective = "simdis" },
		"labels":      func(c *Config) { c.Objective = "fixmatch" },
		"sharpened":   func(c *Config) { c.Objective = "uda" },
		"two tasks":   func(c *Config) { c.Objective = "s4l" },
		"frozen part": func(c *Config) { c.Freeze = []string{"stem", "layer1"} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			c := small
			if change(&c); c.BF16 {
				nntest.BFloat16(t)
			}
			want, losses, _ := runAsync(t, c, 24, 2)
			c.Graph = true
			got, replayed, why := runAsync(t, c, 24, 2)
			if why != "" {
				t.Fatalf("no graph was captured: %s", why)
			}
			sameContents(t, "replayed", want, got)
			for i, s := range replayed {
				if fmt.Sprint(s) != fmt.Sprint(losses[i]) {
					t.Errorf("step %d: %+v, want %+v", i, s, losses[i])
				}
			}
		})
	}
}

// TestGraphsAreReplayed: after their warm-up the steps of each form come from captures.
func TestGraphsAreReplayed(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Graph = true
	l := newSmall(t, c)
	defer l.Free()
	step := func(alpha float64, stats bool) {
		t.Helper()
		nntest.Do(t, func() {
			x := torch.FromUint8(nntest.Pixels("x", smallBatch, smallSize), smallBatch, smallSize, smallSize, 3)
			s, err := l.StepAsync([]*torch.Tensor{x}, []*torch.Tensor{x}, Hyper{LR: 0.01, Momentum: 0.99, Alpha: alpha, Stats: stats})
			if err == nil {
				_, err = s.Wait()
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	for i := range 10 {
		step(0.1*float64(i+1), false)
		step(0.5, true)
	}
	if len(l.graphs.forms) != 2 { // α in the middle, with statistics and without: α = 1 came once
		t.Errorf("%d captures, want 2", len(l.graphs.forms))
	}
	p, err := l.Phases(20)
	if err != nil || p.Graph <= 0 || p.Student <= 0 || p.Optimizer <= 0 {
		t.Errorf("phases %+v, %v; want replays timed as one, and the steps before by parts", p, err)
	}
}

// TestReplaysCount: what a replay does not count on the host is counted when the state
// is asked for, and a loaded state takes its own counts.
func TestReplaysCount(t *testing.T) {
	nntest.Torch(t)
	c := small
	c.Graph = true
	l := newSmall(t, c)
	defer l.Free()
	count := func() (n int64) {
		nntest.Do(t, func() {
			for _, e := range l.State() {
				if strings.HasSuffix(e.Name, "num_batches_tracked") {
					n += e.Tensor.Int64s()[0]
				}
			}
		})
		return n
	}
	before := count()
	for i := range l.graphs.pending { // as three replays on a GPU leave them
		l.graphs.pending[i] = 3
	}
	if got, want := count()-before, 3*int64(len(l.graphs.counters)); got != want || want == 0 {
		t.Errorf("counted %d, want %d", got, want)
	}
	if got := count() - before; got != 3*int64(len(l.graphs.counters)) {
		t.Errorf("counted twice: %d", got)
	}
}

// TestUncapturableSteps: what a replay would get wrong runs as it is, and the learner says
// why.
func TestUncapturableSteps(t *testing.T) {
	nntest.Torch(t)
	for why, change := range map[string]func(*Config){
		"accumulate":       func(c *Config) { c.Accumulate = 2 },
		"checkpointed":     func(c *Config) { c.Recompute = true },
		"shuffled":         func(c *Config) { c.Options.NoPredictor, c.Groups = true, 2 },
		"stochastic depth": func(c *Config) { c.Backbone, c.StochasticDepth = "efficientnet_b0", 0.5 },
		"switched off":     func(c *Config) { c.Graph = false },
	} {
		c := small
		c.Graph = true
		change(&c)
		l := newSmall(t, c)
		if got := l.Ungraphed(); !strings.Contains(got, why) || l.graphs.forms != nil {
			t.Errorf("%q, want it to say %q", got, why)
		}
		l.Free()
	}
}

// TestGraphedRunResumes: a run of replayed steps that is stopped ends, resumed, with the
// bits of one that was not, and of one that replays nothing.
func TestGraphedRunResumes(t *testing.T) {
	const steps, stop = 17, 9
	plain, spec := tiny(t, steps, "log_every=4", "infonce_warmup_epochs=0.5", "checkpoint_every=100")
	want := finish(t, Options{Recipe: plain, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
	r, _ := tiny(t, steps, "log_every=4", "infonce_warmup_epochs=0.5", "checkpoint_every=100", "cuda_graph=true")
	o := func(out string, from int64) Options {
		return Options{Recipe: r, Spec: spec, Stream: &counted{noise: noise{spec: spec, step: from}}, Out: out, Ahead: 2, InFlight: 2}
	}
	whole := finish(t, o(t.TempDir(), 0))
	out := t.TempDir()
	first := o(out, 0)
	first.Stream = &counted{noise: noise{spec: spec, failAt: stop}}
	if _, err := Run(context.Background(), first); !errors.Is(err, errBroker) {
		t.Fatal(err)
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil {
		t.Fatal(err)
	}
	second := o(out, c.Step)
	second.Resume = c
	got := finish(t, second)
	for _, s := range []Summary{whole, got} {
		if s.StudentSHA256 != want.StudentSHA256 || s.TeacherSHA256 != want.TeacherSHA256 || s.QueueSHA256 != want.QueueSHA256 || s.FinalLoss != want.FinalLoss {
			t.Errorf("student %.12s loss %v, want %.12s loss %v", s.StudentSHA256, s.FinalLoss, want.StudentSHA256, want.FinalLoss)
		}
	}
	if whole.PhaseMS.Graph <= 0 {
		t.Errorf("nothing was replayed: %+v", whole.PhaseMS)
	}
	lines, err := ReadMetrics(filepath.Join(out, "metrics.jsonl"))
	if err != nil || len(lines) != 5 {
		t.Errorf("%d lines of metrics, %v", len(lines), err)
	}
}

// TestNoticeIsGivenOnce: a run that cannot be captured says so once, and one that need not
// be says nothing.
func TestNoticeIsGivenOnce(t *testing.T) {
	for set, want := range map[string]int{"cuda_graph=true": 1, "cuda_graph=auto": 0} {
		r, spec := tiny(t, 5, set, "accumulate=2")
		var notices []string
		finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir(), InFlight: 1, Notice: func(s string) { notices = append(notices, s) }})
		if len(notices) != want || want == 1 && !strings.Contains(notices[0], "accumulate") {
			t.Errorf("%s: notices %q", set, notices)
		}
	}
}

// TestStreamsJoinAfterAFailure: a capture whose teacher fails can end, for its streams have
// joined.
func TestStreamsJoinAfterAFailure(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		s := newTeacherStream(torch.CPU)
		defer s.free()
		start := torch.NewEvent(torch.CPU, true)
		start.Record()
		op := func(rows int64) func() {
			return func() {
				torch.Add(torch.Zeros([]int64{2}, torch.Float32, torch.CPU), torch.Zeros([]int64{rows}, torch.Float32, torch.CPU), 1)
			}
		}
		for name, c := range map[string]struct {
			rows int64
			want error
		}{"sound": {2, nil}, "failing": {3, errs.ErrMismatch}} {
			*s.joined = *torch.NewEvent(torch.CPU, true)
			if err := torch.Do(func() error { s.run(op(c.rows)); return nil }); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if s.joined.Since(start) < s.fork.Since(start) || !s.open {
				t.Errorf("%s: the end of the teacher's stream was not recorded", name)
			}
			if s.join(); s.open {
				t.Errorf("%s: open after join", name)
			}
		}
	})
}
