package eval

import (
	"context"
	"fmt"
	"strconv"

	"resslt/schemas"
	"resslt/train/nn"
	"resslt/train/optim"
	"resslt/train/torch"
)

// LinearOptions of Linear; the defaults are the small-set protocol.
type LinearOptions struct {
	Epochs     int     // default 100
	BatchSize  int     // default 256; the last batch of an epoch may be smaller
	LR         float64 // default 10
	Momentum   float64 // default 0.9
	Milestones []int   // epochs at which the rate falls to a tenth; default 60 % and 80 % of Epochs
	Seed       uint64  // of the initial weights and the order
}

func (o LinearOptions) applyDefaults() LinearOptions {
	if o.Epochs == 0 {
		o.Epochs = 100
	}
	if o.BatchSize == 0 {
		o.BatchSize = 256
	}
	if o.LR == 0 {
		o.LR = 10
	}
	if o.Momentum == 0 {
		o.Momentum = 0.9
	}
	if o.Milestones == nil {
		o.Milestones = []int{o.Epochs * 6 / 10, o.Epochs * 8 / 10}
	}
	return o
}

// Validate returns an error wrapping schemas.ErrUsage that names the field.
func (o LinearOptions) Validate() error {
	o = o.applyDefaults()
	bad := func(field string, v any, hint string) error {
		return schemas.E("linear probe option", field, hint, schemas.Because(schemas.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	switch {
	case o.Epochs < 1:
		return bad("epochs", o.Epochs, "give 1 or more")
	case o.BatchSize < 1:
		return bad("batch size", o.BatchSize, "give 1 or more")
	case !(o.LR > 0):
		return bad("learning rate", o.LR, "give a number above 0")
	case !(o.Momentum > 0 && o.Momentum < 1):
		return bad("momentum", o.Momentum, "give a number between 0 and 1")
	}
	return nil
}

// LinearResult is the probe after its last epoch.
type LinearResult struct {
	Top1, Top5 float64 // percent of the test set; Top5 is of min(5, classes)
	TrainTop1  float64 // percent of the training set
	FinalLoss  float64 // cross-entropy on the training set, nats
}

// Linear trains softmax(W·h + b) on the training features and tests it. W starts
// from a normal of deviation 0.01 (MoCo's), b from zero. Its error is ctx's, or
// wraps schemas.ErrUsage for sets that do not fit one another.
func Linear(ctx context.Context, train, test *Set, o LinearOptions) (LinearResult, error) {
	if err := o.Validate(); err != nil {
		return LinearResult{}, err
	}
	o = o.applyDefaults()
	numClasses, err := singleLabel(train, test)
	if err != nil {
		return LinearResult{}, err
	}
	var r LinearResult
	err = torch.Do(func() error {
		var err error
		torch.NoGrad(func() { r, err = newProbe(train, numClasses, o).run(ctx, test) })
		return err
	})
	return r, err
}

// probe is a linear classifier in training. Its gradient is written out, since
// for one layer that is three products and no graph:
//
//	G = (softmax(h·Wᵀ + b) − onehot(y))/B,  ∂W = Gᵀ·h,  ∂b = Σ_rows G
type probe struct {
	o      LinearOptions
	train  *Set
	labels *torch.Tensor // (N) int64
	onehot *torch.Tensor // (C,C): row c is the one-hot vector of class c

	w, b   *torch.Tensor // (C,D), (C)
	vw, vb *torch.Tensor // momentum of w and b
}

func newProbe(train *Set, numClasses int, o LinearOptions) *probe {
	c, d := int64(numClasses), int64(train.Dim)
	device := train.X.Device()
	weights := make([]float32, c*d)
	rng := nn.Random(o.Seed, "linear probe")
	for i := range weights {
		weights[i] = float32(float64(0.01 * rng.Normal()))
	}
	return &probe{
		o: o, train: train, labels: train.labels(),
		onehot: torch.Eye(c, torch.Float32, device),
		w:      torch.FromFloat32(weights, c, d).To(device, torch.Float32, false),
		b:      torch.Zeros([]int64{c}, torch.Float32, device),
		vw:     torch.Zeros([]int64{c, d}, torch.Float32, device),
		vb:     torch.Zeros([]int64{c}, torch.Float32, device),
	}
}

func (p *probe) run(ctx context.Context, test *Set) (LinearResult, error) {
	milestones := make([]int64, len(p.o.Milestones))
	for i, m := range p.o.Milestones {
		milestones[i] = int64(m)
	}
	rate := optim.Steps(p.o.LR, 0.1, milestones...)
	n := p.train.Len()
	for epoch := range p.o.Epochs {
		if err := ctx.Err(); err != nil {
			return LinearResult{}, err
		}
		torch.ScopeDo(func() {
			order := nn.Random(p.o.Seed, "linear probe order "+strconv.Itoa(epoch)).Permutation(n)
			perm := torch.FromInt64(order, int64(n)).To(p.train.X.Device(), torch.Int64, false)
			lr := rate(int64(epoch))
			for at := 0; at < n; at += p.o.BatchSize {
				torch.ScopeDo(func() {
					p.step(torch.Narrow(perm, 0, int64(at), int64(min(p.o.BatchSize, n-at))), lr)
				})
			}
		})
	}
	return p.result(test), nil
}

// step is one update by the batch whose rows idx (B) names.
func (p *probe) step(idx *torch.Tensor, lr float64) {
	h := torch.IndexSelect(p.train.X, 0, idx)
	y := torch.IndexSelect(p.onehot, 0, torch.IndexSelect(p.labels, 0, idx))
	g := torch.Softmax(p.scores(h), 1, torch.Unset)
	torch.DivScalar_(torch.Sub_(g, y, 1), float64(idx.Size(0)))
	torch.Add_(torch.MulScalar_(p.vw, p.o.Momentum), torch.Mm(torch.T(g), h), 1)
	torch.Add_(torch.MulScalar_(p.vb, p.o.Momentum), torch.SumDim(g, []int64{0}, false, torch.Unset), 1)
	torch.Add_(p.w, p.vw, -lr)
	torch.Add_(p.b, p.vb, -lr)
}

// scores are the logits (N,C) of features (N,D).
func (p *probe) scores(h *torch.Tensor) *torch.Tensor {
	return torch.Addmm(p.b, h, torch.T(p.w), 1, 1)
}

func (p *probe) result(test *Set) LinearResult {
	scores, truth := p.scores(test.X), test.labels()
	fitted := p.scores(p.train.X)
	logp := torch.Gather(torch.LogSoftmax(fitted, 1, torch.Unset), 1, torch.Unsqueeze(p.labels, 1), false)
	_, best := torch.Topk(scores, min(5, p.b.Numel()), 1, true, true)
	in := torch.Sum(torch.Eq(best, torch.Unsqueeze(truth, 1)), torch.Int64).Item()
	return LinearResult{
		Top1:      percent(hits(scores, truth), test.Len()),
		Top5:      percent(int64(in), test.Len()),
		TrainTop1: percent(hits(fitted, p.labels), p.train.Len()),
		FinalLoss: -torch.Mean(logp, torch.Unset).Item(),
	}
}
