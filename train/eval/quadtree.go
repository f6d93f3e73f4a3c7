package eval

// quadTree holds points in recursively halved cells, for the sum of repulsions: a cell
// that is small relative to its distance acts as one point with its weight (Barnes and
// Hut 1986).
type quadTree struct {
	points []Point
	theta2 float64 // θ²
	order  []int32 // the points, those of a cell adjacent
	cells  []cell
}

// cell is a square and the points in it, order[lo:hi].
type cell struct {
	mean   Point // of its points
	side2  float64
	lo, hi int32
	child  [4]int32 // in cells; 0: none. Without any, the cell is a leaf
	leaf   bool
}

// maxDepth bounds the depth where points coincide, or nearly.
const maxDepth = 48

func newQuadTree(points []Point, theta float64) *quadTree {
	t := &quadTree{points: points, theta2: theta * theta, order: make([]int32, len(points)), cells: make([]cell, 0, 2*len(points))}
	low, high := points[0], points[0]
	for i, p := range points {
		t.order[i] = int32(i)
		low = Point{min(low.X, p.X), min(low.Y, p.Y)}
		high = Point{max(high.X, p.X), max(high.Y, p.Y)}
	}
	side := max(high.X-low.X, high.Y-low.Y)
	t.build(0, int32(len(points)), low, side, 0)
	return t
}

// build makes the cell of order[lo:hi], whose square has its lower corner at low, and
// returns its index.
func (t *quadTree) build(lo, hi int32, low Point, side float64, depth int) int32 {
	at := int32(len(t.cells))
	c := cell{lo: lo, hi: hi, side2: side * side}
	for _, i := range t.order[lo:hi] {
		c.mean.X += t.points[i].X
		c.mean.Y += t.points[i].Y
	}
	c.mean.X /= float64(hi - lo)
	c.mean.Y /= float64(hi - lo)
	c.leaf = hi-lo == 1 || depth == maxDepth
	t.cells = append(t.cells, c)
	if c.leaf {
		return at
	}
	half := side / 2
	mid := Point{low.X + half, low.Y + half}
	y := t.split(lo, hi, func(p Point) bool { return p.Y < mid.Y })
	bounds := [5]int32{lo, t.split(lo, y, func(p Point) bool { return p.X < mid.X }), y, t.split(y, hi, func(p Point) bool { return p.X < mid.X }), hi}
	corners := [4]Point{low, {mid.X, low.Y}, {low.X, mid.Y}, mid}
	for q := range corners {
		if bounds[q] < bounds[q+1] {
			child := t.build(bounds[q], bounds[q+1], corners[q], half, depth+1)
			t.cells[at].child[q] = child
		}
	}
	return at
}

// split moves the points of order[lo:hi] that are below to the front, and returns the
// index of the first of the others.
func (t *quadTree) split(lo, hi int32, below func(Point) bool) int32 {
	for i := lo; i < hi; i++ {
		if below(t.points[t.order[i]]) {
			t.order[lo], t.order[i] = t.order[i], t.order[lo]
			lo++
		}
	}
	return lo
}

// repulsion is Σⱼ q²·(yᵢ−yⱼ) and Σⱼ q over the others, q = (1+|yᵢ−yⱼ|²)⁻¹.
func (t *quadTree) repulsion(i int) (push Point, z float64) {
	at := t.points[i]
	var stack [4 * maxDepth]int32
	top := 1 // the root, cell 0
	for top > 0 {
		top--
		c := &t.cells[stack[top]]
		dx, dy := at.X-c.mean.X, at.Y-c.mean.Y
		d2 := dx*dx + dy*dy
		if !c.leaf && c.side2 >= t.theta2*d2 {
			for _, child := range c.child {
				if child != 0 {
					stack[top] = child
					top++
				}
			}
			continue
		}
		n := float64(c.hi - c.lo)
		if c.leaf {
			for _, j := range t.order[c.lo:c.hi] {
				if int(j) == i {
					n--
				}
			}
		}
		q := 1 / (1 + d2)
		z += n * q
		f := n * q * q
		push.X += f * dx
		push.Y += f * dy
	}
	return push, z
}
