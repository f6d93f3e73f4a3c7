package eval

import (
	"context"
	"errors"
	"fmt"
	"io"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/torch"
)

// Images is one batch of a source.
type Images struct {
	Pixels []byte  // (N,Size,Size,3) uint8, HWC, RGB
	Labels []int32 // (N), class from 0, or schemas.NoLabel
	Size   int     // S, pixels
	IDs    []int64 // (N), sample ids, or nil

	// Targets is (N,C) where an image may show several classes, else nil: +1 for
	// one that it shows, −1 for one that it does not, 0 for one that is difficult
	// (PASCAL VOC's mark) and counts neither way.
	Targets []int8
}

// Source yields every image once, always in the same order.
type Source interface {
	// Next gives the next batch, of any positive length; io.EOF after the last.
	// The batch is the caller's until the next call.
	Next(ctx context.Context) (Images, error)
}

// Set is the features of a source. It lives in the root scope until Free.
type Set struct {
	X       *torch.Tensor // (N,D) float, not normalised
	Labels  []int32       // (N)
	Dim     int           // D
	IDs     []int64       // (N), sample ids, or nil where the source gave none
	Targets []int8        // (N,C) as Images.Targets, or nil: one class an image
}

// Len is N.
func (s *Set) Len() int { return len(s.Labels) }

// Free releases the features.
func (s *Set) Free() { s.X.Free() }

// NewSet wraps features (N,D), row-major, that were made elsewhere.
func NewSet(features []float32, dim int, labels []int32, device torch.Device) (*Set, error) {
	if dim < 1 || len(labels) == 0 || len(features) != len(labels)*dim {
		return nil, errs.New("make feature set", "", "give N·D features for N labels",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d numbers, %d labels of %d", len(features), len(labels), dim)))
	}
	s := &Set{Labels: labels, Dim: dim}
	err := torch.Do(func() error {
		s.X = torch.FromFloat32(features, int64(len(labels)), int64(dim)).To(device, torch.Float32, false).Keep()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// FeatureOptions of Features.
type FeatureOptions struct {
	Mean, Std    [3]float64   // of pixels in 0–1; zero means ImageNet's
	Device       torch.Device // the backbone's
	ChannelsLast bool         // as the backbone was built
	// Progress, where set, is told the number of images done after every batch.
	Progress func(images int)
}

// Features maps every image of the source to its feature vector, in eval mode
// and without gradient. The backbone's batch norm is left in training mode, as
// the trainer has it. Errors are the source's, ctx's, or wrap
// errs.ErrUsage for an empty source or a batch whose sizes do not agree.
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
		// One Do a batch: reading the next needs no device.
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
		return nil, errs.New("take features", "", "give a source with images", errs.Because(errs.ErrUsage, "no image came"))
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

func (m Images) check() error {
	n := len(m.Labels)
	if n == 0 || m.Size < 1 || len(m.Pixels) != n*m.Size*m.Size*3 || len(m.Targets)%max(1, n) != 0 || m.IDs != nil && len(m.IDs) != n {
		return errs.New("take features", "image batch", "give N·S·S·3 bytes for N labels",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d bytes, %d labels, size %d", len(m.Pixels), n, m.Size)))
	}
	return nil
}

// check holds the lists of a set against its number of images.
func (s *Set) check() error {
	n := s.Len()
	if n == 0 || len(s.Targets)%n != 0 || len(s.IDs) != 0 && len(s.IDs) != n {
		return errs.New("make feature set", "", "give every image its id and its targets, or none of them",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d images, %d ids, %d targets", n, len(s.IDs), len(s.Targets))))
	}
	return nil
}
