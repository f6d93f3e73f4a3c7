package packed

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"resslt/schemas/errs"
)

// Limits bound what a pack may ask for.
type Limits struct {
	MaxPixels int // width × height
	MaxBytes  int // of the JPEG
	MaxSide   int
}

func tooLarge(format string, args ...any) error {
	return errs.Because(errs.ErrTooLarge, fmt.Sprintf(format, args...))
}

// maxScans bounds the scans of a JPEG: each goes over all blocks, however few bytes it has.
const maxScans = 200

// join makes the JPEG, of so many bytes, of a skeleton and coefficients, in the memory of dst.
func (e *encoder) join(dst []byte, s *skeleton, c *Coefficients, size int) ([]byte, error) {
	h := header{data: s.header}
	done, scans := 0, 0
	e.bitWriter = bitWriter{out: dst[:0], most: size, pads: pads{s.pads}}
	e.planes, e.bad, e.full = c.Planes, false, false
	for {
		scan, err := h.next()
		if err != nil {
			return nil, err
		}
		if scan == nil {
			break
		}
		if scans++; scans > maxScans {
			return nil, tooLarge("more than %d scans", maxScans)
		}
		if scans == 1 {
			if err := c.fit(h.frame); err != nil {
				return nil, err
			}
			e.frame = h.frame
		}
		e.out = append(e.out, s.header[done:h.pos]...)
		done = h.pos
		if err := e.scan(scan); err != nil {
			return nil, err
		}
	}
	e.out = append(e.out, s.header[done:]...)
	if len(e.out) != size {
		return nil, corrupt("%d bytes, the file had %d", len(e.out), size)
	}
	return e.out, nil
}

// fit checks that the coefficients are of the frame.
func (c *Coefficients) fit(f *frame) error {
	if c.Width != f.width || c.Height != f.height || len(c.Planes) != len(f.components) {
		return corrupt("coefficients of a picture of %d×%d, %d components; the frame has %d×%d, %d",
			c.Width, c.Height, len(c.Planes), f.width, f.height, len(f.components))
	}
	for i := range c.Planes {
		if _, _, wide, high := f.size(i); c.Planes[i].Wide != wide || c.Planes[i].High != high {
			return corrupt("component %d has %d×%d blocks, %d×%d by its frame", i, c.Planes[i].Wide, c.Planes[i].High, wide, high)
		}
	}
	return nil
}

// Restorer makes JPEGs of packs. It belongs to one goroutine, and reuses its memory; the
// zero value is ready.
type Restorer struct {
	skeleton     skeleton
	cut          skeleton // while one is made
	coefficients Coefficients
	encoder      encoder
	out          []byte
}

// rebuild is the JPEG, of so many bytes, of a skeleton and r.coefficients, in the memory of
// the Restorer.
func (r *Restorer) rebuild(skeleton []byte, size int) ([]byte, error) {
	if err := r.skeleton.parse(skeleton, size); err != nil {
		return nil, err
	}
	out, err := r.encoder.join(r.out, &r.skeleton, &r.coefficients, size)
	if err != nil {
		return nil, err
	}
	r.out = out
	return out, nil
}

// restore is rebuild, checked: the JPEG is the one that was packed.
func (r *Restorer) restore(skeleton []byte, size int) ([]byte, error) {
	out, err := r.rebuild(skeleton, size)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(out); [sumBytes]byte(sum[:]) != r.skeleton.sum {
		return nil, corrupt("the JPEG's SHA-256 begins with %x, that of the packed one with %x", sum[:sumBytes], r.skeleton.sum)
	}
	return out, nil
}

// bind makes the skeleton of jpeg behind dst, and proves that it and r.coefficients make
// jpeg again; or says why they don't.
func (r *Restorer) bind(dst, jpeg []byte) (out []byte, why string) {
	for _, keepPads := range []bool{false, true} {
		s := &r.cut
		if err := s.cut(jpeg, keepPads); err != nil {
			return nil, whyMarkers
		}
		if keepPads && samePads(s.pads) {
			s.pads = s.pads[:1]
		}
		out := s.append(dst)
		if again, err := r.rebuild(out[len(dst):], len(jpeg)); err == nil && bytes.Equal(again, jpeg) {
			return out, ""
		}
	}
	return nil, whyBytes
}

func samePads(b []byte) bool {
	for _, p := range b {
		if p != b[0] {
			return false
		}
	}
	return len(b) > 0
}
