package eval

import (
	"context"
	"errors"
	"io"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/torch"
)

// FeatureOptions are the options of Features.
type FeatureOptions struct {
	Mean, Std    [3]float64   // of pixels in 0–1; zero: ImageNet's
	Device       torch.Device // the backbone's
	ChannelsLast bool         // as the backbone was built
	// Progress, if set, is called after every batch with the number of images done.
	Progress func(images int)
}

// Features maps every image of the source to its feature vector, in eval mode and
// without gradient. It leaves the backbone in training mode, as the trainer needs it.
// Errors are the source's, ctx's, or wrap errs.ErrUsage for an empty source or a batch
// of inconsistent sizes.
func Features(ctx context.Context, b backbone.Backbone, src Source, o FeatureOptions) (*Set, error) {
	set := &Set{Dim: int(b.FeatureDim())}
	var parts []*torch.Tensor // kept: they outlive the call of Do that made them
	defer func() {
		for _, p := range parts {
			p.Free()
		}
	}()
	pixels, err := newPixels(o)
	if err != nil {
		return nil, err
	}
	defer pixels.Free()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := batch.check(); err != nil {
			return nil, err
		}
		// One Do for each batch: reading the next one needs no device.
		part, err := forward(b, pixels, batch)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		set.Labels = append(set.Labels, batch.Labels...)
		set.IDs = append(set.IDs, batch.IDs...)
		set.Targets = append(set.Targets, batch.Targets...)
		if o.Progress != nil {
			o.Progress(len(set.Labels))
		}
	}
	if len(parts) == 0 {
		return nil, errs.New("take features", "", "give a source with images", errs.Because(errs.ErrUsage, "it has no image"))
	}
	if err := set.check(); err != nil {
		return nil, err
	}
	err = torch.Do(func() error {
		set.X = torch.Cat(parts, 0).Keep()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

func newPixels(o FeatureOptions) (p *nn.Pixels, err error) {
	err = torch.Do(func() error {
		p, err = nn.NewPixels(o.Mean, o.Std, nn.Builder{Device: o.Device, ChannelsLast: o.ChannelsLast})
		return err
	})
	return p, err
}

// forward is one batch's features (N,D), kept.
func forward(b backbone.Backbone, pixels *nn.Pixels, batch Images) (h *torch.Tensor, err error) {
	err = torch.Do(func() error {
		b.SetTraining(false)
		defer b.SetTraining(true)
		var err error
		torch.NoGrad(func() {
			size := int64(batch.Size)
			var x *torch.Tensor
			x, err = pixels.Forward(torch.FromUint8(batch.Pixels, int64(len(batch.Labels)), size, size, 3))
			if err == nil {
				h = b.Forward(x).Keep()
			}
		})
		return err
	})
	return h, err
}
