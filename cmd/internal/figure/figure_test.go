package figure_test

import (
	"bytes"
	"image/color"
	"regexp"
	"strings"
	"testing"

	"resslt/cmd/internal/figure"
)

// flat is a picture of one colour.
func flat(class int, name string, c color.RGBA) figure.Picture {
	return figure.Picture{Pixels: bytes.Repeat([]byte{c.R, c.G, c.B}, 8*8), Size: 8, Class: class, Name: name}
}

// TestNeighboursFrames: a neighbour of another class is framed in red, one of the
// query's is not, and each picture is in its place.
func TestNeighboursFrames(t *testing.T) {
	green, blue := color.RGBA{0, 200, 0, 255}, color.RGBA{0, 0, 200, 255}
	m, err := figure.Neighbours([]figure.Block{{Heading: "x", Rows: []figure.Row{
		{Query: flat(1, "frog", green), Near: []figure.Picture{flat(1, "frog", green), flat(2, "a class with a very long name indeed", blue)}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.RGBA]int{}
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			count[m.RGBAAt(x, y)]++
		}
	}
	const tile, border = 112 * 112, 4 * 4 * (112 + 4)
	for name, c := range map[string]struct {
		of   color.RGBA
		want int
	}{"query and neighbour": {green, 2 * tile}, "neighbour": {blue, tile}} {
		if got := count[c.of]; got != c.want {
			t.Errorf("%s: %d pixels, want %d", name, got, c.want)
		}
	}
	// The frame, and some of the name's strokes.
	if got := count[color.RGBA{214, 40, 40, 255}]; got < border || got > border+1500 {
		t.Errorf("%d red pixels, want a frame of %d and a name", got, border)
	}
	if got := count[color.RGBA{196, 200, 205, 255}]; got != border {
		t.Errorf("%d grey pixels, want a frame of %d", got, border)
	}
}

func points() []figure.Point {
	return []figure.Point{{X: -1, Y: 0, Class: 0, Name: "a</script><b>.png"}, {X: 1, Y: 0, Class: 1, Name: "b.png"}, {X: 0, Y: 2, Class: 1, Name: "c.png"}}
}

func TestScatter(t *testing.T) {
	m, err := figure.Scatter(points(), figure.ScatterOptions{Title: "t", Classes: []string{"one", "two"}})
	if err != nil {
		t.Fatal(err)
	}
	colours := map[color.RGBA]bool{}
	for i := 0; i < len(m.Pix); i += 4 {
		colours[color.RGBA{m.Pix[i], m.Pix[i+1], m.Pix[i+2], 255}] = true
	}
	// 85 % of blue on white, 85 % of orange on white.
	for _, c := range []color.RGBA{{105, 141, 180, 255}, {244, 159, 75, 255}} {
		if !colours[c] {
			t.Errorf("no point is %v", c)
		}
	}
	if _, err := figure.Scatter(points()[:1], figure.ScatterOptions{}); err != nil {
		t.Errorf("one point: %v", err)
	}
}

// TestPageIsWhole: the page asks for nothing, and names cannot break out of it.
func TestPageIsWhole(t *testing.T) {
	var b bytes.Buffer
	thumbs := []figure.Picture{flat(0, "", color.RGBA{1, 2, 3, 255}), flat(1, "", color.RGBA{}), flat(1, "", color.RGBA{})}
	if err := figure.Page(&b, points(), thumbs, figure.ScatterOptions{Title: "<i>t", Classes: []string{"one", "two"}}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if n := strings.Count(text, "</script>"); n != 1 {
		t.Errorf("%d script ends", n)
	}
	if strings.Contains(text, "<i>t") {
		t.Error("the title is not escaped")
	}
	if m := regexp.MustCompile(`(?i)(https?:)?//[a-z]|src="|href=`).FindString(text); m != "" {
		t.Errorf("the page refers to %q", m)
	}
	if !strings.Contains(text, "data:image/jpeg;base64,") || !strings.Contains(text, `"b.png"`) {
		t.Error("thumbnails or names are missing")
	}
}
