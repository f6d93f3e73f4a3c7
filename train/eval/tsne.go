package eval

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// TSNEOptions are the options of TSNE. The defaults are scikit-learn's; only the initial
// layout differs.
type TSNEOptions struct {
	Perplexity   float64 // effective neighbours of an image; default 30
	Theta        float64 // ratio of a cell's width to its distance below which it counts as one point; default 0.5
	Iterations   int     // default 1000
	Exaggeration float64 // factor of attraction in the first quarter; default 12
	Seed         uint64
	// Progress, if set, is called after every iteration.
	Progress func(iteration int)
}

func (o TSNEOptions) applyDefaults() TSNEOptions {
	if o.Perplexity == 0 {
		o.Perplexity = 30
	}
	if o.Theta == 0 {
		o.Theta = 0.5
	}
	if o.Iterations == 0 {
		o.Iterations = 1000
	}
	if o.Exaggeration == 0 {
		o.Exaggeration = 12
	}
	return o
}

// validate returns an error wrapping errs.ErrUsage; n is the number of images.
func (o TSNEOptions) validate(n int) error {
	bad := func(field string, v any, hint string) error {
		return errs.New("t-SNE option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	switch {
	case !(o.Perplexity >= 1) || o.Perplexity >= float64(n):
		return bad("perplexity", o.Perplexity, fmt.Sprintf("give 1 or more, below the %d images", n))
	case !(o.Theta > 0 && o.Theta <= 0.7):
		// Above 1/√2 a cell could look small from a point within it.
		return bad("theta", o.Theta, "give a number above 0, at most 0.7")
	case o.Iterations < 1:
		return bad("iterations", o.Iterations, "give 1 or more")
	case !(o.Exaggeration >= 1):
		return bad("exaggeration", o.Exaggeration, "give 1 or more")
	}
	return nil
}

// Point is a point in the plane.
type Point struct{ X, Y float64 }

// TSNE lays the images out in the plane so that images with similar features are close
// (Figure 3): t-SNE (van der Maaten and Hinton 2008) with the Barnes-Hut approximation
// of the repulsion (van der Maaten 2014). It starts from the first two principal
// components, which keep the coarse arrangement of classes, plus noise drawn by Seed,
// so that equal images separate. The result is the same for any number of cores. It
// needs about 3·perplexity·24 bytes for each image and time N log N, plus N² to find the
// neighbours.
func TSNE(ctx context.Context, s *Set, o TSNEOptions) ([]Point, error) {
	o = o.applyDefaults()
	if err := o.validate(s.Len()); err != nil {
		return nil, err
	}
	p, err := affinities(ctx, s, o.Perplexity)
	if err != nil {
		return nil, err
	}
	y, err := principal(s, o.Seed)
	if err != nil {
		return nil, err
	}
	l := &layout{o: o, p: p, y: y, step: make([]Point, len(y)), gain: make([]Point, len(y)), grad: make([]Point, len(y)), z: make([]float64, len(y))}
	for i := range l.gain {
		l.gain[i] = Point{1, 1}
	}
	for it := range o.Iterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.iterate(it)
		if o.Progress != nil {
			o.Progress(it + 1)
		}
	}
	return l.y, nil
}

// sparse is a symmetric matrix by rows: row i has columns col[at[i]:at[i+1]].
type sparse struct {
	at  []int
	col []int32
	val []float64
}

// affinities are pᵢⱼ = (pⱼ|ᵢ + pᵢ|ⱼ)/2N over each image's 3·perplexity nearest.
func affinities(ctx context.Context, s *Set, perplexity float64) (*sparse, error) {
	n := s.Len()
	k := min(n-1, int(3*perplexity))
	near := make([][]int32, n) // by image
	cond := make([][]float64, n)
	err := eachDistance(ctx, s, func(from int, d []float32) error {
		return parallel(len(d)/n, func(r int) {
			i := from + r
			near[i] = nearest(d[r*n:(r+1)*n], i, k)
			cond[i] = conditional(d[r*n:(r+1)*n], near[i], perplexity)
		})
	})
	if err != nil {
		return nil, err
	}
	type pair struct {
		col int32
		val float64
	}
	rows := make([][]pair, n)
	for i := range n {
		for j, c := range near[i] {
			v := cond[i][j] / float64(2*n)
			rows[i] = append(rows[i], pair{c, v})
			rows[c] = append(rows[c], pair{int32(i), v})
		}
	}
	p := &sparse{at: make([]int, n+1)}
	for i, row := range rows {
		slices.SortStableFunc(row, func(a, b pair) int { return int(a.col) - int(b.col) })
		for j, e := range row {
			if j > 0 && e.col == row[j-1].col {
				p.val[len(p.val)-1] += e.val
				continue
			}
			p.col, p.val = append(p.col, e.col), append(p.val, e.val)
		}
		p.at[i+1] = len(p.col)
	}
	return p, nil
}

