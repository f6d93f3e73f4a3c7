package report

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Series is a curve: Y over X, of the same length. A NaN interrupts the curve.
type Series struct {
	Name string
	X, Y []float64
}

// Chart is a few curves over one axis.
type Chart struct {
	Title, Caption string
	XLabel         string
	Series         []Series
	Level          *Level // a reference line for the curves; may be nil
}

// Level is a horizontal line with a name.
type Level struct {
	Name string
	Y    float64
}

// Geometry of a chart, in the units of its viewBox.
const (
	chartW, chartH          = 640, 300
	left, right, top, below = 70, 16, 12, 40
	maxPoints               = 400 // of a curve; more are averaged
)

// thin averages neighbouring points until at most maxPoints are left.
func (s Series) thin() Series {
	n := (len(s.X) + maxPoints - 1) / maxPoints
	if n <= 1 {
		return s
	}
	t := Series{Name: s.Name}
	for i := 0; i < len(s.X); i += n {
		j := min(i+n, len(s.X))
		var x, y float64
		for k := i; k < j; k++ {
			x += s.X[k]
			y += s.Y[k]
		}
		t.X, t.Y = append(t.X, x/float64(j-i)), append(t.Y, y/float64(j-i))
	}
	return t
}

// finite reports whether a value can be drawn.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// span is the range of the values, widened if it is empty.
func span(lo, hi float64) (float64, float64) {
	if lo > hi {
		return 0, 1
	}
	if lo == hi {
		d := math.Max(math.Abs(lo)*0.1, 1e-9)
		return lo - d, hi + d
	}
	return lo, hi
}

// ticks are about n round numbers in [lo, hi].
func ticks(lo, hi float64, n int) []float64 {
	raw := (hi - lo) / float64(n)
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * mag
	for _, m := range []float64{1, 2, 5} {
		if m*mag >= raw {
			step = m * mag
			break
		}
	}
	var out []float64
	for k := math.Ceil(lo / step); k*step <= hi+step*1e-9; k++ {
		out = append(out, k*step)
	}
	return out
}

// number formats a value for readers: at most four digits, no trailing zeros.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a < 1e-12:
		return "0"
	case a >= 1e5 || a < 1e-3:
		return strings.Replace(strconv.FormatFloat(v, 'g', 3, 64), "e-0", "e-", 1)
	}
	if math.Abs(v) >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// SVG draws the chart. The page defines the colours, by CSS class.
func (c Chart) SVG() template.HTML {
	xlo, xhi, ylo, yhi := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range c.Series {
		for i := range s.X {
			if finite(s.Y[i]) {
				xlo, xhi = min(xlo, s.X[i]), max(xhi, s.X[i])
				ylo, yhi = min(ylo, s.Y[i]), max(yhi, s.Y[i])
			}
		}
	}
	if c.Level != nil {
		ylo, yhi = min(ylo, c.Level.Y), max(yhi, c.Level.Y)
	}
	xlo, xhi = span(xlo, xhi)
	ylo, yhi = span(ylo, yhi)
	pad := (yhi - ylo) * 0.04
	ylo, yhi = ylo-pad, yhi+pad
	px := func(x float64) float64 { return left + (x-xlo)/(xhi-xlo)*(chartW-left-right) }
	py := func(y float64) float64 { return chartH - below - (y-ylo)/(yhi-ylo)*(chartH-top-below) }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartW, chartH, template.HTMLEscapeString(c.Title))
	for _, y := range ticks(ylo, yhi, 5) {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, chartW-right, py(y), py(y), left-6, py(y)+4, number(y))
	}
	for _, x := range ticks(xlo, xhi, 6) {
		fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`, px(x), chartH-below+18, number(x))
	}
	fmt.Fprintf(&b, `<text class="tick" x="%d" y="%d" text-anchor="end">%s</text>`, chartW-right, chartH-2, template.HTMLEscapeString(c.XLabel))
	if c.Level != nil {
		fmt.Fprintf(&b, `<line class="level" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, chartW-right, py(c.Level.Y), py(c.Level.Y), chartW-right-4, py(c.Level.Y)-5, template.HTMLEscapeString(c.Level.Name))
	}
	for i, s := range c.Series {
		s = s.thin()
		fmt.Fprintf(&b, `<path class="curve s%d" d="`, i)
		pen := "M"
		for k := range s.X {
			if !finite(s.Y[k]) {
				pen = "M"
				continue
			}
			fmt.Fprintf(&b, "%s%.1f %.1f", pen, px(s.X[k]), py(s.Y[k]))
			pen = "L"
		}
		b.WriteString(`"/>`)
		if len(s.X) <= 60 { // few enough to show each point
			for k := range s.X {
				if finite(s.Y[k]) {
					fmt.Fprintf(&b, `<circle class="dot s%d" cx="%.1f" cy="%.1f" r="3"/>`, i, px(s.X[k]), py(s.Y[k]))
				}
			}
		}
	}
	fmt.Fprintf(&b, `<line class="cursor" y1="%d" y2="%d"/></svg>`, top, chartH-below)
	return template.HTML(b.String())
}

// Summary is the chart in a sentence, for those who do not see it: each curve's first and last
// value.
func (c Chart) Summary() string {
	text := c.Title
	for _, s := range c.Series {
		first, last := -1, -1
		for i, y := range s.Y {
			if finite(y) {
				if last = i; first < 0 {
					first = i
				}
			}
		}
		switch {
		case first < 0:
			text += "; " + s.Name + ": no values"
		case first == last:
			text += fmt.Sprintf("; %s: %s at %s %s", s.Name, number(s.Y[last]), c.XLabel, number(s.X[last]))
		default:
			text += fmt.Sprintf("; %s: %s at %s %s, %s at %s", s.Name, number(s.Y[first]), c.XLabel, number(s.X[first]), number(s.Y[last]), number(s.X[last]))
		}
	}
	return text
}

// Data is what the page's script shows at the pointer: each curve's name and the points
// that are drawn, with their values.
func (c Chart) Data() (string, error) {
	type curve struct {
		Name string     `json:"name"`
		X    []float64  `json:"x"`
		Y    []*float64 `json:"y"` // null where the curve is interrupted: JSON has no NaN
	}
	data := struct {
		XLabel string  `json:"xlabel"`
		Left   int     `json:"left"`  // margin of the plot, in units of Width
		Right  int     `json:"right"` // likewise, on the right
		Width  int     `json:"width"`
		Curves []curve `json:"curves"`
	}{XLabel: c.XLabel, Left: left, Right: right, Width: chartW, Curves: []curve{}}
	for _, s := range c.Series {
		s = s.thin()
		k := curve{Name: s.Name, X: append([]float64{}, s.X...), Y: []*float64{}} // [] instead of null
		for _, y := range s.Y {
			if finite(y) {
				k.Y = append(k.Y, &y)
			} else {
				k.Y = append(k.Y, nil)
			}
		}
		data.Curves = append(data.Curves, k)
	}
	raw, err := json.Marshal(data)
	return string(raw), err
}
