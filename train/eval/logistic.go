package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// logistic is a fitted classifier: scores (N,C) = (X − mean)·Wᵀ + b.
type logistic struct {
	iterations int
	converged  bool // false if the iterations ran out

	classes, dim int
	mean         []float32 // (D)
	w            []float32 // (C,D)
	b            []float64 // (C)
	theta        []float64 // W on the principal axes, then b: the start of the next λ's fit
}

// regression minimises the L2-regularised cross-entropy
//
//	Σᵢ ℓ(yᵢ, W·hᵢ + b) + λ/2·‖W‖²
//
// by L-BFGS (section 5.1's transfer protocol; Liu and Nocedal 1989), λ = 1/C of
// scikit-learn and liblinear. ℓ is softmax cross-entropy, or, where an image may
// show several classes, the sum of each class's logistic loss.
//
// Three changes of variables make it fast and keep the minimum. Features are centred,
// which b absorbs, since it is not penalised. They are rotated onto their principal
// axes, which preserves ‖W‖. And each axis j is scaled by 1/√(σⱼ²/2 + λ/N), the inverse
// square root of a bound on the curvature (Böhning 1992), so that L-BFGS starts close
// to Newton's method.
//
// Scores and losses are float64; the products with the features, nearly all of the
// work, are float32.
type regression struct {
	n, c, d int
	x       *torch.Tensor // (N,D) float32: centred, on the principal axes
	y       *torch.Tensor // (N,C) float64: 1 for the image's classes, else 0
	counted *torch.Tensor // (N,C) float64: 0 for difficult ones, else 1; nil for softmax

	mean     []float32
	axes     *torch.Tensor // (D,D) float32: column j is axis j
	variance []float64     // (D): σⱼ²
}

// newRegression prepares the fits of a set. The caller frees it.
func newRegression(s *Set, classes int) (*regression, error) {
	r := &regression{n: s.Len(), c: classes, d: s.Dim}
	err := torch.Do(func() error {
		torch.NoGrad(func() {
			mean := torch.MeanDim(s.X.To(s.X.Device(), torch.Float64, false), []int64{0}, true, torch.Unset)
			x := torch.Sub(s.X, mean.To(s.X.Device(), torch.Float32, false), 1)
			// The covariance's eigenvectors in float64: on the CPU, where libtorch
			// always has LAPACK.
			cov := torch.DivScalar(torch.Mm(torch.T(x), x), float64(r.n)).To(torch.CPU, torch.Float64, false)
			variance, axes := torch.LinalgEigh(cov, "L")
			r.axes = axes.To(s.X.Device(), torch.Float32, false).Keep()
			r.x = torch.Mm(x, r.axes).Keep()
			r.mean = mean.Float32s()
			for _, v := range variance.Float64s() {
				r.variance = append(r.variance, max(0, v))
			}
			r.target(s)
		})
		return nil
	})
	if err != nil {
		r.free()
		return nil, err
	}
	return r, nil
}

// target fills y and counted.
func (r *regression) target(s *Set) {
	y := make([]float64, r.n*r.c)
	var counted []float64
	if s.Targets != nil {
		counted = make([]float64, len(y))
	}
	for i := range r.n {
		for c := range r.c {
			t := s.target(i, c)
			if t > 0 {
				y[i*r.c+c] = 1
			}
			if counted != nil && t != 0 {
				counted[i*r.c+c] = 1
			}
		}
	}
	place := func(v []float64) *torch.Tensor {
		return torch.FromFloat64(v, int64(r.n), int64(r.c)).To(r.x.Device(), torch.Float64, false).Keep()
	}
	r.y = place(y)
	if counted != nil {
		r.counted = place(counted)
	}
}

// free releases the tensors.
func (r *regression) free() {
	for _, t := range []*torch.Tensor{r.x, r.y, r.counted, r.axes} {
		t.Free()
	}
}

// fit minimises for one λ, starting from another λ's fit, or from zero.
func (r *regression) fit(ctx context.Context, lambda float64, from *logistic, iterations int) (*logistic, error) {
	scale := r.scale(lambda)
	theta := make([]float64, len(scale))
	if from != nil {
		for i := range theta {
			theta[i] = from.theta[i] / scale[i]
		}
	}
	at := &evaluation{r: r, lambda: lambda, scale: scale}
	problem := optimize.Problem{
		Func: func(x []float64) float64 { at.move(ctx, x); return at.loss },
		Grad: func(grad, x []float64) { at.move(ctx, x); copy(grad, at.grad) },
		Status: func() (optimize.Status, error) {
			if at.err != nil {
				return optimize.Failure, at.err
			}
			return optimize.NotTerminated, nil
		},
	}
	settings := &optimize.Settings{
		GradientThreshold: gradientThreshold, MajorIterations: iterations,
		Converger: &optimize.FunctionConverge{Absolute: 1e-10, Relative: 1e-8, Iterations: 5},
	}
	res, err := optimize.Minimize(problem, theta, settings, &optimize.LBFGS{Store: 20, Linesearcher: &optimize.MoreThuente{}})
	if at.err != nil {
		return nil, at.err
	}
	// At the minimum rounding hides the slope, and the line search fails.
	stuck := errors.Is(err, optimize.ErrLinesearcherFailure) || errors.Is(err, optimize.ErrNoProgress) || errors.Is(err, optimize.ErrNonDescentDirection)
	if res == nil || err != nil && !stuck {
		return nil, errs.New("fit logistic regression", fmt.Sprintf("λ = %.3g", lambda), "check that the features are finite", errs.BecauseErr(errs.ErrDiverged, err))
	}
	fit := &logistic{
		iterations: res.MajorIterations, converged: res.Status != optimize.IterationLimit,
		classes: r.c, dim: r.d, mean: r.mean, theta: make([]float64, len(theta)),
	}
	for i, v := range res.X {
		fit.theta[i] = float64(v * scale[i])
	}
	return fit, r.rotateBack(fit)
}

