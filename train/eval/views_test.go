package eval_test

import (
	"context"
	"math"
	"testing"

	"resslt/schemas/racetest"
	"resslt/train/backbone"
	"resslt/train/eval"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
)

// coloured are images of two classes that a network can learn: reddish and bluish noise.
// The noise differs from epoch to epoch.
type coloured struct{ batches, size int }

type closer struct{ eval.Source }

func (closer) Close() error { return nil }

func (c coloured) Batches() int { return c.batches }
func (c coloured) Classes() int { return 2 }

func (c coloured) Epoch(_ context.Context, epoch int) (eval.SourceCloser, error) {
	var b batches
	for i := range c.batches {
		b = append(b, c.batch("train", epoch*c.batches+i))
	}
	return closer{&b}, nil
}

func (c coloured) batch(name string, i int) eval.Images {
	const n = 16
	px := nntest.Pixels(name+string(rune('a'+i)), n, c.size)
	m := eval.Images{Size: c.size, Pixels: px}
	for k := range n {
		label := int32(k % 2)
		m.Labels = append(m.Labels, label)
		one := px[k*c.size*c.size*3 : (k+1)*c.size*c.size*3]
		for j := 2 * int(label); j < len(one); j += 3 {
			one[j] = 255
			one[j-2*int(label)+2*(1-int(label))] = 0
		}
	}
	return m
}

func (c coloured) test() *batches {
	b := batches{c.batch("test", 0), c.batch("test", 1)}
	return &b
}

func narrow(t *testing.T) backbone.Backbone {
	t.Helper()
	b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nn.Free(b) })
	return b
}

func TestLinearOnViews(t *testing.T) {
	nntest.Torch(t)
	b, views := narrow(t), coloured{batches: 4, size: 8}
	var before []float32
	nntest.Do(t, func() { before = nn.Parameters(b)[0].Tensor.Float32s() })
	test, err := eval.Features(t.Context(), b, views.test(), eval.FeatureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer test.Free()
	o := eval.LinearOptions{Epochs: 30, LR: 1, Nesterov: true, Cosine: true, Seed: 1}
	r, err := eval.LinearOnViews(t.Context(), b, views, test, eval.FeatureOptions{}, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Top1 < 90 || r.TrainTop1 < 90 || !(r.FinalLoss < 0.4) {
		t.Errorf("two colours are told apart in %.1f %% of tests, %.1f %% of training, loss %.3f", r.Top1, r.TrainTop1, r.FinalLoss)
	}
	again, err := eval.LinearOnViews(t.Context(), b, views, test, eval.FeatureOptions{}, o)
	if err != nil || again != r {
		t.Errorf("a second run gives %+v (%v), the first %+v", again, err, r)
	}
	nntest.Do(t, func() { nntest.Close(t, "a frozen weight", nn.Parameters(b)[0].Tensor.Float32s(), before, 0) })
}

func TestFineTune(t *testing.T) {
	nntest.Torch(t)
	b, views := narrow(t), coloured{batches: 4, size: 8}
	var before []float32
	nntest.Do(t, func() { before = nn.Parameters(b)[0].Tensor.Float32s() })
	test := func(context.Context) (eval.SourceCloser, error) { return closer{views.test()}, nil }
	r, err := eval.FineTune(t.Context(), b, views, test, eval.FeatureOptions{}, eval.FineTuneOptions{Epochs: 8})
	if err != nil {
		t.Fatal(err)
	}
	if r.Top1 < 90 || !(r.FinalLoss < 0.4) {
		t.Errorf("top-1 %.1f %%, loss %.3f", r.Top1, r.FinalLoss)
	}
	nntest.Do(t, func() {
		if nntest.Deviation(nn.Parameters(b)[0].Tensor.Float32s(), before) == 0 {
			t.Error("the first convolution has not moved")
		}
		for _, p := range nn.Parameters(b) {
			if p.Tensor.Grad() != nil {
				t.Errorf("%s keeps its gradient", p.Name)
			}
		}
	})
}

// TestLinearAgainstPyTorch: the same protocol in another order of images, from
// other initial weights.
func TestLinearAgainstPyTorch(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	train, test := blobs(t, "train", 3000, 32, 8), blobs(t, "test", 4000, 32, 8)
	for name, o := range map[string]eval.LinearOptions{
		"milestones": {Epochs: 40, LR: 0.2, Seed: 1},
		"imagenet":   {Epochs: 40, LR: 0.2, Nesterov: true, Cosine: true, Seed: 1},
	} {
		want := peer(t, "torch", "linear", map[string]any{"epochs": o.Epochs, "lr": o.LR, "batch": 256, "nesterov": o.Nesterov, "cosine": o.Cosine, "seed": 0}, train, test)
		got, err := eval.Linear(t.Context(), train, test, o)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "linear probe, "+name, got.Top1, want["top1"].(float64), 0.3)
	}
}

// TestTransferChoosesByValidation: the best penalty lies inside the grid and wins
// on the validation set; images with several classes are scored by precision.
func TestTransferChoosesByValidation(t *testing.T) {
	nntest.Torch(t)
	train, val, test := blobs(t, "train", 400, 64, 6), blobs(t, "val", 400, 64, 6), blobs(t, "test", 400, 64, 6)
	r, err := eval.Transfer(t.Context(), train, val, test, eval.TransferOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Validation) != 45 || r.Lambdas[0] != 1e5 || math.Abs(r.Lambdas[44]-1e-6) > 1e-15 || r.AtEdge || !r.Converged {
		t.Errorf("%d penalties from %g to %g, edge %v, converged %v", len(r.Validation), r.Lambdas[0], r.Lambdas[44], r.AtEdge, r.Converged)
	}
	for i, v := range r.Validation {
		if r.Lambdas[i] == r.Lambda {
			for j, w := range r.Validation {
				if w > v || w == v && j < i {
					t.Errorf("λ %g scores %.2f, %g was better or as good and stronger: %.2f", r.Lambda, v, r.Lambdas[j], w)
				}
			}
		}
	}
	c := func(s *eval.Set) *eval.Set { return severalClasses(s, 6) }
	m, err := eval.Transfer(t.Context(), c(train), c(val), c(test), eval.TransferOptions{Lambdas: eval.LambdaGrid(8)})
	if err != nil {
		t.Fatal(err)
	}
	if m.Metric != eval.MAP11 || m.Score() != m.Precision.ElevenPoint || m.Score() < 40 || m.Score() > 100 {
		t.Errorf("metric %s, score %.2f", m.Metric, m.Score())
	}
}
