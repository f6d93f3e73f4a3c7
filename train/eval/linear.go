package eval

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/optim"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// LinearOptions are the options of Linear and LinearOnViews. The defaults are the small
// sets' protocol; those of Epochs, BatchSize and LR are recipe.Default's.
type LinearOptions struct {
	Epochs     int
	BatchSize  int // the last batch of an epoch may be smaller
	LR         float64
	Momentum   float64 // default 0.9
	Nesterov   bool
	Cosine     bool   // the rate decays to 0 by a cosine, update by update, instead of at milestones
	Milestones []int  // epochs at which the rate falls to a tenth; default 60 % and 80 % of Epochs
	Seed       uint64 // of the initial weights and the order
	Best       bool   // on views: score the test set after each epoch, too, and report the best

	// Progress, if set, is called after each epoch.
	Progress func(epoch, epochs int)
}

// ImageNetLinear is ImageNet's protocol (section 5.1): 90 epochs, Nesterov, learning
// rate 0.1·B/256, cosine.
func ImageNetLinear(batch int) LinearOptions {
	if batch == 0 {
		batch = recipe.Default().LinearBatchSize
	}
	return LinearOptions{Epochs: 90, BatchSize: batch, LR: 0.1 * float64(batch) / 256, Nesterov: true, Cosine: true}
}

// AuthorsLinear are the settings that ReSSL's author names for small sets
// (mingkai-zheng/ReSSL, issues 5 and 8), each on augmented views with Nesterov: learning rate
// 30 and 10 by steps, and 1 by a cosine; batches of 256, 100 epochs, last and best epoch.
func AuthorsLinear() []LinearOptions {
	out := []LinearOptions{{LR: 30}, {LR: 10}, {LR: 1, Cosine: true}}
	for i := range out {
		out[i].Epochs, out[i].BatchSize, out[i].Nesterov, out[i].Best = 100, 256, true, true
	}
	return out
}

func (o LinearOptions) applyDefaults() LinearOptions {
	d := recipe.Default()
	o.Epochs = cmp.Or(o.Epochs, d.LinearEpochs)
	o.BatchSize = cmp.Or(o.BatchSize, d.LinearBatchSize)
	o.LR = cmp.Or(o.LR, d.LinearLR)
	if o.Momentum == 0 {
		o.Momentum = 0.9
	}
	if o.Milestones == nil {
		o.Milestones = []int{o.Epochs * 6 / 10, o.Epochs * 8 / 10}
	}
	return o
}

// Validate returns an error wrapping errs.ErrUsage that names the field.
func (o LinearOptions) Validate() error {
	o = o.applyDefaults()
	bad := func(field string, v any, hint string) error {
		return errs.New("linear probe option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
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

// LinearResult scores the probe after its last epoch. The training scores are those of
// the cached features or, on augmented views, the mean over the last epoch's updates.
type LinearResult struct {
	Accuracy          // of the test set
	TrainTop1 float64 // percent of the training set
	FinalLoss float64 // cross-entropy on the training set, nats

	// Best is of the epoch, from 1, that is best on the test set, where Options.Best asks for
	// it: chosen on the test set, it is no estimate of anything, but papers report it.
	Best      Accuracy
	BestEpoch int
}

// Linear trains softmax(W·h + b) on the training features and scores the test features.
// W starts from a normal distribution with standard deviation 0.01 (as in MoCo), b from
// zero. Errors are ctx's, or wrap errs.ErrUsage for sets that do not match.
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
		torch.NoGrad(func() {
			p := newProbe(numClasses, train.Dim, train.X.Device(), o)
			defer p.free()
			if err = p.run(ctx, train); err == nil {
				r = p.result(train, test)
			}
		})
		return err
	})
	return r, err
}

// LinearOnViews is Linear with training images that are augmented again in every epoch,
// as in the papers: the encoder is frozen, in eval mode, and each view passes through it
// once. BatchSize has no effect: the views come in batches. test has the features of
// un-augmented test images.
func LinearOnViews(ctx context.Context, b backbone.Backbone, views Views, test *Set, f FeatureOptions, o LinearOptions) (LinearResult, error) {
	r, err := LinearHeads(ctx, b, views, test, f, []LinearOptions{o})
	if err != nil {
		return LinearResult{}, err
	}
	return r[0], nil
}

