package pipeline_test

import (
	"context"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"resslt/batcher"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
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
}

// endless is a train.Stream that makes its batches as they are asked for.
type endless struct {
	spec  *schemas.RunSpec
	order batcher.Order
	maker batcher.Maker
	step  int64
}

func (e *endless) Next(ctx context.Context) (*schemas.Batch, error) {
	if e.step == e.spec.Steps() {
		return nil, io.EOF
	}
	b, err := batcher.MakeBatches(ctx, e.spec, e.order, e.maker, e.step, 1)
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
	if err := r.Resolve(pipeline.Host(cores.Cores{Count: 1})); err != nil {
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
	src, err := pipeline.OpenSource(ctx, &schemas.RunRecord{Spec: spec, DataURI: r.Data}, nil, ingest.Options{})
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

// leastSpread is below what every objective keeps in 300 steps, and above what is
// left by then of a run that collapses.
const leastSpread = 0.2

// wellTrained fails the test unless the loss fell, the embeddings are spread, and
// memory stayed where it was. The mean losses of the 30 steps from from on and of
// the last 30 are compared.
func wellTrained(t *testing.T, tr trace, from int) {
	t.Helper()
	first, last := mean(tr.losses[from:from+30]), mean(tr.losses[longSteps-30:])
	spread := tr.spread()
	t.Logf("loss %.4f → %.4f, embedding std %.3f of 1/√D, RSS %.1f → %.1f MB", first, last, spread, tr.rss[0]/1e6, tr.rss[1]/1e6)
	if len(tr.losses) != longSteps || !(last < first) {
		t.Errorf("the loss went from %.4f to %.4f in %d steps", first, last, len(tr.losses))
	}
	if !(spread > leastSpread) {
		t.Errorf("the embeddings' deviation is %.3f of a spread sphere's: collapsed", spread)
	}
	if tr.live[0] != tr.live[1] {
		t.Errorf("%d live tensors after %d steps, %d after %d", tr.live[0], longSteps/3, tr.live[1], longSteps)
	}
	if tr.rss[1] > 1.05*tr.rss[0] {
		t.Errorf("RSS grew from %.1f MB to %.1f MB", tr.rss[0]/1e6, tr.rss[1]/1e6)
	}
}

// TestObjectivesTrain trains every objective on one and the same stream.
func TestObjectivesTrain(t *testing.T) {
	for _, c := range []struct {
		name string
		from int
		set  []string
	}{
		{"ressl", 150, []string{"objective=ressl"}}, // until then the warm-up mixes two losses
		{"ressl*", 0, []string{"objective=ressl", "predictor=false", "infonce_warmup_epochs=0"}},
		// Against the random vectors that the queue starts with, a key is easily told
		// from the others; a teacher of m 0.99 hardly moves in 300 steps.
		{"moco-v2", 80, []string{"objective=moco-v2", "base_lr=0.24", "m=0.9", "K=128"}},
		{"simclr", 0, []string{"objective=simclr"}},
		{"byol", 0, []string{"objective=byol"}},
		{"simsiam", 0, []string{"objective=simsiam"}},
		{"nnclr", 0, []string{"objective=nnclr"}},
	} {
		t.Run(c.name, func(t *testing.T) { wellTrained(t, trainLong(t, c.set...), c.from) })
	}
}

// TestBackbonesTrain trains every network at its narrowest. A deep one of eight
// channels wants a teacher that follows soon and InfoNCE beside the relation to the
// end, to show in so few steps that it learns.
func TestBackbonesTrain(t *testing.T) {
	for _, name := range backbone.Names() {
		t.Run(name, func(t *testing.T) {
			wellTrained(t, trainLong(t, "backbone="+name, "image_size=16", "batch_size=16", "K=256",
				"base_lr=0.96", "m=0.95", "infonce_warmup_epochs=2"), 0)
		})
	}
}

// TestCollapseIsSeen: Table 2's grey cells. Without predictor a target no sharper
// than the student leads to one vector for all images, and the loss to ln K, the
// entropy of a relation to nothing.
func TestCollapseIsSeen(t *testing.T) {
	tr := trainLong(t, "predictor=false", "infonce_warmup_epochs=0", "tau_t=0.1", "flat_target=true")
	loss, spread := mean(tr.losses[longSteps-30:]), tr.spread()
	t.Logf("loss %.4f (ln K is %.4f), embedding std %.3f of 1/√D", loss, math.Log(512), spread)
	if math.Abs(loss-math.Log(512)) > 0.01 || spread > leastSpread {
		t.Errorf("loss %.4f, embedding std %.3f of 1/√D: not the collapse of Table 2", loss, spread)
	}
}
