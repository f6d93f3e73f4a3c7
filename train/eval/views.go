package eval

import (
	"context"
	"errors"
	"fmt"
	"io"

	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/torch"
)

// Views is a training set that is augmented again in every epoch.
type Views interface {
	// Epoch opens the augmented images of an epoch, in training order and in batches,
	// which have the same size except for the last.
	Epoch(ctx context.Context, epoch int) (SourceCloser, error)
	// Batches is the number of batches of every epoch.
	Batches() int
	// Classes is one more than the largest label.
	Classes() int
}

// viewClasses checks a test set against the training views and the encoder.
func viewClasses(b backbone.Backbone, views Views, test *Set) (int, error) {
	n, err := singleLabel(test)
	if err != nil {
		return 0, err
	}
	if int64(test.Dim) != b.FeatureDim() {
		return 0, errs.New("evaluate features", "", "take the test features with this encoder",
			errs.Because(errs.ErrUsage, fmt.Sprintf("the encoder has %d dimensions, test features %d", b.FeatureDim(), test.Dim)))
	}
	if n > views.Classes() {
		return 0, errs.New("evaluate features", "", "use two splits of one data set",
			errs.Because(errs.ErrUsage, fmt.Sprintf("training images have %d classes, test images %d", views.Classes(), n)))
	}
	return views.Classes(), nil
}

// eachBatch passes every epoch's batches to do, and calls done after each epoch.
func eachBatch(ctx context.Context, views Views, epochs int, done func(epoch int) error, do func(epoch, i int, m Images) error) error {
	for epoch := range epochs {
		src, err := views.Epoch(ctx, epoch)
		if err != nil {
			return err
		}
		if err := errors.Join(readAll(ctx, src, epoch, do), src.Close()); err != nil {
			return err
		}
		if err := done(epoch); err != nil {
			return err
		}
	}
	return nil
}

func readAll(ctx context.Context, src Source, epoch int, do func(epoch, i int, m Images) error) error {
	for i := 0; ; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = m.check()
		}
		if err != nil {
			return err
		}
		for _, l := range m.Labels {
			if l < 0 {
				return errs.New("train a classifier", "", "give labelled images", errs.Because(errs.ErrUsage, "a training image has no label"))
			}
		}
		if err := do(epoch, i, m); err != nil {
			return err
		}
	}
}

// tally is the mean over the images of an epoch.
type tally struct {
	images, right int64
	loss          float64 // sum
}

func (t *tally) add(scores, labels, loss *torch.Tensor) {
	n := labels.Numel()
	t.images += n
	t.right += hits(scores, labels)
	t.loss += loss.Item() * float64(n)
}

func (t *tally) result() LinearResult {
	n := max(1, t.images)
	return LinearResult{TrainTop1: percent(t.right, int(n)), FinalLoss: t.loss / float64(n)}
}