// LinearHeads is LinearOnViews for several classifiers at once, say of other learning rates:
// all see the same views, each of which passes through the encoder once. Their Epochs must be
// equal. The first one's Progress is called.
func LinearHeads(ctx context.Context, b backbone.Backbone, views Views, test *Set, f FeatureOptions, os []LinearOptions) ([]LinearResult, error) {
	heads := make([]*head, len(os))
	for i, o := range os {
		if err := o.Validate(); err != nil {
			return nil, err
		}
		heads[i] = &head{o: o.applyDefaults()}
		if heads[i].o.Epochs != heads[0].o.Epochs {
			return nil, errs.New("linear probe option", "epochs", "give all classifiers the same", errs.Because(errs.ErrUsage, fmt.Sprintf("are %d and %d", heads[0].o.Epochs, o.Epochs)))
		}
	}
	classes, err := viewClasses(b, views, test)
	if err != nil {
		return nil, err
	}
	pixels, err := newPixels(f)
	if err != nil {
		return nil, err
	}
	defer pixels.Free()
	err = torch.Do(func() error {
		for _, h := range heads {
			h.probe = newProbe(classes, int(b.FeatureDim()), f.Device, h.o)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, h := range heads {
			h.free()
		}
	}()
	ended := func(epoch int) error {
		return torch.Do(func() error {
			for _, h := range heads {
				h.endEpoch(epoch, test)
			}
			return nil
		})
	}
	err = eachBatch(ctx, views, heads[0].o.Epochs, func(epoch int) error {
		heads[0].o.progress(epoch)
		return ended(epoch)
	}, func(epoch, i int, m Images) error {
		x, err := forward(b, pixels, m)
		if err != nil {
			return err
		}
		defer x.Free()
		return torch.Do(func() error {
			for _, h := range heads {
				h.step(x, m.Labels, epoch, i, views.Batches())
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	out := make([]LinearResult, len(heads))
	for i, h := range heads {
		out[i] = h.result
	}
	return out, nil
}

// head is a classifier on views, its scores so far among it. Its methods run inside torch.Do.
type head struct {
	*probe
	o      LinearOptions
	seen   tally // of this epoch
	result LinearResult
}

// step is one update by the features x of a batch: the i-th of n in its epoch.
func (h *head) step(x *torch.Tensor, labels []int32, epoch, i, n int) {
	if i == 0 {
		h.seen = tally{}
	}
	torch.NoGrad(func() {
		y := labelTensor(labels, x.Device())
		scores := h.probe.step(x, y, h.o.rate(epoch, i, n))
		h.seen.add(scores, y, crossEntropy(scores, y))
	})
}

// endEpoch scores the test set after the last epoch, or after each for the best one.
func (h *head) endEpoch(epoch int, test *Set) {
	last := epoch == h.o.Epochs-1
	if !last && !h.o.Best {
		return
	}
	var now Accuracy
	torch.NoGrad(func() { now = accuracy(h.scores(test.X), test.Labels) })
	best, at := h.result.Best, h.result.BestEpoch
	if h.o.Best && (at == 0 || now.Top1 > best.Top1) {
		best, at = now, epoch+1
	}
	h.result = h.seen.result()
	h.result.Accuracy, h.result.Best, h.result.BestEpoch = now, best, at
}

func (h *head) free() {
	if h.probe != nil {
		h.probe.free()
	}
}

// probe is a linear classifier in training. Its gradient is explicit: for one layer it
// takes three products and no graph.
//
//	G = (softmax(h·Wᵀ + b) − onehot(y))/B,  ∂W = Gᵀ·h,  ∂b = Σ_rows G
type probe struct {
	o      LinearOptions
	onehot *torch.Tensor // (C,C): row c is the one-hot vector of class c

	w, b   *torch.Tensor // (C,D), (C)
	vw, vb *torch.Tensor // momentum of w and b
}

// newProbe makes a probe that lives until free. It runs inside torch.Do.
func newProbe(numClasses, dim int, device torch.Device, o LinearOptions) *probe {
	c, d := int64(numClasses), int64(dim)
	return &probe{
		o:      o,
		onehot: torch.Eye(c, torch.Float32, device).Keep(),
		w:      torch.FromFloat32(initialWeights(numClasses, dim, o.Seed), c, d).To(device, torch.Float32, false).Keep(),
		b:      torch.Zeros([]int64{c}, torch.Float32, device).Keep(),
		vw:     torch.Zeros([]int64{c, d}, torch.Float32, device).Keep(),
		vb:     torch.Zeros([]int64{c}, torch.Float32, device).Keep(),
	}
}

// initialWeights are (C,D) normal deviates with standard deviation 0.01.
func initialWeights(classes, dim int, seed uint64) []float32 {
	weights := make([]float32, classes*dim)
	rng := nn.Random(seed, "linear probe")
	for i := range weights {
		weights[i] = float32(float64(0.01 * rng.Normal()))
	}
	return weights
}

func (p *probe) free() {
	for _, t := range []*torch.Tensor{p.onehot, p.w, p.b, p.vw, p.vb} {
		t.Free()
	}
}

// rate is the learning rate of update i of the n in an epoch.
func (o LinearOptions) rate(epoch, i, n int) float64 {
	if o.Cosine {
		return optim.Cosine(o.LR, 0, int64(o.Epochs)*int64(n))(int64(epoch)*int64(n) + int64(i))
	}
	milestones := make([]int64, len(o.Milestones))
	for i, m := range o.Milestones {
		milestones[i] = int64(m)
	}
	return optim.Steps(o.LR, 0.1, milestones...)(int64(epoch))
}

func (o LinearOptions) progress(epoch int) {
	if o.Progress != nil {
		o.Progress(epoch+1, o.Epochs)
	}
}

// run is the training on cached features.
func (p *probe) run(ctx context.Context, train *Set) error {
	n := train.Len()
	labels := train.labels()
	updates := (n + p.o.BatchSize - 1) / p.o.BatchSize
	for epoch := range p.o.Epochs {
		if err := ctx.Err(); err != nil {
			return err
		}
		torch.ScopeDo(func() {
			order := nn.Random(p.o.Seed, "linear probe order "+strconv.Itoa(epoch)).Permutation(n)
			perm := torch.FromInt64(order, int64(n)).To(train.X.Device(), torch.Int64, false)
			for i := range updates {
				torch.ScopeDo(func() {
					at := i * p.o.BatchSize
					idx := torch.Narrow(perm, 0, int64(at), int64(min(p.o.BatchSize, n-at)))
					p.step(torch.IndexSelect(train.X, 0, idx), torch.IndexSelect(labels, 0, idx), p.o.rate(epoch, i, updates))
				})
			}
		})
		p.o.progress(epoch)
	}
	return nil
}

// step is one update by features h (B,D) with labels (B). It returns the scores before
// the update, (B,C).
func (p *probe) step(h, labels *torch.Tensor, lr float64) *torch.Tensor {
	scores := p.scores(h)
	y := torch.IndexSelect(p.onehot, 0, labels)
	g := torch.Softmax(scores, 1, torch.Unset)
	torch.DivScalar_(torch.Sub_(g, y, 1), float64(h.Size(0)))
	gw, gb := torch.Mm(torch.T(g), h), torch.SumDim(g, []int64{0}, false, torch.Unset)
	p.update(p.w, p.vw, gw, lr)
	p.update(p.b, p.vb, gb, lr)
	return scores
}

// update is v ← μv + g; w ← w − lr·v, or with Nesterov w − lr·(g + μv).
func (p *probe) update(w, v, g *torch.Tensor, lr float64) {
	torch.Add_(torch.MulScalar_(v, p.o.Momentum), g, 1)
	torch.Add_(w, v, -lr*p.ahead())
	if p.o.Nesterov {
		torch.Add_(w, g, -lr)
	}
}

// ahead is the factor of the momentum buffer in an update.
func (p *probe) ahead() float64 {
	if p.o.Nesterov {
		return p.o.Momentum
	}
	return 1
}

// scores are the logits (N,C) of features (N,D).
func (p *probe) scores(h *torch.Tensor) *torch.Tensor {
	return torch.Addmm(p.b, h, torch.T(p.w), 1, 1)
}

func (p *probe) result(train, test *Set) LinearResult {
	fitted := p.scores(train.X)
	return LinearResult{
		Accuracy:  accuracy(p.scores(test.X), test.Labels),
		TrainTop1: percent(hits(fitted, train.labels()), train.Len()),
		FinalLoss: crossEntropy(fitted, train.labels()).Item(),
	}
}

// crossEntropy is the mean over rows of −log softmax(scores)[label].
func crossEntropy(scores, labels *torch.Tensor) *torch.Tensor {
	const mean, none = 1, -100
	return torch.CrossEntropyLoss(scores, labels, nil, mean, none, 0)
}
