package augment

import (
	"errors"
	"fmt"

	"resslt/augment/packed"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Decoder is the pure-Go decoder with its checks, for engines in other packages that
// have a decoder of their own for some formats and need the same limits and messages,
// and the same pixels of all other formats. It belongs to one goroutine; the zero value
// is not usable.
type Decoder struct{ d decoder }

// NewDecoder makes a decoder of the formats that refuses samples over the limits.
func NewDecoder(l Limits, f Formats) *Decoder { return &Decoder{decoder{limits: l, formats: f}} }

// Open is Painter's: it reads the size and checks the limits.
func (d *Decoder) Open(s *schemas.Sample) (w, h int, err error) { return d.d.Open(s) }

// Decode is Painter's: it decodes the box of Image.
func (d *Decoder) Decode(box Box) error { return d.d.Decode(box) }

// Image is the picture whose box Decode decoded. The next Decode overwrites it.
func (d *Decoder) Image() *Image { return &d.d.image }

// OpenJPEG reports whether the sample is an encoded JPEG, by its first bytes; it is then
// the one that Fail and CheckSize name. The error wraps ErrTooLarge for a file over the
// limit of bytes. Samples that are no JPEG must go to Open.
func (d *Decoder) OpenJPEG(s *schemas.Sample) (bool, error) {
	if s.Encoding != schemas.Encoded {
		return false, nil
	}
	if f, _ := formatOf(s.Data); f != formatJPEG {
		return false, nil
	}
	d.d.sample = s
	if n := len(s.Data); n > d.d.limits.MaxBytes {
		return true, d.d.fail(hintCap, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over %d", n, d.d.limits.MaxBytes)))
	}
	return true, nil
}

// OpenPacked is OpenJPEG for packed JPEGs. The error says nothing of the sample, but of the
// engine, where its version does not decode them.
func (d *Decoder) OpenPacked(s *schemas.Sample) (bool, error) {
	if s.Encoding != schemas.Encoded || !packed.Is(s.Data) {
		return false, nil
	}
	d.d.sample = s
	return true, d.d.checkPacked()
}

// CheckSize checks a w×h picture against the limits: ErrCorrupt, ErrTooLarge or nil.
func (d *Decoder) CheckSize(w, h int) error { return d.d.checkSize(w, h) }

// Fail is the error of the opened sample, with the sentinel's hint: a schemas.BadSample
// for ErrCorrupt, ErrTooLarge and ErrUnsupported, which say that the bytes are at fault. Any
// other sentinel says that something else is.
func (d *Decoder) Fail(sentinel error, detail string) error {
	reason := errs.Because(sentinel, detail)
	switch {
	case errors.Is(sentinel, errs.ErrCorrupt):
		return d.d.fail(hintRemove, reason)
	case errors.Is(sentinel, errs.ErrTooLarge):
		return d.d.fail(hintCap, reason)
	case errors.Is(sentinel, errs.ErrUnsupported):
		return d.d.fail(hintConvert, reason)
	case errors.Is(sentinel, errs.ErrUnavailable):
		return d.d.fault("give the worker more memory, or run fewer workers", reason)
	}
	return d.d.fault("draw the plans for this picture", reason)
}

// Within reports whether the box is not empty and inside a w×h picture.
func (b Box) Within(w, h int) bool { return b.within(w, h) }
