package train

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/objective"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// small is a learner's configuration that steps in milliseconds.
var small = fixture(Config{
	Width: 4, Options: objective.Options{ProjHidden: 16, PredHidden: 16, Dim: 8}, QueueSize: 30,
	Optimizer: optim.Options{Momentum: 0.9, WeightDecay: 5e-4},
})

// fixture completes a configuration by what most tests have in common: a ResNet-18 with
// ReSSL at the paper's temperatures for CIFAR-10, ImageNet's pixel statistics, and the other
// objectives' own numbers at their papers' values, but for few prototypes.
func fixture(c Config) Config {
	o := &c.Options
	o.TauTStart, o.Prototypes, o.CentreMomentum, o.Epsilon, o.Iterations = 0.02, 12, 0.9, 0.05, 3
	o.OffDiagonal, o.Invariance, o.Variance, o.Covariance = 0.005, 25, 25, 1
	o.WhitenEpsilon, o.Beta = 0.1, 1 // micro-batches have fewer rows than embeddings dimensions
	o.Repulsion, o.Keep, o.Gamma, o.RankFrom, o.RankTo = 100, 0.99, 2, 2, 3
	o.Hardest, o.Mixed, o.Harder = 6, 4, 3
	o.AdversaryTau, o.AdversaryLR, o.AdversaryDecay = 0.02, 3, 1e-4
	o.FalseTop, o.FalseAbove = 4, 0.7
	o.BankMomentum, o.BankNegatives, o.Clusters, o.Neighbours = 0.5, 5, []int{3, 4}, 6
	c.Samples = 20
	o.DistilWeight = 2
	o.ContextHidden, o.ContextBlocks, o.StepFrom, o.StepTo = 6, 2, 2, 3
	o.Classes, o.LabelFraction, o.Confidence, o.Consistency, o.Sharpen = 5, 0.5, 0.3, 1, 0.4
	c.Backbone, c.SmallStem, c.Seed = "resnet18", true, 5
	c.Objective, c.Options.TauS, c.Options.TauT, c.Options.Tau = "ressl", 0.1, 0.04, 0.1
	c.Accumulate, c.Groups = 1, 1
	c.Mean, c.Std = nn.ImageNetMean, nn.ImageNetStd
	return c
}

const smallBatch, smallSize = 8, 8

