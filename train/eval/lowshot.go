package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"

	"golang.org/x/sync/errgroup"

	"resslt/schemas/errs"
	"resslt/train/nn"
)

// LowShotOptions are the options of LowShot. The defaults are Table 11's.
type LowShotOptions struct {
	K     []int     // images of each class; 0: all; default 4, 8, 16, 32, 64, 0
	Draws int       // of each k but 0, which the result averages; default 5
	Costs []float64 // C of the SVM; if several, each class takes the best in threefold cross-validation; default 0.5
	SVM   SVMOptions
	// DifficultNegative counts images that VOC marks as difficult for a class as
	// negatives, as PCL and VISSL do; otherwise they are ignored, by VOC's rules.
	DifficultNegative bool
	// Progress, if set, is called with each draw's mean average precision in percent.
	Progress func(k, draw int, map11 float64)
}

func (o LowShotOptions) applyDefaults() LowShotOptions {
	if len(o.K) == 0 {
		o.K = []int{4, 8, 16, 32, 64, 0}
	}
	if o.Draws == 0 {
		o.Draws = 5
	}
	if len(o.Costs) == 0 {
		o.Costs = []float64{0.5}
	}
	return o
}

// Validate returns an error wrapping errs.ErrUsage that names the field.
func (o LowShotOptions) Validate() error {
	o = o.applyDefaults()
	for _, k := range o.K {
		if k < 0 {
			return errs.New("low-shot option", "k", "give 1 or more, or 0 for all", errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", k)))
		}
	}
	if o.Draws < 1 {
		return errs.New("low-shot option", "draws", "give 1 or more", errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.Draws)))
	}
	for _, c := range o.Costs {
		svm := o.SVM
		svm.C = c
		if err := errors.Join(svm.Validate(), aboveZero("cost", c)); err != nil {
			return err
		}
	}
	return nil
}

