package packing

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"sync"

	"resslt/augment"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Shrink makes large pictures smaller, with loss: a picture whose longer side is over MaxSide
// is resized to it, as Pillow does with BICUBIC, and becomes a JPEG of Quality (4:2:0, without
// metadata). The others, and those that can't be decoded, stay as they are. It is safe for
// concurrent use.
type Shrink struct {
	MaxSide int
	Quality int // 1 to 100

	mu     sync.Mutex
	report ShrinkReport // guarded by mu
}

// ShrinkReport is what a Shrink has done.
type ShrinkReport struct {
	MaxSide     int   `json:"max_side"`
	Quality     int   `json:"quality"`
	Shrunk      int64 `json:"shrunk"`
	Kept        int64 `json:"kept"`      // small enough
	Undecodable int64 `json:"undecoded"` // kept, too
	BytesBefore int64 `json:"bytes_before"`
	BytesAfter  int64 `json:"bytes_after"` // of the shrunk ones
}

// Validate checks the fields. The error wraps ErrUsage.
func (s *Shrink) Validate() error {
	if s.MaxSide < 16 || s.Quality < 1 || s.Quality > 100 {
		return errs.New("shrink pictures", fmt.Sprintf("--max-side %d --quality %d", s.MaxSide, s.Quality), "give a side of 16 pixels or more, and a quality from 1 to 100",
			errs.Because(errs.ErrUsage, "out of range"))
	}
	return nil
}

// Report counts what was done so far.
func (s *Shrink) Report() ShrinkReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	r.MaxSide, r.Quality = s.MaxSide, s.Quality
	return r
}

// Recoder makes a Recoder for one goroutine. What it makes goes on to that of then, if that
// is not nil.
func (s *Shrink) Recoder(then func() (ingest.Recoder, error)) func() (ingest.Recoder, error) {
	return func() (ingest.Recoder, error) {
		next, err := chain(then)
		if err != nil {
			return nil, err
		}
		return &shrinker{chained: next, s: s, painter: augment.PackedEngine(augment.DefaultEngine()).NewPainter(augment.DefaultLimits)}, nil
	}
}

type shrinker struct {
	chained
	s       *Shrink
	painter augment.Painter
	tile    []byte
}

// Recode is an ingest.Recoder's.
func (r *shrinker) Recode(name string, file []byte) (ingest.Recoded, error) {
	small, err := r.shrink(name, file)
	bad := schemas.AsBadSample(err) != nil
	if err != nil && !bad {
		return ingest.Recoded{}, err
	}
	r.s.mu.Lock()
	n := &r.s.report
	switch {
	case bad:
		n.Undecodable++
	case small == nil:
		n.Kept++
	default:
		n.Shrunk++
		n.BytesBefore += int64(len(file))
		n.BytesAfter += int64(len(small))
	}
	r.s.mu.Unlock()
	return r.pass(name, small, file)
}

// shrink is the smaller picture; nil for one that is small enough.
func (r *shrinker) shrink(name string, file []byte) ([]byte, error) {
	w, h, err := r.painter.Open(&schemas.Sample{Key: name, Encoding: schemas.Encoded, Data: file})
	if err != nil {
		return nil, err
	}
	most := r.s.MaxSide
	if max(w, h) <= most {
		return nil, nil
	}
	if err := r.painter.Decode(augment.Box{W: w, H: h}); err != nil {
		return nil, err
	}
	long := max(w, h)
	sw, sh := max((w*most+long/2)/long, 1), max((h*most+long/2)/long, 1)
	m := image.NewRGBA(image.Rect(0, 0, sw, sh))
	// Painters give squares: the picture is put together from windows of the resized one.
	const mostTile = 512
	side := min(sw, sh, mostTile)
	plan := augment.Plan{Size: side, SrcW: w, SrcH: h, Box: augment.Box{W: w, H: h}, Filter: augment.Bicubic}
	if n := 3 * side * side; cap(r.tile) < n {
		r.tile = make([]byte, n)
	}
	tile := r.tile[:3*side*side]
	for y := range starts(sh, side) {
		for x := range starts(sw, side) {
			plan.Window = augment.Window{W: sw, H: sh, X: x, Y: y}
			if err := r.painter.Paint(&plan, tile); err != nil {
				return nil, err
			}
			for v := range side {
				opaque(m.Pix[m.PixOffset(x, y+v):], tile[3*side*v:3*side*(v+1)])
			}
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: r.s.Quality}); err != nil {
		return nil, errs.New("shrink", name, "", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	return b.Bytes(), nil
}

// starts are where pieces of length s begin that cover n ≥ s.
func starts(n, s int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for at := 0; ; at += s {
			if at+s >= n {
				yield(n - s)
				return
			}
			if !yield(at) {
				return
			}
		}
	}
}

// Close is an ingest.Recoder's.
func (r *shrinker) Close() error {
	return errors.Join(r.painter.Close(), r.chained.Close())
}
