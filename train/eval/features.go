package eval

import (
	"context"
	"errors"
	"fmt"
	"io"

	"resslt/schemas"
	"resslt/train/backbone"
	"resslt/train/nn"
	"resslt/train/torch"
)

// Images is one batch of a source.
type Images struct {
	Pixels []byte  // (N,Size,Size,3) uint8, HWC, RGB
	Labels []int32 // (N), class from 0, or schemas.NoLabel
	Size   int     // S, pixels
}

// Source yields every image once, always in the same order.
type Source interface {
	// Next gives the next batch, of any positive length; io.EOF after the last.
	// The batch is the caller's until the next call.
	Next(ctx context.Context) (Images, error)
}

// Set is the features of a source. It lives in the root scope until Free.
type Set struct {
	X      *torch.Tensor // (N,D) float, not normalised
	Labels []int32       // (N)
	Dim    int           // D
}

// Len is N.
func (s *Set) Len() int { return len(s.Labels) }

// Free releases the features.
func (s *Set) Free() { s.X.Free() }

// NewSet wraps features (N,D), row-major, that were made elsewhere.
func NewSet(features []float32, dim int, labels []int32, device torch.Device) (*Set, error) {
	if dim < 1 || len(labels) == 0 || len(features) != len(labels)*dim {
		return nil, schemas.E("make feature set", "", "give N·D features for N labels",
			schemas.Because(schemas.ErrUsage, fmt.Sprintf("%d numbers, %d labels of %d", len(features), len(labels), dim)))
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
// schemas.ErrUsage for an empty source or a batch whose sizes do not agree.
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
		if o.Progress != nil {
			o.Progress(len(set.Labels))
		}
	}
	if len(parts) == 0 {
		return nil, schemas.E("take features", "", "give a source with images", schemas.Because(schemas.ErrUsage, "no image came"))
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
	if n := len(m.Labels); n == 0 || m.Size < 1 || len(m.Pixels) != n*m.Size*m.Size*3 {
		return schemas.E("take features", "image batch", "give N·S·S·3 bytes for N labels",
			schemas.Because(schemas.ErrUsage, fmt.Sprintf("%d bytes, %d labels, size %d", len(m.Pixels), n, m.Size)))
	}
	return nil
}

// classes checks two sets against one another and gives the number of classes.
func classes(train, test *Set) (int, error) {
	bad := func(why, hint string) error {
		return schemas.E("evaluate features", "", hint, schemas.Because(schemas.ErrUsage, why))
	}
	if train.Dim != test.Dim {
		return 0, bad(fmt.Sprintf("training features have %d dimensions, test features %d", train.Dim, test.Dim), "use one backbone for both")
	}
	n := int32(0)
	for _, s := range []*Set{train, test} {
		if s.Len() == 0 {
			return 0, bad("a set is empty", "give images")
		}
		for _, l := range s.Labels {
			if l < 0 || l >= maxClasses {
				return 0, bad(fmt.Sprintf("a label is %d", l), fmt.Sprintf("evaluate on labelled images, classes 0 to %d", maxClasses-1))
			}
			n = max(n, l+1)
		}
	}
	return int(n), nil
}

// maxClasses bounds the score matrices; ImageNet-21k has 21,841.
const maxClasses = 1 << 16

// labels is a set's labels as (N) int64 on its features' device.
func (s *Set) labels() *torch.Tensor {
	l := make([]int64, len(s.Labels))
	for i, v := range s.Labels {
		l[i] = int64(v)
	}
	return torch.FromInt64(l, int64(len(l))).To(s.X.Device(), torch.Int64, false)
}
