package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"resslt/schemas/errs"
)

// TransferOptions are the options of Transfer. The defaults are section 5.1's, which
// follows BYOL (appendix D) and Kornblith et al. (2019).
type TransferOptions struct {
	Lambdas    []float64 // L2 penalties to try; default LambdaGrid(45)
	Metric     Metric    // for the choice of λ; default Top1, or MAP11 for images with targets
	Iterations int       // of L-BFGS for each λ; default 1000
	// Progress, if set, is called with each λ's validation score in percent.
	Progress func(lambda, score float64)
}

// Metric is the score that is reported for a data set.
type Metric string

// Metrics, in percent.
const (
	Top1     Metric = "top1"      // accuracy
	PerClass Metric = "per_class" // mean of each class's accuracy: Pets, Flowers, Aircraft, Caltech-101
	MAP11    Metric = "map11"     // mean of each class's 11-point average precision: VOC2007
)

// TransferMetric is the metric that the transfer protocol reports for a data set
// (Kornblith et al. 2019, table 1).
func TransferMetric(data string) Metric {
	switch data {
	case "pets", "flowers", "aircraft", "caltech101":
		return PerClass
	case "voc2007":
		return MAP11
	}
	return Top1
}

// LambdaGrid is n penalties, logarithmically spaced from 1e5 down to 1e-6.
func LambdaGrid(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Pow(10, 5-11*float64(i)/float64(max(1, n-1)))
	}
	return out
}

func (o TransferOptions) applyDefaults(s *Set) TransferOptions {
	if len(o.Lambdas) == 0 {
		o.Lambdas = LambdaGrid(45)
	}
	o.Lambdas = slices.Clone(o.Lambdas)
	slices.SortFunc(o.Lambdas, func(a, b float64) int { return cmp.Compare(b, a) })
	if o.Metric == "" {
		o.Metric = Top1
		if s.Targets != nil {
			o.Metric = MAP11
		}
	}
	if o.Iterations == 0 {
		o.Iterations = 1000
	}
	return o
}

// validate returns an error wrapping errs.ErrUsage; o has its defaults.
func (o TransferOptions) validate(s *Set) error {
	bad := func(field string, v any, hint string) error {
		return errs.New("transfer option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	for _, l := range o.Lambdas {
		if !(l > 0) || math.IsInf(l, 0) {
			return bad("lambda", l, "give numbers above 0")
		}
	}
	if o.Iterations < 1 {
		return bad("iterations", o.Iterations, "give 1 or more")
	}
	if (o.Metric == MAP11) != (s.Targets != nil) || !slices.Contains([]Metric{Top1, PerClass, MAP11}, o.Metric) {
		return bad("metric", fmt.Sprintf("%q", o.Metric), "give top1 or per_class for images with one class each, map11 for images with several")
	}
	return nil
}

// TransferResult scores the classifier of the best λ, fitted to the training and
// validation sets.
type TransferResult struct {
	Lambda     float64
	Validation []float64 // percent by Metric, for each of Lambdas
	Lambdas    []float64 // from strong to weak
	AtEdge     bool      // the best λ is the first or the last: the grid may be too narrow
	Iterations int       // of L-BFGS, all fits together
	Converged  bool      // of the last fit

	Metric    Metric
	Accuracy  Accuracy  // zero for images with several classes
	Precision Precision // zero for images with one class each
}

// Score is the figure that Metric names.
func (r *TransferResult) Score() float64 {
	switch r.Metric {
	case PerClass:
		return r.Accuracy.PerClass
	case MAP11:
		return r.Precision.ElevenPoint
	}
	return r.Accuracy.Top1
}

// Transfer chooses λ on the validation set, fits the training and validation sets
// together with that λ, and scores the test set. The search goes from strong penalties
// to weak; each fit starts from the previous one, and of equal scores the stronger
// penalty wins. Errors are ctx's, or wrap errs.ErrUsage for sets that do not match and
// ErrDiverged for features that are not finite.
func Transfer(ctx context.Context, train, val, test *Set, o TransferOptions) (*TransferResult, error) {
	o = o.applyDefaults(train)
	classes, err := countClasses(train, val, test)
	if err != nil {
		return nil, err
	}
	if err := o.validate(train); err != nil {
		return nil, err
	}
	best, res, err := search(ctx, train, val, classes, o)
	if err != nil {
		return nil, err
	}
	all, err := join(train, val)
	if err != nil {
		return nil, err
	}
	defer all.Free()
	r, err := newRegression(all, classes)
	if err != nil {
		return nil, err
	}
	defer r.free()
	last, err := r.fit(ctx, best, nil, o.Iterations)
	if err != nil {
		return nil, err
	}
	res.Iterations += last.iterations
	res.Converged = last.converged
	res.Accuracy, res.Precision, err = last.evaluate(test)
	return res, err
}

// search fits every λ and finds the best.
func search(ctx context.Context, train, val *Set, classes int, o TransferOptions) (best float64, res *TransferResult, err error) {
	r, err := newRegression(train, classes)
	if err != nil {
		return 0, nil, err
	}
	defer r.free()
	res = &TransferResult{Metric: o.Metric, Lambdas: o.Lambdas}
	var fit *logistic
	top := math.Inf(-1)
	for i, lambda := range o.Lambdas {
		if fit, err = r.fit(ctx, lambda, fit, o.Iterations); err != nil {
			return 0, nil, err
		}
		res.Iterations += fit.iterations
		a, p, err := fit.evaluate(val)
		if err != nil {
			return 0, nil, err
		}
		score := (&TransferResult{Metric: o.Metric, Accuracy: a, Precision: p}).Score()
		res.Validation = append(res.Validation, score)
		if score > top {
			top, best = score, lambda
			res.AtEdge = len(o.Lambdas) > 1 && (i == 0 || i == len(o.Lambdas)-1)
		}
		if o.Progress != nil {
			o.Progress(lambda, score)
		}
	}
	res.Lambda = best
	return best, res, nil
}

// evaluate scores the fit on a set: by accuracy, or by precision if images have targets.
func (l *logistic) evaluate(s *Set) (a Accuracy, p Precision, err error) {
	if s.Targets == nil {
		a, err = l.accuracy(s)
		return a, p, err
	}
	scores, err := l.scoreRows(s)
	if err != nil {
		return a, p, err
	}
	return a, meanPrecision(scores, s, l.classes), nil
}
