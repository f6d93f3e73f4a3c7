package eval

import (
	"context"
	"errors"
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/optim"
	"resslt/train/torch"
)

// FineTuneOptions are the options of FineTune. The defaults are section 5.1's for 10 %
// of ImageNet's labels.
type FineTuneOptions struct {
	Epochs   int     // default 20
	LR       float64 // of the backbone; default 0.02
	HeadLR   float64 // of the classifier; default 0.2
	Momentum float64 // default 0.9; the paper does not say
	Seed     uint64  // of the classifier's initial weights
	// Progress, if set, is called after each epoch.
	Progress func(epoch, epochs int)
}

func (o FineTuneOptions) applyDefaults() FineTuneOptions {
	if o.Epochs == 0 {
		o.Epochs = 20
	}
	if o.LR == 0 {
		o.LR = 0.02
	}
	if o.HeadLR == 0 {
		o.HeadLR = 0.2
	}
	if o.Momentum == 0 {
		o.Momentum = 0.9
	}
	return o
}

// Validate returns an error wrapping errs.ErrUsage that names the field.
func (o FineTuneOptions) Validate() error {
	o = o.applyDefaults()
	bad := func(field string, v any, hint string) error {
		return errs.New("fine-tuning option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	switch {
	case o.Epochs < 1:
		return bad("epochs", o.Epochs, "give 1 or more")
	case !(o.LR > 0):
		return bad("learning rate", o.LR, "give a number above 0")
	case !(o.HeadLR > 0):
		return bad("head's learning rate", o.HeadLR, "give a number above 0")
	case !(o.Momentum > 0 && o.Momentum < 1):
		return bad("momentum", o.Momentum, "give a number between 0 and 1")
	}
	return nil
}

// FineTune trains the whole network b and a linear classifier on top of it by SGD
// without weight decay, each with a learning rate of its own that decays to 0 by a
// cosine (section 5.1, semi-supervised learning). Batch norm is in training mode. test
// opens the un-augmented test images, which pass through the network at the end.
func FineTune(ctx context.Context, b backbone.Backbone, views Views, test func(context.Context) (SourceCloser, error), f FeatureOptions, o FineTuneOptions) (LinearResult, error) {
	if err := o.Validate(); err != nil {
		return LinearResult{}, err
	}
	o = o.applyDefaults()
	t, err := newTuner(b, views.Classes(), f, o)
	if err != nil {
		return LinearResult{}, err
	}
	defer t.free()
	steps := int64(o.Epochs) * int64(views.Batches())
	rate, headRate := optim.Cosine(o.LR, 0, steps), optim.Cosine(o.HeadLR, 0, steps)
	var seen tally
	progress := func(epoch int) error {
		if o.Progress != nil {
			o.Progress(epoch+1, o.Epochs)
		}
		return nil
	}
	err = eachBatch(ctx, views, o.Epochs, progress, func(epoch, i int, m Images) error {
		if i == 0 {
			seen = tally{}
		}
		step := int64(epoch)*int64(views.Batches()) + int64(i)
		return t.step(m, rate(step), headRate(step), &seen)
	})
	if err != nil {
		return LinearResult{}, err
	}
	images, err := test(ctx)
	if err != nil {
		return LinearResult{}, err
	}
	set, err := Features(ctx, b, images, f)
	if err := errors.Join(err, images.Close()); err != nil {
		if set != nil {
			set.Free()
		}
		return LinearResult{}, err
	}
	defer set.Free()
	if _, err := viewClasses(b, views, set); err != nil {
		return LinearResult{}, err
	}
	r := seen.result()
	err = torch.Do(func() error {
		torch.NoGrad(func() { r.Accuracy = accuracy(t.head.Forward(set.X), set.Labels) })
		return nil
	})
	return r, err
}

// tuner is a network that is being fine-tuned.
type tuner struct {
	b         backbone.Backbone
	head      *nn.Linear
	body, top *optim.Optimizer
	pixels    *nn.Pixels
	device    torch.Device
}

func newTuner(b backbone.Backbone, classes int, f FeatureOptions, o FineTuneOptions) (*tuner, error) {
	t := &tuner{b: b, device: f.Device}
	var err error
	if t.pixels, err = newPixels(f); err != nil {
		return nil, err
	}
	err = torch.Do(func() error {
		dim := int(b.FeatureDim())
		t.head = nn.NewLinear(nn.Builder{Device: f.Device}, int64(dim), int64(classes))
		torch.NoGrad(func() {
			torch.Copy_(t.head.Weight, torch.FromFloat32(initialWeights(classes, dim, o.Seed), int64(classes), int64(dim)), false)
			torch.Zero_(t.head.Bias)
		})
		return nil
	})
	if err != nil {
		t.free()
		return nil, err
	}
	sgd := optim.Options{Kind: optim.SGD, Momentum: o.Momentum}
	if t.body, err = optim.New(nn.Parameters(b), sgd); err == nil {
		t.top, err = optim.New(nn.Parameters(t.head), sgd)
	}
	if err != nil {
		t.free()
		return nil, err
	}
	return t, nil
}

// step updates network and classifier by one batch.
func (t *tuner) step(m Images, lr, headLR float64, seen *tally) error {
	return torch.Do(func() error {
		t.b.SetTraining(true)
		x, err := t.pixels.Forward(torch.FromUint8(m.Pixels, int64(len(m.Labels)), int64(m.Size), int64(m.Size), 3))
		if err != nil {
			return err
		}
		y := labelTensor(m.Labels, t.device)
		t.body.ZeroGrad()
		t.top.ZeroGrad()
		loss := torch.Scope(func() *torch.Tensor {
			scores := t.head.Forward(t.b.Forward(x))
			loss := crossEntropy(scores, y)
			torch.NoGrad(func() { seen.add(scores, y, loss) })
			return loss
		})
		loss.Backward()
		return errors.Join(t.body.Step(lr), t.top.Step(headLR))
	})
}

func (t *tuner) free() {
	t.pixels.Free()
	_ = torch.Do(func() error { // fails only if making t has failed
		for _, o := range []*optim.Optimizer{t.body, t.top} {
			if o != nil {
				o.ZeroGrad()
				o.Free()
			}
		}
		return nil
	})
	if t.head != nil {
		nn.Free(t.head)
	}
}
