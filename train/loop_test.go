package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn/nntest"
	"resslt/train/objective"
	"resslt/train/recipe"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// tiny is a recipe whose step takes milliseconds, and its spec.
func tiny(t testing.TB, steps int64, set ...string) (*recipe.Recipe, *schemas.RunSpec) {
	t.Helper()
	torchtest.Require(t)
	d := recipe.Default()
	r := &d
	r.Name, r.Data, r.Seed = "tiny", "none:", 3
	r.Width, r.ProjectorHidden, r.EmbeddingDim, r.K, r.BatchSize = 2, 16, 8, 32, 8
	r.Epochs, r.LogEvery, r.CheckpointEvery = 1, 1, 4
	if err := errors.Join(r.Set(set...), r.Resolve(recipe.Host{Threads: 1, Engine: "test/1"})); err != nil {
		t.Fatal(err)
	}
	return r, &schemas.RunSpec{
		Version: schemas.SpecVersion, Dataset: schemas.DatasetSpec{Digest: "d", Samples: steps * 8}, Engine: "test/1", Seed: 3,
		BatchSize: 8, Epochs: 1, StepsPerEpoch: steps, ChunkSamples: 8, OnError: schemas.Replace,
		Views: []schemas.ViewSpec{{Name: "weak", Role: schemas.Teacher, Size: 8}, {Name: "strong", Role: schemas.Student, Size: 8}},
	}
}

// noise is a Stream whose batch is a function of the step, as a run's is.
type noise struct {
	spec   *schemas.RunSpec
	step   int64
	failAt int64 // Next fails at this step; 0: never
	out    int   // batches given and not released
}

var errBroker = errors.New("the broker is gone")

func (n *noise) Next(context.Context) (*schemas.Batch, error) {
	if n.failAt > 0 && n.step == n.failAt {
		return nil, errBroker
	}
	b := &schemas.Batch{Step: n.step, Size: n.spec.BatchSize, Views: n.spec.Views}
	for i := range b.Size { // steps have samples in common
		b.Samples = append(b.Samples, (n.step+int64(i)*5)%n.spec.Dataset.Samples)
		b.Labels = append(b.Labels, int32(b.Samples[i]%10))
	}
	rng := rand.New(rand.NewPCG(uint64(n.step), 1))
	for _, v := range n.spec.Views {
		px := make([]byte, b.Size*v.Bytes())
		for i := range px {
			px[i] = byte(rng.Uint32())
		}
		b.Pixels = append(b.Pixels, px)
	}
	n.step++
	n.out++
	b.OnRelease(func() { n.out-- })
	return b, nil
}

// finish runs to the end and gives the summary.
func finish(t *testing.T, o Options) Summary {
	t.Helper()
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	res.Learner.Free()
	return res.Summary
}

func TestResumeGivesTheSameBits(t *testing.T) {
	const steps = 11
	r, spec := tiny(t, steps, "keep_checkpoints=1", "lr_warmup_epochs=0") // the first epoch's rate would be 0
	whole := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
	for stop := int64(1); stop < steps; stop += 3 {
		t.Run(fmt.Sprint("stopped after ", stop), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "a [b] *c") // no pattern, whatever it looks like
			if err := os.Mkdir(out, 0o755); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			s := &noise{spec: spec}
			_, err := Run(ctx, Options{Recipe: r, Spec: spec, Stream: s, Out: out, Observe: func(p Progress) {
				if p.Step == stop {
					cancel()
				}
			}})
			if !errors.Is(err, errs.ErrInterrupted) {
				t.Fatalf("got %v, want ErrInterrupted", err)
			}
			if s.out != 0 {
				t.Errorf("%d batches were not released", s.out)
			}
			c, damaged, err := LatestCheckpoint(CheckpointDir(out))
			if err != nil || len(damaged) != 0 || c.Step != stop {
				t.Fatalf("checkpoint %+v, damaged %v, %v; want step %d", c, damaged, err, stop)
			}
			got := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, step: c.Step}, Out: out, Resume: c})
			if got.StudentSHA256 != whole.StudentSHA256 || got.TeacherSHA256 != whole.TeacherSHA256 || got.QueueSHA256 != whole.QueueSHA256 ||
				got.FinalLoss != whole.FinalLoss {
				t.Errorf("resumed run ends elsewhere:\n%+v\n%+v", got, whole)
			}
			raw, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
			if err != nil || bytes.Count(raw, []byte("\n")) != steps {
				t.Errorf("%d lines of metrics for %d steps (%v)", bytes.Count(raw, []byte("\n")), steps, err)
			}
		})
	}
}

