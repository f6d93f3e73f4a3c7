package train

import (
	"context"
	"errors"
	"io"
	"strconv"

	"resslt/train/backbone"
	"resslt/train/eval"
	"resslt/train/recipe"
)

// Scores are the probes' results for one frozen encoder, in percent.
type Scores struct {
	KNN        map[string]float64 `json:"knn_top1,omitempty"` // by k: weighted vote of the k nearest by cosine
	LinearTop1 *float64           `json:"linear_top1,omitempty"`
	LinearTop5 *float64           `json:"linear_top5,omitempty"`

	TrainImages int64 `json:"probe_images"` // the probes were fitted on
	TestImages  int64 `json:"eval_images"`  // and scored on
	FeatureDim  int64 `json:"feature_dim"`
}

// Images are a split's un-augmented images, read once.
type Images interface {
	eval.Source
	io.Closer
	Len() int64 // images to be read, also those that cannot be decoded
}

// Observer is told how much is done of a part of a probe.
type Observer func(what string, done, of int64)

// ImageSource opens a split's images, from the first.
type ImageSource func(ctx context.Context) (Images, error)

// Probe scores an encoder by the protocols that the recipe names (section 4,
// "Evaluation Protocol"): features of un-augmented images, after global average
// pooling, in eval mode; the encoder is frozen.
//
// observe, where it is not nil, is told what is being done, and how much of it is done.
func Probe(ctx context.Context, r *recipe.Recipe, b backbone.Backbone, train, test ImageSource, observe Observer) (*Scores, error) {
	if observe == nil {
		observe = func(string, int64, int64) {}
	}
	cfg, err := LearnerConfig(r)
	if err != nil {
		return nil, err
	}
	fit, err := features(ctx, cfg, b, train, func(done, of int64) { observe("features to fit on", done, of) })
	if err != nil {
		return nil, err
	}
	defer fit.Free()
	score, err := features(ctx, cfg, b, test, func(done, of int64) { observe("features to score", done, of) })
	if err != nil {
		return nil, err
	}
	defer score.Free()
	s := &Scores{TrainImages: int64(fit.Len()), TestImages: int64(score.Len()), FeatureDim: b.FeatureDim()}
	if r.Evaluates("knn") {
		top1, err := eval.KNN(fit, score, eval.KNNOptions{K: r.KNNK, Temperature: r.KNNTemperature})
		if err != nil {
			return nil, err
		}
		s.KNN = make(map[string]float64, len(top1))
		for k, v := range top1 {
			s.KNN["k"+strconv.Itoa(k)] = v
		}
	}
	if r.Evaluates("linear") {
		res, err := eval.Linear(ctx, fit, score, eval.LinearOptions{
			Epochs: r.LinearEpochs, LR: r.LinearLR, BatchSize: r.LinearBatchSize, Seed: r.Seed,
			Progress: func(epoch, epochs int) { observe("linear probe, epoch", int64(epoch), int64(epochs)) },
		})
		if err != nil {
			return nil, err
		}
		s.LinearTop1, s.LinearTop5 = &res.Top1, &res.Top5
	}
	return s, nil
}

func features(ctx context.Context, cfg Config, b backbone.Backbone, open ImageSource, observe func(done, of int64)) (*eval.Set, error) {
	images, err := open(ctx)
	if err != nil {
		return nil, err
	}
	set, err := eval.Features(ctx, b, images, eval.FeatureOptions{
		Mean: cfg.Mean, Std: cfg.Std, Device: cfg.Device, ChannelsLast: cfg.ChannelsLast,
		Progress: func(done int) { observe(int64(done), images.Len()) },
	})
	return set, errors.Join(err, images.Close())
}

// KNNTop1 is the score for the recipe's first k, or nil.
func (s *Scores) KNNTop1(r *recipe.Recipe) *float64 {
	if v, ok := s.KNN["k"+strconv.Itoa(r.KNNK[0])]; ok {
		return &v
	}
	return nil
}

// Untrained scores the encoder as the recipe's seed or its file initialises it: what training has
// to beat. size is S of its images.
func Untrained(ctx context.Context, r *recipe.Recipe, size int, train, test ImageSource, observe Observer) (*Scores, error) {
	l, err := untrained(r, size)
	if err != nil {
		return nil, err
	}
	defer l.Free()
	return Probe(ctx, r, l.Student().Backbone, train, test, observe)
}

// untrained is a learner that makes no step: what it would keep of each sample has one row.
func untrained(r *recipe.Recipe, size int) (*Learner, error) {
	cfg, err := LearnerConfig(r)
	if err != nil {
		return nil, err
	}
	cfg.ImageSize, cfg.Samples, cfg.Options.Clusters = size, 1, nil
	return NewLearner(cfg)
}

// Add puts the scores of the trained and the initial encoder into the summary; the latter may be
// nil, where that one is not to be had any more.
func (s *Summary) Add(r *recipe.Recipe, trained, untrained *Scores) {
	s.Trained, s.Untrained = trained, untrained
	s.KNNTop1, s.LinearTop1 = trained.KNNTop1(r), trained.LinearTop1
	if untrained != nil {
		s.KNNTop1Untrained, s.LinearTop1Untrained = untrained.KNNTop1(r), untrained.LinearTop1
	}
}
