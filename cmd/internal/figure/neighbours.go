package figure

import (
	"fmt"
	"image"
	"image/color"

	xdraw "golang.org/x/image/draw"
)

// Picture is an image and its class.
type Picture struct {
	Pixels []byte // (Size,Size,3) uint8, HWC, RGB
	Size   int
	Class  int    // -1: not known
	Name   string // of the class, or of the image
	ID     int64  // of the sample; Keep's alone
	Cosine float64
}

// Row is a query and its nearest images, nearest first.
type Row struct {
	Query Picture
	Near  []Picture
}

// Block is a heading with rows.
type Block struct {
	Heading string
	Rows    []Row
}

// Geometry of a sheet, in pixels.
const (
	tile    = 112 // a picture's side
	border  = 4   // of its frame
	gap     = 10
	caption = 20
	heading = 40
	edge    = 24
)

// Neighbours draws blocks of queries with their nearest images on the right. If an
// image's class differs from its query's, its frame and name are red, as in Figure 2.
func Neighbours(blocks []Block) (*image.RGBA, error) {
	text, err := newTypeface(13, false)
	if err != nil {
		return nil, err
	}
	bold, err := newTypeface(18, true)
	if err != nil {
		return nil, err
	}
	columns, h := 0, 2*edge
	for _, b := range blocks {
		h += heading + len(b.Rows)*(tile+2*border+caption+gap)
		for _, r := range b.Rows {
			columns = max(columns, len(r.Near))
		}
	}
	step := tile + 2*border + gap
	m := image.NewRGBA(image.Rect(0, 0, 2*edge+(columns+1)*step+gap, h))
	fill(m, m.Rect, paper)
	y := edge
	for _, b := range blocks {
		wrongs, all := 0, 0
		for _, r := range b.Rows {
			for _, n := range r.Near {
				if r.Query.Class >= 0 && n.Class >= 0 {
					all++
				}
				if another(n, r.Query) {
					wrongs++
				}
			}
		}
		bold.write(m, edge, y+24, b.Heading, ink)
		if all > 0 {
			text.write(m, edge+bold.width(b.Heading)+14, y+24, fmt.Sprintf("%d of %d neighbours are of another class", wrongs, all), faint)
		}
		y += heading
		for _, r := range b.Rows {
			place(m, text, edge, y, r.Query, ink, ink)
			for i, n := range r.Near {
				frame, name := right, faint
				switch {
				case another(n, r.Query):
					frame, name = wrong, wrong
				case n.Class < 0:
					frame = faint
				}
				place(m, text, edge+(i+1)*step+gap, y, n, frame, name)
			}
			y += tile + 2*border + caption + gap
		}
	}
	return m, nil
}

// another reports whether two pictures are known to be of different classes.
func another(a, b Picture) bool { return a.Class >= 0 && b.Class >= 0 && a.Class != b.Class }

// place draws a picture in a frame at (x,y), with its class below.
func place(m *image.RGBA, text typeface, x, y int, p Picture, frame, name color.Color) {
	fill(m, image.Rect(x, y, x+tile+2*border, y+tile+2*border), frame)
	scale(m, image.Rect(x+border, y+border, x+border+tile, y+border+tile), p)
	text.write(m, x, y+tile+2*border+15, text.fit(p.Name, tile+2*border), name)
}

// scale draws a picture into a rectangle, resampled by a bicubic filter.
func scale(m xdraw.Image, r image.Rectangle, p Picture) {
	src := image.NewRGBA(image.Rect(0, 0, p.Size, p.Size))
	for i, j := 0, 0; j < len(p.Pixels); i, j = i+4, j+3 {
		src.Pix[i], src.Pix[i+1], src.Pix[i+2], src.Pix[i+3] = p.Pixels[j], p.Pixels[j+1], p.Pixels[j+2], 255
	}
	xdraw.CatmullRom.Scale(m, r, src, src.Rect, xdraw.Src, nil)
}
