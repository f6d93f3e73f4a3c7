package augment

import (
	"fmt"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// Decoder is the pure-Go decoder with its checks, for engines outside this
// package that bring a decoder of their own for some formats and want the same
// limits, the same messages and the same reading of all others. It belongs to
// one goroutine; the zero value is not usable.
type Decoder struct{ d decoder }

// NewDecoder makes a decoder that holds samples to the limits.
func NewDecoder(l Limits) *Decoder { return &Decoder{decoder{limits: l}} }

// Open is Painter's: size and limits, nothing decoded.
func (d *Decoder) Open(s *schemas.Sample) (w, h int, err error) { return d.d.Open(s) }

// Decode is Painter's: it makes the box's pixels of Image available.
func (d *Decoder) Decode(box Box) error { return d.d.Decode(box) }

// Image is the picture of which Decode filled a box. It is overwritten by the
// next Decode.
func (d *Decoder) Image() *Image { return &d.d.image }

// OpenJPEG says whether the sample is an encoded JPEG, by its first bytes, and
// makes it the one that Fail and CheckSize name. The error wraps ErrTooLarge
// for a file over the limit of bytes. A sample that is no JPEG goes to Open.
func (d *Decoder) OpenJPEG(s *schemas.Sample) (bool, error) {
	if s.Encoding != schemas.Encoded {
		return false, nil
	}
	if f, _ := sniff(s.Data); f != formatJPEG {
		return false, nil
	}
	d.d.sample = s
	if n := len(s.Data); n > d.d.limits.MaxBytes {
		return true, d.d.fail(hintCap, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over %d", n, d.d.limits.MaxBytes)))
	}
	return true, nil
}

// CheckSize holds a w×h picture to the limits: ErrCorrupt, ErrTooLarge or nil.
func (d *Decoder) CheckSize(w, h int) error { return d.d.checkSize(w, h) }

// Fail is the error of the opened sample with the cause, which wraps
// ErrCorrupt, ErrTooLarge, ErrUnsupported or ErrMismatch, and the hint that
// goes with it.
func (d *Decoder) Fail(sentinel error, detail string) error {
	hint := hintRemove
	switch sentinel {
	case errs.ErrTooLarge:
		hint = hintCap
	case errs.ErrUnsupported:
		hint = hintConvert
	case errs.ErrMismatch:
		hint = "draw the plans for this picture"
	case errs.ErrUnavailable:
		hint = "give the worker more memory, or run fewer workers"
	}
	return d.d.fail(hint, errs.Because(sentinel, detail))
}

// Within says whether the box is not empty and lies in a w×h picture.
func (b Box) Within(w, h int) bool { return b.within(w, h) }
