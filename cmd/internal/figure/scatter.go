package figure

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
)

// Point is one image in the plane.
type Point struct {
	X, Y  float64
	Class int    // -1: not known
	Name  string // of the image, for the page
}

// ScatterOptions are the options of Scatter and Page.
type ScatterOptions struct {
	Title   string
	Caption string   // a line below the title
	Classes []string // names by class
}

// class is the name of a class.
func (o ScatterOptions) class(i int) string {
	if i >= 0 && i < len(o.Classes) {
		return o.Classes[i]
	}
	return fmt.Sprintf("class %d", i)
}

// Geometry of a plot, in pixels.
const (
	plotSide   = 1200
	legendSide = 240
	plotTop    = 92
	dot        = 3.4 // radius
)

// Scatter draws the points in their classes' colours, with each class's name at its
// centre and in a legend.
func Scatter(points []Point, o ScatterOptions) (*image.RGBA, error) {
	var faces [4]typeface
	for i, f := range []struct {
		size float64
		bold bool
	}{{26, true}, {16, false}, {17, false}, {20, true}} {
		var err error
		if faces[i], err = newTypeface(f.size, f.bold); err != nil {
			return nil, err
		}
	}
	title, small, text, label := faces[0], faces[1], faces[2], faces[3]
	n := classCount(points)
	m := image.NewRGBA(image.Rect(0, 0, plotSide+legendSide, plotTop+plotSide))
	fill(m, m.Rect, paper)
	title.write(m, edge+8, 44, title.fit(o.Title, plotSide+legendSide-2*edge), ink)
	small.write(m, edge+8, 72, small.fit(o.Caption, plotSide+legendSide-2*edge), faint)
	place := frameOf(points, plotSide-2*edge)
	at := func(p Point) (x, y float64) {
		x, y = place(p)
		return x + edge, y + edge + plotTop
	}
	for _, p := range points {
		x, y := at(p)
		disc(m, x, y, dot, classColour(p.Class, n))
	}
	var taken []image.Rectangle
	for c, p := range middles(points, n) {
		if p == nil {
			continue
		}
		x, y := at(*p)
		name := o.class(c)
		w := label.width(name)
		box := freeOf(taken, image.Rect(int(x)-w/2, int(y)-10, int(x)+w-w/2, int(y)+12))
		taken = append(taken, box)
		label.halo(m, box.Min.X, box.Max.Y-5, name, darker(classColour(c, n)))
	}
	counts := make([]int, n)
	for _, p := range points {
		if p.Class >= 0 {
			counts[p.Class]++
		}
	}
	const line = 28
	for c := 0; c < n && plotTop+edge+(c+1)*line < plotTop+plotSide; c++ {
		y := plotTop + edge + c*line
		disc(m, plotSide+8, float64(y)+8, 7, classColour(c, n))
		text.write(m, plotSide+24, y+14, text.fit(o.class(c), legendSide-90), ink)
		small.write(m, plotSide+legendSide-62, y+14, fmt.Sprint(counts[c]), faint)
	}
	return m, nil
}

// freeOf moves a box down until it overlaps none that is taken.
func freeOf(taken []image.Rectangle, box image.Rectangle) image.Rectangle {
	for _, t := range taken {
		if box.Overlaps(t) {
			return freeOf(taken, box.Add(image.Pt(0, t.Max.Y-box.Min.Y)))
		}
	}
	return box
}

// frameOf maps points into a square of the given side, with equal scales and y up.
func frameOf(points []Point, side float64) func(Point) (x, y float64) {
	low, high := Point{X: math.Inf(1), Y: math.Inf(1)}, Point{X: math.Inf(-1), Y: math.Inf(-1)}
	for _, p := range points {
		low.X, low.Y = min(low.X, p.X), min(low.Y, p.Y)
		high.X, high.Y = max(high.X, p.X), max(high.Y, p.Y)
	}
	extent := max(high.X-low.X, high.Y-low.Y, 1e-12)
	mid := Point{X: (low.X + high.X) / 2, Y: (low.Y + high.Y) / 2}
	return func(p Point) (x, y float64) {
		return side * (0.5 + (p.X-mid.X)/extent), side * (0.5 - (p.Y-mid.Y)/extent)
	}
}

func classCount(points []Point) int {
	n := 0
	for _, p := range points {
		n = max(n, p.Class+1)
	}
	return n
}

// middles are the medians of each class's coordinates; nil for an empty class.
func middles(points []Point, n int) []*Point {
	xs, ys := make([][]float64, n), make([][]float64, n)
	for _, p := range points {
		if p.Class >= 0 {
			xs[p.Class], ys[p.Class] = append(xs[p.Class], p.X), append(ys[p.Class], p.Y)
		}
	}
	out := make([]*Point, n)
	for c := range out {
		if k := len(xs[c]); k > 0 {
			slices.Sort(xs[c])
			slices.Sort(ys[c])
			out[c] = &Point{X: xs[c][k/2], Y: ys[c][k/2], Class: c}
		}
	}
	return out
}

// disc draws a filled circle with an anti-aliased edge.
func disc(m *image.RGBA, x, y, r float64, c color.RGBA) {
	const opacity = 0.85
	for py := int(y - r - 1); py <= int(y+r+1); py++ {
		for px := int(x - r - 1); px <= int(x+r+1); px++ {
			if !(image.Point{X: px, Y: py}).In(m.Rect) {
				continue
			}
			cover := opacity * max(0, min(1, r+0.5-math.Hypot(float64(px)+0.5-x, float64(py)+0.5-y)))
			if cover == 0 {
				continue
			}
			i := m.PixOffset(px, py)
			for k, v := range [3]uint8{c.R, c.G, c.B} {
				m.Pix[i+k] = uint8(float64(m.Pix[i+k])*(1-cover) + float64(v)*cover + 0.5)
			}
		}
	}
}

func darker(c color.RGBA) color.RGBA {
	return color.RGBA{uint8(float64(c.R) * 0.62), uint8(float64(c.G) * 0.62), uint8(float64(c.B) * 0.62), 255}
}