// All parts of an objective go through the checkpoint, and what a step
// draws is a function of the step.
func TestEveryObjectiveResumes(t *testing.T) {
	torchtest.Require(t)
	for _, set := range [][]string{
		{"objective=ressl", "predictor=false", "bn_groups=2"},
		{"objective=moco-v2", "bn_groups=2"},
		{"objective=simclr"},
		{"objective=byol"},
		{"objective=simsiam"},
		{"objective=nnclr"},
		{"optimizer=adamw", "layer_decay=0.7", "weight_decay_end=0.3", "clip_grad=0.1", "backbone=vit_tiny_patch4", "stochastic_depth=0.5"},
		{"objective=moco-v2-symmetric", "bn_groups=2"},
		{"objective=infomin", "bn_groups=2", "policy=small-2crop"},
		{"objective=barlow-twins"},
		{"objective=vicreg"},
		{"objective=moco-v3", "projector_layers=3"},
		{"objective=dino", "hold_epochs=0.3", "tau_t_start=0.02", "tau_t_warmup_epochs=0.7", "prototypes=12"},
		{"objective=swav", "hold_epochs=0.3", "swav_queue_epochs=0.4", "prototypes=12", "K=16"},
		{"objective=w-mse", "whiten_epsilon=0.1"},
		{"objective=clsa", "bn_groups=2"},
		{"objective=isd", "bn_groups=2"},
		{"objective=seed", "teacher=" + smallTeacher(t)},
		{"objective=unigrad"},
		{"objective=truncated-triplet", "triplet_ranks=[2, 5]"},
		{"objective=mochi", "bn_groups=2", "mochi_hardest=8", "mochi_mixed=4", "mochi_harder=2", "mochi_warmup_epochs=0.2", "accumulate=2"},
		{"objective=adco", "K=12", "bn_groups=2"},
		{"objective=wcl"},
		{"objective=fnc"},
		{"objective=rotation"},
		{"objective=pirl", "bank_negatives=6"},
		{"objective=relative-loc", "accumulate=2"},
		{"objective=cpc-v2", "accumulate=2", "cpc_steps=[2, 5]", "cpc_hidden=8", "cpc_blocks=2"},
		{"objective=npid", "bank_negatives=6", "accumulate=2"},
		{"objective=pcl-v2", "bn_groups=2", "pcl_warmup_epochs=0.2", "cluster_every=0.3", "clusters=[4, 6]"},
		{"objective=localagg", "localagg_warmup_epochs=0.6", "cluster_every=0.2", "clusters=[4, 6]", "bank_negatives=6", "localagg_neighbours=9"},
		{"objective=fixmatch", "classes=10", "label_fraction=0.5", "accumulate=2"},
		{"objective=s4l", "classes=10", "label_fraction=0.5", "accumulate=2"},
		{"objective=uda", "classes=10", "label_fraction=0.5", "uda_threshold=0.2"},
		{"objective=compress", "K=20", "bn_groups=2", "teacher=" + smallTeacher(t)},
		{"objective=compress-1q", "teacher=" + smallTeacher(t)},
		{"objective=disco", "bn_groups=2", "teacher=" + smallTeacher(t)},
		{"objective=bingo", "K=20", "bingo_warmup_epochs=0.5", "accumulate=2", "teacher=" + smallTeacher(t)},
		{"objective=simdis", "predictor_hidden=12", "accumulate=2", "teacher=" + smallTeacher(t)},
		{"accumulate=2", "activation_checkpointing=true", "precision=bf16"},
		{"backbone=convnext_tiny", "stochastic_depth=0.5", "optimizer=adamw"},
		{"init=" + smallStart(t, 2), "freeze=[stem, layer1]"},
	} {
		t.Run(strings.Join(set, " "), func(t *testing.T) {
			if slices.Contains(set, "precision=bf16") {
				nntest.BFloat16(t)
			}
			const steps, stop = 6, 3
			r, spec := tiny(t, steps, append(set, "lr_warmup_epochs=0")...)        // the first epoch's rate would be 0
			if _, _, err := recipe.Sides(r.Objective, 0, spec.Views); err != nil { // takes two student views
				spec.Views = append(spec.Views, schemas.ViewSpec{Name: "another", Role: schemas.Student, Size: 8})
			}
			whole := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir()})
			out := t.TempDir()
			if _, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, failAt: stop}, Out: out}); !errors.Is(err, errBroker) {
				t.Fatal(err)
			}
			c, _, err := LatestCheckpoint(CheckpointDir(out))
			if err != nil {
				t.Fatal(err)
			}
			got := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, step: c.Step}, Out: out, Resume: c})
			if got.StudentSHA256 != whole.StudentSHA256 || got.TeacherSHA256 != whole.TeacherSHA256 || got.QueueSHA256 != whole.QueueSHA256 ||
				got.ObjectiveSHA256 != whole.ObjectiveSHA256 {
				t.Errorf("resumed run ends elsewhere:\n%+v\n%+v", got, whole)
			}
		})
	}
}

