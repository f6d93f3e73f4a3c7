package eval

import (
	"fmt"
	"math"

	"resslt/schemas/errs"
	"resslt/train/nn"
)

// SVMOptions are the options of a linear support vector machine. The defaults are those
// of the low-shot protocol (Table 11): PCL's call of liblinear.
type SVMOptions struct {
	C              float64 // weight of the losses relative to ‖w‖²/2; default 0.5
	Hinge          bool    // hinge loss (L1) instead of the squared hinge (L2)
	PositiveWeight float64 // factor of C for positive images; default 2
	Tolerance      float64 // of the projected gradient's range; default 1e-4
	Iterations     int     // maximum number of passes over the images; default 2000
	Seed           uint64  // of the passes' order
}

func (o SVMOptions) applyDefaults() SVMOptions {
	if o.C == 0 {
		o.C = 0.5
	}
	if o.PositiveWeight == 0 {
		o.PositiveWeight = 2
	}
	if o.Tolerance == 0 {
		o.Tolerance = 1e-4
	}
	if o.Iterations == 0 {
		o.Iterations = 2000
	}
	return o
}

// Validate returns an error wrapping errs.ErrUsage that names the field.
func (o SVMOptions) Validate() error {
	o = o.applyDefaults()
	bad := func(field string, v any) error {
		return errs.New("svm option", field, "give a number above 0", errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	switch {
	case !(o.C > 0):
		return bad("cost", o.C)
	case !(o.PositiveWeight > 0):
		return bad("positive weight", o.PositiveWeight)
	case !(o.Tolerance > 0):
		return bad("tolerance", o.Tolerance)
	case o.Iterations < 1:
		return bad("iterations", o.Iterations)
	}
	return nil
}

// linearSVM is a linear classifier: score w·x + b.
type linearSVM struct {
	w []float64 // (D)
	b float64
}

// score of one image's features.
func (m *linearSVM) score(x []float32) float64 { return dot(m.w, x) + m.b }

// fitSVM minimises ‖(w,b)‖²/2 + Σ Cᵢ·loss(yᵢ(w·xᵢ + b)) over the rows of x (N,D) with
// targets y (N) of +1 and −1; rows with target 0 are ignored. It is liblinear's dual
// coordinate descent with shrinking (Hsieh, Chang, Lin, Keerthi, Sundararajan 2008,
// algorithm 3): b is the weight of a feature that is always 1, so it is penalised, too.
func fitSVM(x []float32, dim int, y []int8, o SVMOptions) (*linearSVM, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if dim < 1 || len(x) != dim*len(y) {
		return nil, errs.New("fit svm", "", "give N·D features for N targets", errs.Because(errs.ErrUsage, fmt.Sprintf("%d numbers of %d for %d targets", len(x), dim, len(y))))
	}
	s := newDual(x, dim, y, o.applyDefaults())
	return s.solve(), nil
}

// dual is the problem min ½αᵀQ̄α − Σα over 0 ≤ αᵢ ≤ Uᵢ, where Q̄ᵢⱼ = yᵢyⱼxᵢ·xⱼ plus
// Dᵢᵢ on the diagonal. Squared hinge: Dᵢᵢ = 1/(2Cᵢ), U = ∞. Hinge: D = 0, Uᵢ = Cᵢ.
type dual struct {
	o     SVMOptions
	x     []float32 // (N,dim)
	y     []int8
	dim   int
	rows  []int     // with target ±1, active ones first
	alpha []float64 // by row
	q     []float64 // Q̄ᵢᵢ by row
	w     []float64 // Σ αᵢyᵢxᵢ, and b at its end
	rng   *nn.Rand
}

func newDual(x []float32, dim int, y []int8, o SVMOptions) *dual {
	s := &dual{
		o: o, x: x, y: y, dim: dim, alpha: make([]float64, len(y)), q: make([]float64, len(y)),
		w: make([]float64, dim+1), rng: nn.Random(o.Seed, "svm"),
	}
	for i, t := range y {
		if t == 0 {
			continue
		}
		s.rows = append(s.rows, i)
		norm := 1.0 // of the constant feature
		for _, v := range s.row(i) {
			norm += float64(float64(v) * float64(v))
		}
		d, _ := s.bounds(i)
		s.q[i] = norm + d
	}
	return s
}

func (s *dual) row(i int) []float32 { return s.x[i*s.dim : (i+1)*s.dim] }

// bounds are Dᵢᵢ and Uᵢ.
func (s *dual) bounds(i int) (d, u float64) {
	c := s.o.C
	if s.y[i] > 0 {
		c *= s.o.PositiveWeight
	}
	if s.o.Hinge {
		return 0, c
	}
	return 1 / (2 * c), math.Inf(1)
}

func (s *dual) solve() *linearSVM {
	active := len(s.rows)
	high, low := math.Inf(1), math.Inf(-1) // the last pass's range of the projected gradient
	for range s.o.Iterations {
		if len(s.rows) == 0 {
			break
		}
		for i := range active {
			j := i + s.rng.Below(active-i)
			s.rows[i], s.rows[j] = s.rows[j], s.rows[i]
		}
		most, least := math.Inf(-1), math.Inf(1)
		for k := 0; k < active; k++ {
			pg, shrink := s.visit(s.rows[k], low, high)
			if shrink {
				// It is at a bound and its gradient points outwards: leave it there.
				active--
				s.rows[k], s.rows[active] = s.rows[active], s.rows[k]
				k--
				continue
			}
			most, least = max(most, pg), min(least, pg)
		}
		if active == 0 || most-least <= s.o.Tolerance {
			if active == len(s.rows) {
				break
			}
			// Optimal among the active ones: visit all of them again.
			active, high, low = len(s.rows), math.Inf(1), math.Inf(-1)
			continue
		}
		high, low = most, least
		if high <= 0 {
			high = math.Inf(1)
		}
		if low >= 0 {
			low = math.Inf(-1)
		}
	}
	return &linearSVM{w: s.w[:s.dim], b: s.w[s.dim]}
}

// visit minimises along αᵢ. It returns the projected gradient before the update, and
// whether the row can be skipped until the others are optimal.
func (s *dual) visit(i int, low, high float64) (pg float64, shrink bool) {
	y, x := float64(s.y[i]), s.row(i)
	d, u := s.bounds(i)
	g := float64(y*(dot(s.w[:s.dim], x)+s.w[s.dim])) - 1 + float64(d*s.alpha[i])
	switch s.alpha[i] {
	case 0:
		if g > high {
			return 0, true
		}
		pg = min(g, 0)
	case u:
		if g < low {
			return 0, true
		}
		pg = max(g, 0)
	default:
		pg = g
	}
	if math.Abs(pg) > 1e-12 {
		before := s.alpha[i]
		s.alpha[i] = min(max(before-g/s.q[i], 0), u)
		step := float64((s.alpha[i] - before) * y)
		w := s.w[:len(x)]
		for j, v := range x {
			w[j] += float64(step * float64(v))
		}
		s.w[s.dim] += step
	}
	return pg, false
}

// dot is w·x in four independent sums, which the CPU can add in parallel.
func dot(w []float64, x []float32) float64 {
	w = w[:len(x)]
	var a, b, c, d float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a += float64(w[i] * float64(x[i]))
		b += float64(w[i+1] * float64(x[i+1]))
		c += float64(w[i+2] * float64(x[i+2]))
		d += float64(w[i+3] * float64(x[i+3]))
	}
	for ; i < len(x); i++ {
		a += float64(w[i] * float64(x[i]))
	}
	return (a + b) + (c + d)
}