func aboveZero(field string, v float64) error {
	if v > 0 {
		return nil
	}
	return errs.New("low-shot option", field, "give a number above 0", errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
}

// LowShotResult is the mean over the draws of one k.
type LowShotResult struct {
	K     int         // images of each class; 0: all
	Draws []Precision // mean over classes, for each draw
	Mean  Precision   // over draws
	Std   Precision   // over draws, of the population as numpy's std; 0 for one draw
}

// LowShot fits a linear SVM for each class against the rest, on k training images of
// each class, and returns the mean average precision on the test images (Table 11).
// Features are first divided by their norm. The result depends on the features, the
// options and SVM.Seed, which also draws the images. Errors are ctx's, or wrap
// errs.ErrUsage, also for a class with fewer than k images.
func LowShot(ctx context.Context, train, test *Set, o LowShotOptions) ([]LowShotResult, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.applyDefaults()
	classes, err := countClasses(train, test)
	if err != nil {
		return nil, err
	}
	// Draw everything first, so that a class that is too small fails early.
	draws := make([][][]int, len(o.K))
	for i, k := range o.K {
		n := o.Draws
		if k == 0 {
			n = 1
		}
		for draw := range n {
			rows, err := drawRows(train, k, draw, o.SVM.Seed)
			if err != nil {
				return nil, err
			}
			draws[i] = append(draws[i], rows)
		}
	}
	s := &shots{o: o, train: train, test: test, classes: classes}
	if s.x, err = train.unitRows(); err != nil {
		return nil, err
	}
	if s.q, err = test.unitRows(); err != nil {
		return nil, err
	}
	var out []LowShotResult
	for i, k := range o.K {
		r := LowShotResult{K: k}
		for draw, rows := range draws[i] {
			p, err := s.run(ctx, rows)
			if err != nil {
				return nil, err
			}
			r.Draws = append(r.Draws, p)
			if o.Progress != nil {
				o.Progress(k, draw, p.ElevenPoint)
			}
		}
		r.summarise()
		out = append(out, r)
	}
	return out, nil
}

// drawRows is drawShots, or every row for k = 0.
func drawRows(s *Set, k, draw int, seed uint64) ([]int, error) {
	if k > 0 {
		return drawShots(s, k, draw, seed)
	}
	rows := make([]int, s.Len())
	for i := range rows {
		rows[i] = i
	}
	return rows, nil
}

func (r *LowShotResult) summarise() {
	n := float64(len(r.Draws))
	for _, p := range r.Draws {
		r.Mean.ElevenPoint += p.ElevenPoint / n
		r.Mean.AllPoint += p.AllPoint / n
	}
	for _, p := range r.Draws {
		d, e := p.ElevenPoint-r.Mean.ElevenPoint, p.AllPoint-r.Mean.AllPoint
		r.Std.ElevenPoint += d * d / n
		r.Std.AllPoint += e * e / n
	}
	r.Std = Precision{math.Sqrt(r.Std.ElevenPoint), math.Sqrt(r.Std.AllPoint)}
}

// shots is the state that the draws share.
type shots struct {
	o           LowShotOptions
	train, test *Set
	classes     int
	x, q        []float32 // (N,D), (M,D): of unit length
}

// run fits the classes on the rows, concurrently, and scores the test images.
func (s *shots) run(ctx context.Context, rows []int) (Precision, error) {
	d := s.train.Dim
	x := make([]float32, 0, len(rows)*d)
	for _, r := range rows {
		x = append(x, s.x[r*d:(r+1)*d]...)
	}
	each := make([]Precision, s.classes)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for c := range s.classes {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			each[c], err = s.class(ctx, x, rows, c)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Precision{}, err
	}
	mean := meanOf(each)
	if math.IsNaN(mean.AllPoint) {
		return mean, errs.New("low-shot", "test split", "give test images that show the classes", errs.Because(errs.ErrUsage, "it shows none of the classes"))
	}
	return mean, nil
}

// class is one class against the rest.
func (s *shots) class(ctx context.Context, x []float32, rows []int, class int) (Precision, error) {
	y := make([]int8, len(rows))
	for i, r := range rows {
		y[i] = s.target(s.train, r, class)
	}
	o := s.o.SVM
	var err error
	if o.C, err = s.cost(ctx, x, y, class); err != nil {
		return Precision{}, err
	}
	m, err := fitSVM(x, s.train.Dim, y, o)
	if err != nil {
		return Precision{}, err
	}
	truth := make([]int8, s.test.Len())
	for i := range truth {
		truth[i] = s.target(s.test, i, class)
	}
	return averagePrecision(m.scores(s.q), truth), nil
}

func (m *linearSVM) scores(x []float32) []float64 {
	d := len(m.w)
	out := make([]float64, len(x)/d)
	for i := range out {
		out[i] = m.score(x[i*d : (i+1)*d])
	}
	return out
}

func (s *shots) target(set *Set, row, class int) int8 {
	t := set.target(row, class)
	if t == 0 && s.o.DifficultNegative {
		return -1
	}
	return t
}

// folds is the number of folds in the cross-validation of C, as in VISSL's train_svm.
const folds = 3

// cost chooses C by the mean average precision over folds that each hold a third of the
// class's images and of the others; of equal ones it takes the smaller C. A class with
// fewer images than folds takes the first C.
func (s *shots) cost(ctx context.Context, x []float32, y []int8, class int) (float64, error) {
	if len(s.o.Costs) == 1 {
		return s.o.Costs[0], nil
	}
	fold := foldOf(y, s.o.SVM.Seed, class)
	if fold == nil {
		return s.o.Costs[0], nil
	}
	best, top := s.o.Costs[0], math.Inf(-1)
	for _, c := range s.o.Costs {
		mean := 0.0
		for f := range folds {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			fit, held := make([]int8, len(y)), make([]int8, len(y))
			for i, t := range y {
				if fold[i] == f {
					held[i] = t
				} else {
					fit[i] = t
				}
			}
			o := s.o.SVM
			o.C = c
			m, err := fitSVM(x, s.train.Dim, fit, o)
			if err != nil {
				return 0, err
			}
			mean += averagePrecision(m.scores(x), held).AllPoint / folds
		}
		if mean > top || mean == top && c < best {
			best, top = c, mean
		}
	}
	return best, nil
}

// foldOf distributes the images of a class and the others over the folds, in a keyed
// order; nil if a fold would have none of the class.
func foldOf(y []int8, seed uint64, class int) []int {
	fold := make([]int, len(y))
	dealt := map[int8]int{}
	for _, i := range nn.Random(seed, fmt.Sprintf("folds %d", class)).Permutation(len(y)) {
		fold[i] = dealt[y[i]] % folds
		dealt[y[i]]++
	}
	if dealt[1] < folds || dealt[-1] < folds {
		return nil
	}
	return fold
}

// ShotName is the name of a low-shot score: "map_k4", "map_full".
func ShotName(prefix string, k int) string {
	if k == 0 {
		return prefix + "_full"
	}
	return prefix + "_k" + strconv.Itoa(k)
}