// TestSnapshots: every knn_every epochs, of the student as it is then.
func TestSnapshots(t *testing.T) {
	r, spec := tiny(t, 2, "knn_every=2", "epochs=5")
	spec.Epochs = 5
	var epochs []int64
	var last EncoderSnapshot
	res, err := Run(context.Background(), Options{
		Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir(),
		Snapshot: func(s EncoderSnapshot) error { epochs, last = append(epochs, s.Epoch), s; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	res.Learner.Free()
	if !slices.Equal(epochs, []int64{2, 4}) || last.Step != 8 {
		t.Errorf("snapshots after epochs %v, the last after step %d; want 2 and 4, step 8", epochs, last.Step)
	}
	path := filepath.Join(t.TempDir(), "encoder.safetensors")
	if err := last.Write(path); err != nil {
		t.Fatal(err)
	}
	if info, ok, err := EncoderMeta(path); err != nil || !ok || info.Width != r.Width || info.ImageSize != 8 {
		t.Errorf("written snapshot: %+v, %v, %v", info, ok, err)
	}
	stopped, err := Run(context.Background(), Options{
		Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir(),
		Snapshot: func(EncoderSnapshot) error { return errBroker },
	})
	if !errors.Is(err, errBroker) || stopped != nil {
		t.Errorf("a receiver's error gives %v", err)
	}
}

func TestResumeOfAFinishedRunChangesNothing(t *testing.T) {
	r, spec := tiny(t, 5)
	out := t.TempDir()
	whole := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: out})
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil {
		t.Fatal(err)
	}
	again := finish(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, step: c.Step}, Out: out, Resume: c})
	if again.StudentSHA256 != whole.StudentSHA256 || again.FinalLoss != whole.FinalLoss {
		t.Errorf("got %.12s loss %v, want %.12s loss %v", again.StudentSHA256, again.FinalLoss, whole.StudentSHA256, whole.FinalLoss)
	}
}

// A stream that fails never costs the steps done.
func TestStreamFailureLeavesACheckpoint(t *testing.T) {
	r, spec := tiny(t, 12)
	out := t.TempDir()
	_, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, failAt: 6}, Out: out})
	if !errors.Is(err, errBroker) {
		t.Fatalf("got %v, want the stream's error", err)
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil || c.Step != 6 {
		t.Errorf("checkpoint %+v, %v; want step 6", c, err)
	}
}

// A loss that is no number stops the run at its step, before a weight moves; the
// batch is kept, and the newest checkpoint is sound.
func TestDivergedLossStopsAtItsStep(t *testing.T) {
	r, spec := tiny(t, 12, "checkpoint_every=1", "log_every=100", "base_lr=1e30", "lr_warmup_epochs=0")
	out := t.TempDir()
	var kept *schemas.Batch
	_, err := Run(context.Background(), Options{
		Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: out,
		Keep: func(b *schemas.Batch) (string, error) { kept = b; return "diverged.arrow", nil },
	})
	if !errors.Is(err, errs.ErrDiverged) || kept == nil {
		t.Fatalf("got %v, batch kept: %v", err, kept)
	}
	for _, part := range []string{fmt.Sprintf("step %d", kept.Step), "diverged.arrow", "resslt inspect --step", "the loss is"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil || c.Step != kept.Step {
		t.Errorf("newest checkpoint %+v, %v; want the state before step %d", c, err, kept.Step)
	}
}

// What the loss does not show, the check before a save does.
func TestDivergedWeightsAreNotSaved(t *testing.T) {
	r, spec := tiny(t, 12, "base_lr=1e40", "lr_warmup_epochs=0", "log_every=100", "checkpoint_every=1")
	out := t.TempDir()
	_, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: out})
	if !errors.Is(err, errs.ErrDiverged) {
		t.Fatalf("got %v, want ErrDiverged", err)
	}
	if c, _, err := LatestCheckpoint(CheckpointDir(out)); err == nil {
		t.Errorf("the diverged state was saved as step %d", c.Step)
	}
}

