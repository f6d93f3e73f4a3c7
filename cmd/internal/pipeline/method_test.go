package pipeline_test

import (
	"context"
	"io"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"resslt/batcher/assemble"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/racetest"
	"resslt/train"
	"resslt/train/backbone"
	"resslt/train/recipe"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// The tests of this file train for 300 steps on real images, augmented as in any
// run, without a broker: what a method does in its first minute, not what it is
// worth.

const longSteps = 300

// long is the recipe that they override.
var long = []string{
	"data=fashion-mnist:", "policy=small-2crop", "crops=1", "image_size=12", "mean=[0.286, 0.286, 0.286]", "std=[0.353, 0.353, 0.353]",
	"width=4", "projector_hidden=64", "embedding_dim=32", "K=512", "tau_nce=0.2", "infonce_warmup_epochs=0.5", "lr_warmup_epochs=0.1",
	"batch_size=32", "epochs=1", "steps_per_epoch=300", "log_every=1", "seed=1", "threads=1", "eval=[none]",
	"checkpoint_every=50", // the copy that they are written from is there when tensors are first counted
}

// endless is a train.Stream that makes its batches as they are asked for.
type endless struct {
	spec  *schemas.RunSpec
	order wire.Order
	maker produce.Maker
	step  int64
}

func (e *endless) Next(ctx context.Context) (*schemas.Batch, error) {
	if e.step == e.spec.Steps() {
		return nil, io.EOF
	}
	b, err := assemble.Batches(ctx, e.spec, e.order, e.maker, e.step, 1)
	if err != nil {
		return nil, err
	}
	e.step++
	return b[0], nil
}

// trace is what a run showed.
type trace struct {
	losses, std  []float64
	rss          [2]float64 // bytes after steps 100 and 300
	live         [2]int64   // tensors, likewise
	embeddingDim int
}

// trainLong runs the recipe long with the overrides.
func trainLong(t *testing.T, set ...string) trace {
	t.Helper()
	torchtest.Require(t)
	r := recipe.Default()
	r.Name = t.Name()
	if err := r.Set(append(long[:len(long):len(long)], set...)...); err != nil {
		t.Fatal(err)
	}
	if err := r.Resolve(pipeline.Host(cores.Cores{Count: 1}, r.Data)); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	data, err := ingest.Open(ctx, r.Data, ingest.Options{Split: r.Split})
	if err != nil {
		t.Skipf("no Fashion-MNIST (package dataset-fashion-mnist): %v", err)
	}
	spec, err := pipeline.Spec(&r, data.Manifest())
	data.Close()
	if err != nil {
		t.Fatal(err)
	}
	src, err := pipeline.OpenSource(ctx, &schemas.RunInfo{Spec: spec, DataURI: r.Data}, nil, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	maker, err := src.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	tr := trace{embeddingDim: r.EmbeddingDim}
	res, err := train.Run(ctx, train.Options{
		Recipe: &r, Spec: &spec, Out: t.TempDir(), Stream: &endless{spec: &spec, order: src.Order(), maker: maker},
		Observe: func(p train.Progress) {
			tr.losses, tr.std = append(tr.losses, p.Stats.Loss), append(tr.std, p.Stats.EmbeddingStd)
			switch p.Step {
			case longSteps / 3:
				tr.rss[0], tr.live[0] = rss(t), torch.LiveTensors()
			case longSteps:
				tr.rss[1], tr.live[1] = rss(t), torch.LiveTensors()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	res.Learner.Free()
	return tr
}

// rss is the process's resident size in bytes, the garbage given back first.
func rss(t *testing.T) float64 {
	t.Helper()
	debug.FreeOSMemory()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}

func mean(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}

// spread is the deviation of the last embeddings, in parts of 1/√D, that of
// embeddings that spread over the sphere.
func (tr *trace) spread() float64 {
	return mean(tr.std[longSteps-30:]) * math.Sqrt(float64(tr.embeddingDim))
}

// leastSpread is what BYOL and SimSiam keep after 300 steps at least. Their loss says
// nothing: it is least where all embeddings are one. Two embeddings whose coordinates
// deviate by s/√D have a cosine of 1 − s² in the mean, here of 0.96.
const leastSpread = 0.2

// collapsed is the loss of a network that gives one vector for all images, of an
// objective that tells one of n from the others: every logit is equal, so whatever the
// target is, its cross-entropy with the uniform distribution is ln n.
func collapsed(n int) float64 { return math.Log(float64(n)) }

// nearlyCollapsed is by how much the loss can lie below that of one vector while the
// embeddings are next to one: with coordinates that deviate by s/√D, cosines deviate by
// s²/√D, logits by s²/τ√D, and the loss falls by half of that squared: by 0.0025 for
// leastSpread, D 32 and τ 0.1, and four times that is granted.
const nearlyCollapsed = 0.01

// notCollapsed fails the test unless the last 30 losses lie below that of a collapsed
// network, by nearlyCollapsed and three standard errors of their mean, or, of an objective without such a
// loss (0), the embeddings are spread.
func notCollapsed(tb testing.TB, tr trace, flat float64) {
	tb.Helper()
	if flat == 0 {
		if spread := tr.spread(); !(spread > leastSpread) {
			tb.Errorf("the embeddings' deviation is %.3f of a spread sphere's: collapsed", spread)
		}
		return
	}
	last := tr.losses[longSteps-30:]
	m, squares := mean(last), 0.0
	for _, v := range last {
		squares += (v - m) * (v - m)
	}
	n := float64(len(last))
	if se := math.Sqrt(squares / (n - 1) / n); !(m+3*se < flat-nearlyCollapsed) {
		tb.Errorf("the loss is %.4f ± %.4f at the end, %.4f for one vector for all images: collapsed", m, se, flat)
	}
}

// wellTrained fails the test unless the loss fell, the embeddings did not collapse, and
// memory stayed where it was. The mean losses of the 30 steps from from on and of
// the last 30 are compared.
func wellTrained(t *testing.T, tr trace, from int, flat float64) {
	t.Helper()
	first, last := mean(tr.losses[from:from+30]), mean(tr.losses[longSteps-30:])
	t.Logf("loss %.4f → %.4f (collapsed: %.4f), embedding std %.3f of 1/√D, RSS %.1f → %.1f MB", first, last, flat, tr.spread(), tr.rss[0]/1e6, tr.rss[1]/1e6)
	if len(tr.losses) != longSteps || !(last < first) {
		t.Errorf("the loss went from %.4f to %.4f in %d steps", first, last, len(tr.losses))
	}
	notCollapsed(t, tr, flat)
	if tr.live[0] != tr.live[1] {
		t.Errorf("%d live tensors after %d steps, %d after %d", tr.live[0], longSteps/3, tr.live[1], longSteps)
	}
	if tr.rss[1] > 1.05*tr.rss[0] {
		t.Errorf("RSS grew from %.1f MB to %.1f MB", tr.rss[0]/1e6, tr.rss[1]/1e6)
	}
}

// TestObjectivesTrain trains objectives on one and the same stream: the first six, and of the
// others one for each kind of state and loss. bench/objectives.sh trains them all.
func TestObjectivesTrain(t *testing.T) {
	for i, c := range []struct {
		name string
		from int
		flat float64 // of K keys, of which InfoNCE has one more, or of the batch's 32 samples in two views
		set  []string
	}{
		{"ressl", 150, collapsed(512), []string{"objective=ressl"}}, // until then the warm-up mixes two losses
		{"ressl*", 0, collapsed(512), []string{"objective=ressl", "predictor=false", "infonce_warmup_epochs=0"}},
		// Against the random vectors that the queue starts with, a key is easily told
		// from the others; a teacher of m 0.99 hardly moves in 300 steps.
		{"moco-v2", 80, collapsed(128 + 1), []string{"objective=moco-v2", "base_lr=0.24", "m=0.9", "K=128"}},
		{"simclr", 0, collapsed(2*32 - 1), []string{"objective=simclr"}},
		{"byol", 0, 0, []string{"objective=byol"}},
		{"simsiam", 0, 0, []string{"objective=simsiam"}},
		{"nnclr", 0, collapsed(32), []string{"objective=nnclr"}},
		{"barlow-twins", 0, 0, []string{"objective=barlow-twins"}},
		{"dino", 0, collapsed(64), []string{"objective=dino", "prototypes=64", "tau_t_warmup_epochs=0", "hold_epochs=0.1"}},
		{"swav", 0, 0, []string{"objective=swav", "prototypes=64", "swav_queue_epochs=0.5", "hold_epochs=0.1", "tau_nce=0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if i > 0 { // train.Run's goroutines are the first one's
				racetest.SkipNumbers(t)
			}
			if !slices.Contains([]string{"ressl", "moco-v2", "byol", "swav"}, c.name) {
				torchtest.SkipLike(t, "a relation, a contrast, no negatives, prototypes")
			}
			wellTrained(t, trainLong(t, c.set...), c.from, c.flat)
		})
	}
}

// TestBackbonesTrain trains every network at its narrowest. A deep one of eight
// channels wants a teacher that follows soon and InfoNCE beside the relation to the
// end, to show in so few steps that it learns.
func TestBackbonesTrain(t *testing.T) {
	racetest.SkipNumbers(t)
	for _, name := range backbone.Names() {
		set := []string{"base_lr=0.96"}
		switch {
		case name == "vit_tiny_patch4":
			set = []string{"optimizer=adamw", "base_lr=0.032", "stochastic_depth=0"}
		case backbone.Patch(name) > 0, slices.Contains([]string{"convnext_small", "convnext_base", "resnet34", "wide_resnet50_2", "efficientnet_b1"}, name):
			continue // it differs from another in sizes alone
		}
		t.Run(name, func(t *testing.T) {
			if name != "resnet18" && name != "vit_tiny_patch4" {
				torchtest.SkipLike(t, "a convolutional network and a transformer")
			}
			wellTrained(t, trainLong(t, append(set, "backbone="+name, "image_size=16", "batch_size=16", "K=256",
				"m=0.95", "infonce_warmup_epochs=2")...), 0, collapsed(256))
		})
	}
}

// TestCollapseIsSeen: Table 2's grey cells. Without predictor a target no sharper
// than the student leads to one vector for all images, and the loss to ln K, the
// entropy of a relation to nothing.
func TestCollapseIsSeen(t *testing.T) {
	racetest.SkipNumbers(t)
	tr := trainLong(t, "predictor=false", "infonce_warmup_epochs=0", "tau_t=0.1", "flat_target=true")
	loss, spread := mean(tr.losses[longSteps-30:]), tr.spread()
	t.Logf("loss %.4f (ln K is %.4f), embedding std %.3f of 1/√D", loss, math.Log(512), spread)
	if math.Abs(loss-collapsed(512)) > nearlyCollapsed || spread > leastSpread {
		t.Errorf("loss %.4f, embedding std %.3f of 1/√D: not the collapse of Table 2", loss, spread)
	}
	for flat, by := range map[float64]string{collapsed(512): "loss", 0: "spread"} {
		var r counted
		r.TB = t
		if notCollapsed(&r, tr, flat); r.failures == 0 {
			t.Errorf("what every objective is held to by its %s does not see this collapse", by)
		}
	}
}

// counted is a test whose failures are counted, not reported.
type counted struct {
	testing.TB
	failures int
}

func (c *counted) Errorf(string, ...any) { c.failures++ }
func (c *counted) Helper()               {}

// TestNotCollapsed: the criterion by the loss, on losses as they are and are not.
func TestNotCollapsed(t *testing.T) {
	for _, c := range []struct {
		name     string
		below    float64 // the collapsed network's, in the mean
		noise    float64
		failures int
	}{
		{"well below", 0.1, 0.05, 0},
		{"below, and lost in noise", 0.01, 0.1, 1},
		{"at it", 0, 0.001, 1},
		{"above", -0.1, 0.001, 1},
	} {
		tr := trace{losses: make([]float64, longSteps), std: make([]float64, longSteps), embeddingDim: 32}
		for i := range tr.losses {
			tr.losses[i] = collapsed(256) - c.below + c.noise*math.Sin(float64(i))*math.Sqrt2
		}
		r := counted{TB: t}
		if notCollapsed(&r, tr, collapsed(256)); r.failures != c.failures {
			t.Errorf("%s: %d failures, want %d", c.name, r.failures, c.failures)
		}
	}
}