// nearest are the k columns with the smallest distances, without the image itself,
// nearest first; of equal ones the lower column comes first.
func nearest(d []float32, self, k int) []int32 {
	// A heap of the k best so far, with the worst at the root.
	heap := make([]int32, 0, k)
	worse := func(a, b int32) bool { return d[a] > d[b] || d[a] == d[b] && a > b }
	for c := range int32(len(d)) {
		switch {
		case int(c) == self:
		case len(heap) < k:
			heap = append(heap, c)
			for i := len(heap) - 1; i > 0 && worse(heap[i], heap[(i-1)/2]); i = (i - 1) / 2 {
				heap[i], heap[(i-1)/2] = heap[(i-1)/2], heap[i]
			}
		case worse(heap[0], c):
			heap[0] = c
			for i := 0; ; {
				child := 2*i + 1
				if child >= k {
					break
				}
				if child+1 < k && worse(heap[child+1], heap[child]) {
					child++
				}
				if !worse(heap[child], heap[i]) {
					break
				}
				heap[i], heap[child] = heap[child], heap[i]
				i = child
			}
		}
	}
	slices.SortFunc(heap, func(a, b int32) int {
		if worse(b, a) {
			return -1
		}
		return 1
	})
	return heap
}

// eachDistance calls do with the squared Euclidean distances between features, some rows
// at a time: d is (rows,N), from the images that begin at from to all images, and not
// negative.
func eachDistance(ctx context.Context, s *Set, do func(from int, d []float32) error) error {
	n := int64(s.Len())
	chunk := max(1, similarityCells/n)
	for at := int64(0); at < n; at += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		var d []float32
		rows := min(chunk, n-at)
		err := torch.Do(func() error {
			torch.NoGrad(func() {
				// Centred, since |x|² + |y|² − 2x·y cancels.
				x := torch.Sub(s.X, torch.MeanDim(s.X, []int64{0}, true, torch.Unset), 1)
				norm := torch.SumDim(torch.Square(x), []int64{1}, false, torch.Unset)
				q := torch.Narrow(x, 0, at, rows)
				both := torch.Add(torch.Unsqueeze(torch.Narrow(norm, 0, at, rows), 1), torch.Unsqueeze(norm, 0), 1)
				d = torch.ClampMin_(torch.Sub_(both, torch.Mm(q, torch.T(x)), 2), 0).Float32s()
			})
			return nil
		})
		if err != nil {
			return err
		}
		if err := do(int(at), d); err != nil {
			return err
		}
	}
	return nil
}

// conditional is pⱼ|ᵢ of the neighbours: a Gaussian whose width is such that its entropy is
// the logarithm of the perplexity, found by bisection.
func conditional(d []float32, near []int32, perplexity float64) []float64 {
	p := make([]float64, len(near))
	want := math.Log(perplexity)
	beta, low, high := 1.0, 0.0, math.Inf(1)
	least := float64(d[near[0]])
	for range 100 {
		sum, weighted := 0.0, 0.0
		for j, c := range near {
			e := float64(d[c]) - least // the nearest has weight 1, so no sum is zero
			p[j] = math.Exp(-beta * e)
			sum += p[j]
			weighted += float64(p[j] * e)
		}
		for j := range p {
			p[j] /= sum
		}
		diff := math.Log(sum) + beta*weighted/sum - want
		if math.Abs(diff) < 1e-5 {
			break
		}
		if diff > 0 {
			low = beta
			beta = min(2*beta, (beta+high)/2)
		} else {
			high = beta
			beta = (beta + low) / 2
		}
	}
	return p
}