// A step that fails half-way leaves a state of no step, which must not be saved.
func TestFailedStepIsNotSaved(t *testing.T) {
	r, spec := tiny(t, 12, "checkpoint_every=5")
	out := t.TempDir()
	_, err := runFailing(t, Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: out}, 7)
	if err == nil || errors.Is(err, errs.ErrInterrupted) {
		t.Fatalf("got %v, want the step's error", err)
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil || c.Step != 5 {
		t.Errorf("newest checkpoint is %+v, %v; want step 5", c, err)
	}
}

// runFailing is Run with an objective whose loss cannot be computed at step at; it
// gives the number of steps that were begun.
func runFailing(t *testing.T, o Options, at int) (begun int, err error) {
	t.Helper()
	cfg, err := LearnerConfig(o.Recipe)
	if err != nil {
		t.Fatal(err)
	}
	learner := newSmall(t, cfg)
	defer learner.Free()
	failing := &failing{Objective: learner.criterion.Objective, left: at}
	learner.criterion.Objective = failing
	l, err := newLoop(o, learner)
	if err != nil {
		t.Fatal(err)
	}
	err = l.run(context.Background())
	return at - failing.left, err
}

// failing is an objective whose loss has shapes that do not fit after so many passes.
type failing struct {
	objective.Objective
	left int
}

func (f *failing) Loss(b objective.Batch, student []objective.Embedding, t objective.Targets) objective.Loss {
	if f.left == 0 {
		torch.Mm(b.Queue, b.Queue)
	}
	f.left--
	return f.Objective.Loss(b, student, t)
}

// A stream that gives what its run has not is refused, and the state is sound.
func TestMisshapenBatchIsRefused(t *testing.T) {
	r, spec := tiny(t, 12, "checkpoint_every=5")
	out := t.TempDir()
	_, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &misshapen{noise{spec: spec}, 7}, Out: out})
	if !errors.Is(err, errs.ErrMismatch) {
		t.Fatalf("got %v, want ErrMismatch", err)
	}
	c, _, err := LatestCheckpoint(CheckpointDir(out))
	if err != nil || c.Step != 7 {
		t.Errorf("newest checkpoint is %+v, %v; want step 7", c, err)
	}
}

// misshapen gives from step at on a student view of no pixel.
type misshapen struct {
	noise
	at int64
}

func (m *misshapen) Next(ctx context.Context) (*schemas.Batch, error) {
	b, err := m.noise.Next(ctx)
	if err == nil && b.Step >= m.at {
		b.Views = append(b.Views[:1:1], schemas.ViewSpec{Name: "strong", Role: schemas.Student, Size: 0})
		b.Pixels[1] = nil
	}
	return b, err
}

func TestStreamOutOfOrderIsRefused(t *testing.T) {
	r, spec := tiny(t, 4)
	_, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec, step: 2}, Out: t.TempDir()})
	if !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("got %v, want ErrMismatch", err)
	}
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

func TestMemoryIsFlat(t *testing.T) {
	r, spec := tiny(t, 200, "checkpoint_every=1000", "width=8")
	before := torch.LiveTensors()
	var live50, live200 int64
	var rss50, rss200 float64
	res, err := Run(context.Background(), Options{Recipe: r, Spec: spec, Stream: &noise{spec: spec}, Out: t.TempDir(), Observe: func(p Progress) {
		switch p.Step {
		case 50:
			live50, rss50 = torch.LiveTensors(), rss(t)
		case 200:
			live200, rss200 = torch.LiveTensors(), rss(t)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	res.Learner.Free()
	if live50 != live200 {
		t.Errorf("%d live tensors after 50 steps, %d after 200", live50, live200)
	}
	if after := torch.LiveTensors(); after != before {
		t.Errorf("%d live tensors before the run, %d after", before, after)
	}
	t.Logf("RSS %.1f MB after 50 steps, %.1f MB after 200 (%+.1f %%)", rss50/1e6, rss200/1e6, 100*(rss200/rss50-1))
	if rss200 > 1.05*rss50 {
		t.Errorf("RSS grew from %.1f MB after 50 steps to %.1f MB after 200", rss50/1e6, rss200/1e6)
	}
}