// gradientThreshold ends a fit: the largest slope, along a scaled axis, of the objective
// divided by N. The objective is then within about 1e-10·C·D of its minimum.
const gradientThreshold = 1e-5

// scale is the length of a unit step along each element of theta.
func (r *regression) scale(lambda float64) []float64 {
	top := slices.Max(r.variance)
	scale := make([]float64, r.c*r.d+r.c)
	for i := range r.c * r.d {
		// The floor keeps rounding errors on axes without variance small.
		scale[i] = 1 / math.Sqrt(r.variance[i%r.d]/2+lambda/float64(r.n)+1e-7*top+1e-30)
	}
	for i := range r.c {
		scale[r.c*r.d+i] = math.Sqrt2
	}
	return scale
}

// rotateBack computes W on the features' own axes from theta.
func (r *regression) rotateBack(l *logistic) error {
	n := r.c * r.d
	l.b = slices.Clone(l.theta[n:])
	return torch.Do(func() error {
		w := torch.FromFloat64(l.theta[:n], int64(r.c), int64(r.d)).To(r.x.Device(), torch.Float32, false)
		l.w = torch.Mm(w, torch.T(r.axes)).Float32s()
		return nil
	})
}

// evaluation is the objective, divided by N, and its gradient at the last point: the
// optimiser asks for the two one after the other.
type evaluation struct {
	r      *regression
	lambda float64
	scale  []float64

	x    []float64 // the point, nil before the first
	loss float64
	grad []float64
	err  error
}

func (e *evaluation) move(ctx context.Context, x []float64) {
	if e.x != nil && slices.Equal(e.x, x) {
		return
	}
	e.x = append(e.x[:0], x...)
	if e.err == nil {
		e.err = ctx.Err()
	}
	if e.err == nil {
		e.err = torch.Do(func() error { torch.NoGrad(e.evaluate); return nil })
	}
	if e.err != nil { // Status ends the search; until then any finite number will do
		e.loss, e.grad = 0, make([]float64, len(x))
	}
}

func (e *evaluation) evaluate() {
	r := e.r
	device, n, c, d := r.x.Device(), float64(r.n), int64(r.c), int64(r.d)
	theta := make([]float64, len(e.x))
	for i, v := range e.x {
		theta[i] = float64(v * e.scale[i])
	}
	split := r.c * r.d
	w := torch.FromFloat64(theta[:split], c, d).To(device, torch.Float32, false)
	b := torch.FromFloat64(theta[split:], c).To(device, torch.Float64, false)
	z := torch.Add(torch.Mm(r.x, torch.T(w)).To(device, torch.Float64, false), b, 1) // (N,C)
	loss, g := r.crossEntropy(z)
	gw := torch.Mm(torch.T(g.To(device, torch.Float32, false)), r.x) // (C,D)
	gb := torch.SumDim(g, []int64{0}, false, torch.Unset)            // (C)

	e.grad = make([]float64, len(theta))
	for i, v := range gw.Float32s() {
		e.grad[i] = (float64(v) + float64(e.lambda*theta[i])) / n * e.scale[i]
	}
	for i, v := range gb.Float64s() {
		e.grad[split+i] = v / n * e.scale[split+i]
	}
	penalty := 0.0
	for _, v := range theta[:split] {
		penalty += float64(v * v)
	}
	e.loss = (loss + float64(e.lambda/2*penalty)) / n
}

// crossEntropy is Σ ℓ over images (and classes) for scores z (N,C), and its
// derivative with respect to z.
func (r *regression) crossEntropy(z *torch.Tensor) (loss float64, g *torch.Tensor) {
	if r.counted == nil {
		logp := torch.LogSoftmax(z, 1, torch.Unset)
		return -torch.Sum(torch.Mul(logp, r.y), torch.Unset).Item(), torch.Sub(torch.Exp(logp), r.y, 1)
	}
	// −log σ(±z) = max(z,0) − z·y + log(1 + exp(−|z|)), which never overflows.
	soft := torch.Add(torch.Sub(torch.ClampMin(z, 0), torch.Mul(z, r.y), 1), torch.Log1p(torch.Exp(torch.Neg(torch.Abs(z)))), 1)
	return torch.Sum(torch.Mul(soft, r.counted), torch.Unset).Item(),
		torch.Mul(torch.Sub(torch.Sigmoid(z), r.y, 1), r.counted)
}

// scores are the fit's for a set, (N,C), in the current scope.
func (l *logistic) scores(s *Set) *torch.Tensor {
	device := s.X.Device()
	mean := torch.FromFloat32(l.mean, 1, int64(l.dim)).To(device, torch.Float32, false)
	w := torch.FromFloat32(l.w, int64(l.classes), int64(l.dim)).To(device, torch.Float32, false)
	b := torch.FromFloat64(l.b, int64(l.classes)).To(device, torch.Float32, false)
	return torch.Addmm(b, torch.Sub(s.X, mean, 1), torch.T(w), 1, 1)
}

// scoreRows is scores, row-major.
func (l *logistic) scoreRows(s *Set) (out []float64, err error) {
	err = torch.Do(func() error {
		for _, v := range l.scores(s).Float32s() {
			out = append(out, float64(v))
		}
		return nil
	})
	return out, err
}

// accuracy of the fit on a set with one label an image.
func (l *logistic) accuracy(s *Set) (a Accuracy, err error) {
	err = torch.Do(func() error { a = accuracy(l.scores(s), s.Labels); return nil })
	return a, err
}