func newSmall(t testing.TB, c Config) *Learner {
	t.Helper()
	if o, err := objective.New(c.Objective, c.options()); err == nil && o.Parts().Frozen && c.Frozen.File == "" {
		c.Frozen.File = smallTeacher(t)
	}
	l, err := NewLearner(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// smallTeacher writes a trained encoder whose embeddings are small's.
func smallTeacher(t testing.TB) string {
	t.Helper()
	b, err := backbone.New("resnet18", backbone.Config{Width: 1, SmallStem: true, Seed: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	path := filepath.Join(t.TempDir(), "teacher.safetensors")
	info := EncoderInfo{Backbone: "resnet18", Width: 1, Stem: "small", ImageSize: smallSize, Mean: nn.ImageNetMean, Std: nn.ImageNetStd}
	if err := SaveEncoder(path, b, info); err != nil {
		t.Fatal(err)
	}
	return path
}

// stepOn takes one step on images of the given name.
func stepOn(t testing.TB, l *Learner, name string, h Hyper) Stats {
	t.Helper()
	var s Stats
	err := torch.Do(func() error {
		view := func(v string) []*torch.Tensor {
			return []*torch.Tensor{torch.FromUint8(nntest.Pixels(name+v, smallBatch, smallSize), smallBatch, smallSize, smallSize, 3)}
		}
		h.Samples = samplesOf(name)
		var err error
		s, err = l.Step(view(" weak"), view(" strong"), h)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// samplesOf are the samples of a batch of that name, of which one is there twice.
func samplesOf(name string) []int64 {
	var out []int64
	for _, s := range nntest.Labels("samples "+name, smallBatch, int(small.Samples)) {
		out = append(out, int64(s))
	}
	out[smallBatch-1] = out[0]
	return out
}

// labelsOf are the labels of rows from to to−1 of a batch, of which every other shows one, for an
// objective that asks for them.
func labelsOf(l *Learner, from, to int) (out []int32) {
	if !l.parts.Labels {
		return nil
	}
	for row := from; row < to; row++ {
		label := schemas.NoLabel
		if row%2 == 0 {
			label = int32(row * 3 % l.config.Options.Classes)
		}
		out = append(out, label)
	}
	return out
}

// contents is the state's bytes by name.
func contents(t testing.TB, l *Learner) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	nntest.Do(t, func() {
		for _, n := range l.State() {
			out[n.Name] = n.Tensor.Bytes()
		}
	})
	return out
}

func sameContents(t testing.TB, what string, a, b map[string][]byte) {
	t.Helper()
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			t.Errorf("%s: %s differs", what, name)
		}
	}
	if len(a) != len(b) {
		t.Errorf("%s: %d tensors against %d", what, len(a), len(b))
	}
}

var hyper = Hyper{LR: 0.01, Momentum: 0.99, Alpha: 0.5}

func TestTeacherStartsAsStudent(t *testing.T) {
	nntest.Torch(t)
	l := newSmall(t, small)
	defer l.Free()
	c := contents(t, l)
	compared := 0
	for name, b := range c {
		if rest, ok := strings.CutPrefix(name, "teacher."); ok {
			compared++
			if !slices.Equal(b, c["student."+rest]) {
				t.Errorf("%s is not the student's", name)
			}
		}
	}
	if compared < 100 {
		t.Errorf("compared %d tensors of the teacher only", compared)
	}
	for _, p := range l.teacher.average {
		nntest.Do(t, func() {
			if p.RequiresGrad() {
				t.Error("a parameter of the teacher requires grad")
			}
		})
	}
}

// TestRunsAreEqualAndResume: two runs of one seed give the same bytes, and so
// does one that is saved half-way and continues in a new learner; statistics
// change nothing.
func TestRunsAreEqualAndResume(t *testing.T) {
	nntest.Torch(t)
	run := func(l *Learner, from, to int, stats bool) {
		for i := from; i < to; i++ {
			h := hyper
			h.Stats = stats
			stepOn(t, l, string(rune('a'+i)), h)
		}
	}
	a, b := newSmall(t, small), newSmall(t, small)
	defer a.Free()
	defer b.Free()
	run(a, 0, 8, false)
	run(b, 0, 3, true)
	saved := contents(t, b)
	run(b, 3, 8, true)
	sameContents(t, "same seed", contents(t, a), contents(t, b))

	other := small
	other.Seed++
	c := newSmall(t, other)
	defer c.Free()
	values := map[string]*torch.Tensor{}
	nntest.Do(t, func() {
		for _, n := range c.State() {
			values[n.Name] = torch.FromBytes(n.Tensor.DType(), saved[n.Name], n.Tensor.Shape()...)
		}
		if err := c.LoadState(values); err != nil {
			t.Fatal(err)
		}
		broken := torch.FromInt64([]int64{1 << 40})
		values["queue.pointer"] = broken
		if err := c.LoadState(values); !errors.Is(err, errs.ErrCorrupt) {
			t.Errorf("a wild queue pointer gives %v, want a corruption error", err)
		}
		values["queue.pointer"] = torch.FromBytes(torch.Int64, saved["queue.pointer"])
		if err := c.LoadState(values); err != nil {
			t.Fatal(err)
		}
		delete(values, "queue.keys")
		if err := c.LoadState(values); !errors.Is(err, errs.ErrMismatch) {
			t.Errorf("a state without queue gives %v, want a mismatch", err)
		}
	})
	run(c, 3, 8, false)
	sameContents(t, "resumed", contents(t, a), contents(t, c))
}

// TestStatsMeanWhatTheySay checks the statistics' ranges and identities.
func TestStatsMeanWhatTheySay(t *testing.T) {
	nntest.Torch(t)
	l := newSmall(t, small)
	defer l.Free()
	h := hyper
	if s := stepOn(t, l, "quiet", h); s != (Stats{}) {
		t.Errorf("statistics that nobody asked for: %+v", s)
	}
	h.Stats = true
	for _, alpha := range []float64{0, 0.5, 1} {
		h.Alpha = alpha
		s := stepOn(t, l, "x", h)
		if want := alpha*s.Relation + (1-alpha)*s.InfoNCE; math.Abs(s.Loss-want) > 1e-5*want {
			t.Errorf("α = %v: loss %v, its terms give %v", alpha, s.Loss, want)
		}
		if k := float64(small.QueueSize); s.TargetEntropy <= 0 || s.TargetEntropy > math.Log(k) || s.Relation < s.TargetEntropy-1e-5 {
			t.Errorf("target entropy %v, cross-entropy %v, ln K %v", s.TargetEntropy, s.Relation, math.Log(k))
		}
		if s.Agreement < 0 || s.Agreement > 1 || math.Abs(s.Similarity) > 1+1e-6 {
			t.Errorf("agreement %v, similarity %v", s.Agreement, s.Similarity)
		}
		if s.EmbeddingStd <= 0 || s.EmbeddingStd > 1/math.Sqrt(float64(small.Options.Dim)) {
			t.Errorf("embedding deviation %v", s.EmbeddingStd)
		}
	}
}

// TestStepsLeakNothing: the number of live tensors is the same after every step.
func TestStepsLeakNothing(t *testing.T) {
	nntest.Torch(t)
	l := newSmall(t, small)
	defer l.Free()
	stepOn(t, l, "first", hyper)
	want := torch.LiveTensors()
	for i := range 20 {
		h := hyper
		h.Stats = i%2 == 0
		stepOn(t, l, "more", h)
		if got := torch.LiveTensors(); got != want {
			t.Fatalf("step %d left %d tensors live, the first %d", i, got, want)
		}
	}
}

// TestLossFalls: on one batch the relational loss comes down towards the target's
// entropy.
func TestLossFalls(t *testing.T) {
	nntest.Torch(t)
	l := newSmall(t, small)
	defer l.Free()
	h := Hyper{LR: 0.05, Momentum: 0.99, Alpha: 0, Stats: true}
	first := stepOn(t, l, "one batch", h).InfoNCE
	var last float64
	for range 30 {
		last = stepOn(t, l, "one batch", h).InfoNCE
	}
	if !(last < 0.7*first) {
		t.Errorf("InfoNCE on one batch went from %.3f to %.3f", first, last)
	}
}

// TestBFloat16AndChannelsLast compares what a step's forward passes leave, the losses,
// the queue and the running statistics, with float64's: channels_last by what fp32 costs
// without oneDNN, bf16 by what rounding the weights to it costs.
func TestBFloat16AndChannelsLast(t *testing.T) {
	nntest.Torch(t)
	step := func(change func(*Config), native, rounded bool, nudge string) nntest.Values {
		c := small
		change(&c)
		l := newSmall(t, c)
		defer l.Free()
		nntest.Do(t, func() {
			if native {
				torch.SetOneDNN(false)
			}
			if rounded {
				roundWeights(l)
			}
			if nudge != "" {
				for _, p := range append(nn.Parameters(l.student), nn.Parameters(l.teacher)...) {
					nntest.Nudge(nudge+p.Name, p.Tensor)
				}
			}
		})
		h := hyper
		h.Stats = true
		s := stepOn(t, l, "x", h)
		out := nntest.Values{"losses": {s.Loss, s.Relation, s.InfoNCE}}
		nntest.Do(t, func() {
			if native {
				torch.SetOneDNN(true)
			}
			forwardState(l, out.Take)
		})
		return out
	}
	double := func(c *Config) { c.Double = true }
	last := func(c *Config) { c.ChannelsLast = true }
	truth := step(double, false, false, "")
	// The losses are three numbers, whose errors can be of any ratio in two evaluations; of
	// weights that are an ulp off, too, each rounds in another way.
	reference := func(change func(*Config)) *nntest.Reference {
		var all []nntest.Values
		for _, nudge := range []string{"", "a", "b", "c", "d"} {
			all = append(all, step(change, true, false, nudge))
		}
		return nntest.NewReference(t, truth, all...)
	}
	plain := func(*Config) {}
	reference(plain).Check(t, "fp32", step(plain, false, false, ""))
	reference(last).Check(t, "channels_last", step(last, false, false, ""))
	nntest.BFloat16(t)
	got := off(step(func(c *Config) { c.BF16 = true }, false, false, ""), truth)
	bound := halfRoundings(t, int64(8*small.Width)) * off(step(double, false, true, ""), truth)
	t.Logf("bf16 is %.2g off, bound %.2g", got, bound)
	if !(got <= bound) {
		t.Errorf("bf16 is %.2g from float64, more than %.2g", got, bound)
	}
}

// roundWeights rounds every parameter to bf16, in its own type. Inside torch.Do.
func roundWeights(l *Learner) {
	torch.NoGrad(func() {
		for _, p := range append(nn.Parameters(l.student), nn.Parameters(l.teacher)...) {
			torch.ScopeDo(func() { torch.Copy_(p.Tensor, p.Tensor.To(torch.CPU, torch.BFloat16, false), false) })
		}
	})
}

// forwardState gives the tensors of a learner's state that forward passes alone write,
// after a first step: a ReLU near zero does not matter there. Inside torch.Do.
func forwardState(l *Learner, give func(name string, x *torch.Tensor)) {
	for _, n := range l.State() {
		if isForward(n.Name) {
			give(n.Name, n.Tensor)
		}
	}
}

func isForward(name string) bool {
	return name == "queue.keys" || strings.HasSuffix(name, ".running_mean") || strings.HasSuffix(name, ".running_var")
}

func TestBadViews(t *testing.T) {
	nntest.Torch(t)
	l := newSmall(t, small)
	defer l.Free()
	before := contents(t, l)
	nntest.Do(t, func() {
		view := func(shape ...int64) []*torch.Tensor {
			return []*torch.Tensor{torch.Zeros(shape, torch.Uint8, torch.CPU)}
		}
		good := view(4, 8, 8, 3)
		for _, c := range []struct {
			teacher, student []*torch.Tensor
			says             string
		}{
			{nil, good, "0 teacher"},
			{good, nil, "0 student"},
			{append(view(4, 8, 8, 3), good...), good, "2 teacher"},
			{good, view(5, 8, 8, 3), "same batch size"},
			{good, view(4, 3, 8, 8), "(N,S,S,3)"},
			{view(4, 8, 8, 1), good, "(N,S,S,3)"},
			{good, []*torch.Tensor{torch.Zeros([]int64{4, 8, 8, 3}, torch.Float32, torch.CPU)}, "(N,S,S,3)"},
		} {
			_, err := l.Step(c.teacher, c.student, hyper)
			if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a usage error that says %q", err, c.says)
			}
		}
	})
	sameContents(t, "refused views", before, contents(t, l))
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		says   string
	}{
		{func(c *Config) { c.Backbone = "vgg" }, "resnet18"},
		{func(c *Config) { c.QueueSize = -1 }, "queue"},
		{func(c *Config) { c.QueueSize = 0 }, "queue"}, // there are no defaults
		{func(c *Config) { c.Options.TauT = 0 }, "τ_t"},
		{func(c *Config) { c.Groups = 0 }, "groups"},
		{func(c *Config) { c.Width = 0 }, "width"},
		{func(c *Config) { c.Objective = "" }, "objective"},
		{func(c *Config) { c.Std[1] = 0 }, "std"},
		{func(c *Config) { c.Options.TauS = -0.1 }, "τ_s"},
		{func(c *Config) { c.Options.TauT = math.NaN() }, "τ_t"},
		{func(c *Config) { c.Options.Dim = 1 << 30 }, "embedding"},
		{func(c *Config) { c.Optimizer.Kind = "adam" }, "adam"},
		{func(c *Config) { c.BF16, c.Double = true, true }, "precision"},
	} {
		config := small
		c.change(&config)
		if _, err := NewLearner(config); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want a usage error that says %q", err, c.says)
		}
	}
}

// TestViewsByRole: pixels go to the side that the objective names, in order, and a
// view that both sides see is one tensor.
func TestViewsByRole(t *testing.T) {
	nntest.Torch(t)
	released := false
	b := &schemas.Batch{Size: 1, Views: []schemas.ViewSpec{
		{Name: "strong", Role: schemas.Student, Size: 1}, {Name: "weak", Role: schemas.Teacher, Size: 2}, {Name: "crop", Role: schemas.Student, Size: 1},
	}, Pixels: [][]byte{{1, 2, 3}, make([]byte, 12), {4, 5, 6}}}
	b.OnRelease(func() { released = true })
	views := func(l *Learner) (teacher, student []*torch.Tensor) {
		teacher, student, err := l.Views(b)
		if err != nil {
			t.Fatal(err)
		}
		return teacher, student
	}
	l := newSmall(t, small)
	defer l.Free()
	nntest.Do(t, func() {
		teacher, student := views(l)
		b.Pixels[0][0] = 99 // the tensors are copies
		if len(teacher) != 1 || !slices.Equal(teacher[0].Shape(), []int64{1, 2, 2, 3}) {
			t.Errorf("teacher's views: %v", teacher)
		}
		if len(student) != 2 || !slices.Equal(student[0].Bytes(), []byte{1, 2, 3}) || !slices.Equal(student[1].Bytes(), []byte{4, 5, 6}) {
			t.Errorf("student's views: %v", student)
		}
	})
	c := small
	c.Objective = "byol"
	both := newSmall(t, c)
	defer both.Free()
	nntest.Do(t, func() {
		teacher, student := views(both)
		if len(teacher) != 2 || len(student) != 2 || teacher[0] != student[0] || teacher[1] != student[1] {
			t.Errorf("byol's networks see %v and %v, want the same two", teacher, student)
		}
	})
	if released {
		t.Error("Views released a batch that is its caller's")
	}
}

// TestObjectivesTakeWhatSidesGive: recipe's table of views and the objectives' own
// word agree, on every stream of a weak and two strong views.
func TestObjectivesTakeWhatSidesGive(t *testing.T) {
	if names := recipe.Objectives(); !slices.Equal(names, objective.Names()) {
		t.Fatalf("recipe knows %v, package objective %v", names, objective.Names())
	}
	for _, name := range objective.Names() {
		o, err := objective.New(name, objective.Options{})
		if err != nil {
			t.Fatal(err)
		}
		parts, known := o.Parts(), recipe.Recipe{Objective: name}
		if k := known.ObjectiveOf(); k.Name != name || k.Teacher != parts.Teacher || k.Queue != parts.Queue {
			t.Errorf("%s: the recipe knows it as %+v", name, k)
		}
		teacher, student, err := recipe.Sides(name, 0, []schemas.ViewSpec{{Role: schemas.Teacher}, {Role: schemas.Student}, {Role: schemas.Student}})
		if err != nil || len(teacher) != parts.TeacherViews || parts.StudentViews > 0 && len(student) != parts.StudentViews {
			t.Errorf("%s takes %d and %d views, and gets %v and %v, %v", name, parts.TeacherViews, parts.StudentViews, teacher, student, err)
		}
	}
}
