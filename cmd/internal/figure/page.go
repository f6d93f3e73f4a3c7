package figure

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"io"
	"math"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// thumb is the side of a thumbnail on the page, in pixels.
const thumb = 32

// MaxThumbnails bounds a page's size: each thumbnail takes about 600 bytes.
const MaxThumbnails = 10_000

// pageData is the content of page.html. Coordinates are integers, 0 to 10,000, y down.
type pageData struct {
	Title, Caption string
	X, Y, Class    []int
	Names          []string
	Classes        []pageClass
	Sprite         template.URL // JPEG of all thumbnails, row by row, or empty
	Columns, Thumb int
}

type pageClass struct {
	Name, Colour string
}

// Page writes the points as a self-contained HTML page: hovering or touching shows the
// image, its class and its name; the legend hides and shows classes. There is a thumbnail
// for each point, or thumbnails is nil.
func Page(w io.Writer, points []Point, thumbnails []Picture, o ScatterOptions) error {
	d := pageData{Title: o.Title, Caption: o.Caption, Thumb: thumb}
	n := classCount(points)
	place := frameOf(points, 10_000)
	for _, p := range points {
		x, y := place(p)
		d.X, d.Y = append(d.X, int(math.Round(x))), append(d.Y, int(math.Round(y)))
		d.Class, d.Names = append(d.Class, p.Class), append(d.Names, p.Name)
	}
	for c := range n {
		k := classColour(c, n)
		d.Classes = append(d.Classes, pageClass{o.class(c), fmt.Sprintf("#%02x%02x%02x", k.R, k.G, k.B)})
	}
	if len(thumbnails) == len(points) && len(points) <= MaxThumbnails {
		d.Columns = int(math.Ceil(math.Sqrt(float64(len(points)))))
		sprite, err := spriteOf(thumbnails, d.Columns)
		if err != nil {
			return err
		}
		d.Sprite = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(sprite))
	}
	return page.Execute(w, d)
}

// spriteOf is a JPEG with all thumbnails.
func spriteOf(pictures []Picture, columns int) ([]byte, error) {
	rows := (len(pictures) + columns - 1) / columns
	m := image.NewRGBA(image.Rect(0, 0, columns*thumb, rows*thumb))
	for i, p := range pictures {
		x, y := i%columns*thumb, i/columns*thumb
		scale(m, image.Rect(x, y, x+thumb, y+thumb), p)
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 80})
	return b.Bytes(), err
}
