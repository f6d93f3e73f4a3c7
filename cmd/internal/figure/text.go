package figure

import (
	"image"
	"image/color"
	"image/draw"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Colours of a sheet.
var (
	paper = color.RGBA{255, 255, 255, 255}
	ink   = color.RGBA{32, 33, 36, 255}
	faint = color.RGBA{110, 114, 120, 255}
	wrong = color.RGBA{214, 40, 40, 255}
	right = color.RGBA{196, 200, 205, 255}
)

// typeface writes text of one size.
type typeface struct{ font.Face }

func newTypeface(size float64, bold bool) (typeface, error) {
	ttf := goregular.TTF
	if bold {
		ttf = gobold.TTF
	}
	f, err := opentype.Parse(ttf)
	if err != nil {
		return typeface{}, err
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	return typeface{face}, err
}

func (t typeface) width(s string) int { return font.MeasureString(t.Face, s).Ceil() }

// write puts text with its baseline's left end at (x,y).
func (t typeface) write(m draw.Image, x, y int, s string, c color.Color) {
	d := font.Drawer{Dst: m, Src: image.NewUniform(c), Face: t.Face, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

// halo is write with an outline in the paper's colour, so that it is legible on points.
func (t typeface) halo(m draw.Image, x, y int, s string, c color.Color) {
	for dy := -2; dy <= 2; dy++ {
		for dx := -2; dx <= 2; dx++ {
			t.write(m, x+dx, y+dy, s, paper)
		}
	}
	t.write(m, x, y, s, c)
}

// fit shortens text to a width.
func (t typeface) fit(s string, width int) string {
	if t.width(s) <= width {
		return s
	}
	runes := []rune(s)
	for len(runes) > 1 && t.width(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimSpace(string(runes)) + "…"
}

func fill(m draw.Image, r image.Rectangle, c color.Color) {
	draw.Draw(m, r, image.NewUniform(c), image.Point{}, draw.Src)
}

// classColour is the colour of a class of n; grey for an image without one.
func classColour(class, n int) color.RGBA {
	if class < 0 {
		return color.RGBA{136, 136, 136, 255}
	}
	if n <= len(tableau) {
		return tableau[class%len(tableau)]
	}
	// Step around the hue circle by the golden angle, with three levels of lightness.
	hue := float64(class) * 0.38196601125
	return hsl(hue-float64(int(hue)), 0.62, []float64{0.42, 0.56, 0.68}[class%3])
}

// tableau is Tableau's palette of ten distinct colours.
var tableau = []color.RGBA{
	{78, 121, 167, 255},
	{242, 142, 43, 255},
	{225, 87, 89, 255},
	{118, 183, 178, 255},
	{89, 161, 79, 255},
	{218, 179, 40, 255},
	{176, 122, 161, 255},
	{255, 136, 152, 255},
	{156, 117, 95, 255},
	{128, 128, 132, 255},
}

func hsl(h, s, l float64) color.RGBA {
	c := s * min(l, 1-l)
	f := func(n float64) uint8 {
		k := n + h*12
		for k >= 12 {
			k -= 12
		}
		return uint8(255*(l-c*max(-1, min(k-3, 9-k, 1))) + 0.5)
	}
	return color.RGBA{f(0), f(8), f(4), 255}
}
