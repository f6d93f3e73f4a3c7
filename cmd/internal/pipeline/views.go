package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"resslt/augment"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/eval"
	"resslt/train/nn"
)

// Labels are labels and keys of samples, in order of id.
type Labels struct {
	ID    []int64
	Class []int32
	Key   []string
}

// ReadLabels reads the labels and keys of most samples of an open data set, spread
// evenly, or of all for 0. It reads the images, too: formats store them together.
func ReadLabels(ctx context.Context, src ingest.Source, most int) (*Labels, error) {
	ids := spread(src.Len(), int64(most))
	n := int64(len(ids))
	out := &Labels{ID: ids, Class: make([]int32, n), Key: make([]string, n)}
	var taken atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			var s schemas.Sample
			for i := taken.Add(1) - 1; i < n; i = taken.Add(1) - 1 {
				if err := src.Read(ctx, ids[i], &s); err != nil {
					return err
				}
				out.Class[i], out.Key[i] = s.Label, s.Key
			}
			return nil
		})
	}
	return out, g.Wait()
}

// spread chooses most of n ids, or all for 0: one from each of equal stretches, at random
// but always the same. Data sets are often sorted by class, where the first ones would be
// of few classes, or alternate between classes, where every tenth would be.
func spread(n, most int64) []int64 {
	if most <= 0 || most > n {
		most = n
	}
	rng := nn.Random(0, "spread")
	ids := make([]int64, most)
	for i := range ids {
		from, to := int64(i)*n/most, int64(i+1)*n/most
		ids[i] = from + int64(rng.Below(int(to-from)))
	}
	return ids
}

// ViewOptions configure augmented training images.
type ViewOptions struct {
	Policy  *augment.Policy // of one view
	IDs     []int64         // the samples to train on; nil: Max of all
	Max     int             // at most so many, spread evenly; 0: all
	Classes int             // of the data set
	Seed    uint64          // of the order and of the views
	Batch   int             // images in a batch; 0: 256
	Workers int             // images rendered at once; at least 1
	SkipBad bool            // skip images that cannot be decoded, instead of failing
}

// Views returns augmented images of an open data set, in another order and with other
// draws in every epoch. It is an eval.Views. One epoch is open at a time.
type Views struct {
	o ViewOptions
	r *renderers
	n int64
}

// NewViews makes the views of a data set, which the caller closes.
func NewViews(src ingest.Source, o ViewOptions) (*Views, error) {
	if o.Batch == 0 {
		o.Batch = 256
	}
	if len(o.Policy.Views) != 1 {
		return nil, errs.New("views", o.Policy.Name, "use a policy of one view, such as weak",
			errs.Because(errs.ErrUsage, fmt.Sprintf("it has %d", len(o.Policy.Views))))
	}
	r, err := newRenderers(src, o.Policy, o.Workers, o.SkipBad)
	if err != nil {
		return nil, err
	}
	if o.IDs == nil {
		o.IDs = spread(src.Len(), int64(o.Max))
	}
	return &Views{o: o, r: r, n: int64(len(o.IDs))}, nil
}

// Len is the number of images in an epoch.
func (v *Views) Len() int { return int(v.n) }

// Classes is the data set's number of classes.
func (v *Views) Classes() int { return v.o.Classes }

// Batches is the number of batches in an epoch. A last batch of a single image is left
// out: batch norm needs a variance.
func (v *Views) Batches() int {
	b := int64(v.o.Batch)
	n := (v.n + b - 1) / b
	if v.n%b == 1 && n > 1 {
		n--
	}
	return int(n)
}

// Epoch opens an epoch. Its batches are rendered one ahead of the reader.
func (v *Views) Epoch(ctx context.Context, epoch int) (eval.SourceCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	e := &viewEpoch{views: v, epoch: int64(epoch), order: ingest.NewOrder(v.o.Seed, v.n), out: make(chan eval.Images), cancel: cancel}
	e.g, ctx = errgroup.WithContext(ctx)
	e.g.Go(func() error { return e.produce(ctx) })
	return e, nil
}

// Close frees the renderers.
func (v *Views) Close() error { return v.r.close() }

// viewEpoch is one epoch's reader: a goroutine renders, Next receives, Close
// joins.
type viewEpoch struct {
	views  *Views
	epoch  int64
	order  *ingest.Order
	out    chan eval.Images // closed by produce
	g      *errgroup.Group
	cancel context.CancelFunc
}

func (e *viewEpoch) produce(ctx context.Context) error {
	defer close(e.out)
	v := e.views
	for b := range v.Batches() {
		from := int64(b) * int64(v.o.Batch)
		ids := make([]int64, min(int64(v.o.Batch), v.n-from))
		for i := range ids {
			ids[i] = v.o.IDs[e.order.At(e.epoch, from+int64(i))]
		}
		m, _, _, err := v.r.render(ctx, ids, augment.Key{Seed: v.o.Seed, Epoch: e.epoch})
		if err != nil {
			return err
		}
		if len(m.Labels) == 0 {
			continue
		}
		select {
		case e.out <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Next returns the next batch, io.EOF after the last.
func (e *viewEpoch) Next(ctx context.Context) (eval.Images, error) {
	select {
	case m, ok := <-e.out:
		if ok {
			return m, nil
		}
		if err := e.g.Wait(); err != nil {
			return eval.Images{}, err
		}
		return eval.Images{}, io.EOF
	case <-ctx.Done():
		return eval.Images{}, ctx.Err()
	}
}

// Close stops rendering. Closing before the last batch is no error.
func (e *viewEpoch) Close() error {
	e.cancel()
	if err := e.g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// CropAndFlip returns the policy of one view: a random crop of at least that fraction of
// the picture's area, resized to size and flipped half the time.
func CropAndFlip(size int, least float64) *augment.Policy {
	return &augment.Policy{Name: "crop and flip", Limits: augment.DefaultLimits, Views: []augment.View{{
		Name: "crop", Role: schemas.Student, Size: size,
		Ops: []augment.Op{
			{Kind: augment.RandomResizedCrop, Scale: augment.Range{least, 1}, Ratio: augment.Range{3.0 / 4, 4.0 / 3}, Filter: augment.Bilinear},
			{Kind: augment.Flip, P: 0.5},
		},
	}}}
}
