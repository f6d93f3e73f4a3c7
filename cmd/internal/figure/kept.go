package figure

import (
	"bytes"
	"image"
	"image/png"
)

// Kept is a picture as a file has it, small.
type Kept struct {
	ID     int64   `json:"id"`    // of the sample, in its split
	Class  int     `json:"class"` // -1: not known
	Name   string  `json:"name"`  // of the class, or of the image
	Cosine float64 `json:"cosine,omitempty"`
	PNG    []byte  `json:"png"`
}

// KeptRow is a row of neighbours as a file has it.
type KeptRow struct {
	Query Kept   `json:"query"`
	Near  []Kept `json:"near"` // nearest first
}

// keptSide bounds the side of a kept picture, pixels.
const keptSide = 64

// Keep makes rows small enough to keep one for every score of a run, 2 to 8 kB a picture.
func Keep(rows []Row) ([]KeptRow, error) {
	out := make([]KeptRow, len(rows))
	for i, r := range rows {
		var err error
		if out[i].Query, err = keep(&r.Query); err != nil {
			return nil, err
		}
		for k := range r.Near {
			near, err := keep(&r.Near[k])
			if err != nil {
				return nil, err
			}
			out[i].Near = append(out[i].Near, near)
		}
	}
	return out, nil
}

func keep(p *Picture) (Kept, error) {
	side := min(p.Size, keptSide)
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	scale(m, m.Rect, *p)
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return Kept{ID: p.ID, Class: p.Class, Name: p.Name, Cosine: p.Cosine, PNG: b.Bytes()}, err
}