// principal projects the features onto their first two principal axes, scaled to a
// standard deviation of 1e-4 along the first.
func principal(s *Set, seed uint64) ([]Point, error) {
	n := s.Len()
	y := make([]Point, n)
	rng := nn.Random(seed, "t-SNE")
	var xy []float32
	if s.Dim >= 2 {
		err := torch.Do(func() error {
			torch.NoGrad(func() {
				x := torch.Sub(s.X, torch.MeanDim(s.X, []int64{0}, true, torch.Unset), 1)
				cov := torch.DivScalar(torch.Mm(torch.T(x), x), float64(n)).To(torch.CPU, torch.Float64, false)
				_, axes := torch.LinalgEigh(cov, "L") // ascending
				two := torch.Flip(torch.Narrow(axes, 1, int64(s.Dim)-2, 2), []int64{1})
				xy = torch.Mm(x, two.To(s.X.Device(), torch.Float32, false)).Float32s()
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
	} else {
		xy = make([]float32, 2*n)
	}
	var sum float64
	for i := range n {
		sum += float64(xy[2*i]) * float64(xy[2*i])
	}
	shrink := 1e-4 / max(math.Sqrt(sum/float64(n)), 1e-30)
	// The sign of an axis is arbitrary: make the farthest image positive.
	sign := Point{1, 1}
	var far Point
	for i := range n {
		if math.Abs(float64(xy[2*i])) > math.Abs(far.X) {
			far.X = float64(xy[2*i])
		}
		if math.Abs(float64(xy[2*i+1])) > math.Abs(far.Y) {
			far.Y = float64(xy[2*i+1])
		}
	}
	sign.X, sign.Y = math.Copysign(1, far.X), math.Copysign(1, far.Y)
	for i := range y {
		y[i] = Point{sign.X*shrink*float64(xy[2*i]) + 1e-6*rng.Normal(), sign.Y*shrink*float64(xy[2*i+1]) + 1e-6*rng.Normal()}
	}
	return y, nil
}

// layout is the state of the optimisation.
type layout struct {
	o    TSNEOptions
	p    *sparse
	y    []Point
	step []Point // the last one, for the momentum
	gain []Point // of each coordinate: grows while the direction stays
	grad []Point
	z    []float64 // Σⱼ (1 + |yᵢ−yⱼ|²)⁻¹ by point
}

// iterate is one step of gradient descent with momentum and gains:
//
//	∂C/∂yᵢ = 4·(Σⱼ pᵢⱼ·qᵢⱼ·(yᵢ−yⱼ) − Σⱼ qᵢⱼ²·(yᵢ−yⱼ)/Z),  qᵢⱼ = (1+|yᵢ−yⱼ|²)⁻¹
func (l *layout) iterate(it int) {
	n := len(l.y)
	early := it < l.o.Iterations/4
	exaggeration, momentum := 1.0, 0.8
	if early {
		exaggeration, momentum = l.o.Exaggeration, 0.5
	}
	rate := max(float64(n)/l.o.Exaggeration/4, 50)
	tree := newQuadTree(l.y, l.o.Theta)
	_ = parallel(n, func(i int) { l.grad[i], l.z[i] = tree.repulsion(i) }) // returns no error
	z := 0.0
	for _, v := range l.z {
		z += v
	}
	_ = parallel(n, func(i int) { l.move(i, exaggeration, momentum, rate, z) })
	var mean Point
	for i := range l.y {
		mean.X += l.step[i].X
		mean.Y += l.step[i].Y
	}
	for i := range l.y {
		l.y[i].X += l.step[i].X - mean.X/float64(n)
		l.y[i].Y += l.step[i].Y - mean.Y/float64(n)
	}
}

// move computes the step of point i. The points move when all steps are known.
func (l *layout) move(i int, exaggeration, momentum, rate, z float64) {
	var pull Point
	at := l.y[i]
	for e := l.p.at[i]; e < l.p.at[i+1]; e++ {
		to := l.y[l.p.col[e]]
		dx, dy := at.X-to.X, at.Y-to.Y
		f := l.p.val[e] / (1 + dx*dx + dy*dy)
		pull.X += f * dx
		pull.Y += f * dy
	}
	g := Point{4 * (exaggeration*pull.X - l.grad[i].X/z), 4 * (exaggeration*pull.Y - l.grad[i].Y/z)}
	l.gain[i] = Point{gain(l.gain[i].X, g.X, l.step[i].X), gain(l.gain[i].Y, g.Y, l.step[i].Y)}
	l.step[i] = Point{momentum*l.step[i].X - rate*l.gain[i].X*g.X, momentum*l.step[i].Y - rate*l.gain[i].Y*g.Y}
}

// gain is the next gain of a coordinate: larger if the last step went downhill, else
// smaller.
func gain(old, slope, step float64) float64 {
	if slope*step < 0 {
		return old + 0.2
	}
	return max(0.01, old*0.8)
}

// parallel calls do for 0 … n−1, in one block for each core. Calls must not write to the
// same memory.
func parallel(n int, do func(i int)) error {
	var g errgroup.Group
	cores := runtime.GOMAXPROCS(0)
	for c := range cores {
		g.Go(func() error {
			for i := c * n / cores; i < (c+1)*n/cores; i++ {
				do(i)
			}
			return nil
		})
	}
	return g.Wait()
}

// Trustworthiness measures to what extent the k nearest neighbours in the plane are also
// near in feature space (Venna and Kaski 2001): 1 if all are, and less the higher the
// feature-space rank of the others. Distances are Euclidean.
func Trustworthiness(ctx context.Context, s *Set, y []Point, k int) (float64, error) {
	n := s.Len()
	if len(y) != n || k < 1 || 2*k >= n {
		return 0, errs.New("trustworthiness", "", "give a point for each image, and k below half their number",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d points, %d images, k is %d", len(y), n, k)))
	}
	penalty := make([]int, n)
	err := eachDistance(ctx, s, func(from int, d []float32) error {
		return parallel(len(d)/n, func(r int) {
			i, row := from+r, d[r*n:(r+1)*n]
			plane := make([]float32, n)
			for j := range plane {
				dx, dy := y[i].X-y[j].X, y[i].Y-y[j].Y
				plane[j] = float32(dx*dx + dy*dy)
			}
			for _, j := range nearest(plane, i, k) {
				rank := 1
				for c, v := range row {
					if c != i && v < row[j] {
						rank++
					}
				}
				penalty[i] += max(0, rank-k)
			}
		})
	})
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, p := range penalty {
		sum += p
	}
	return 1 - 2*float64(sum)/(float64(n)*float64(k)*float64(2*n-3*k-1)), nil
}
