package augment

import (
	"encoding/binary"
	"errors"
	"fmt"

	"resslt/augment/packed"
	"resslt/schemas/errs"
)

// PackedMargin is by how much a pack may be larger than twice its JPEG. What would be larger
// stays a JPEG.
const PackedMargin = 1024

// checkPacked checks that the engine decodes packed JPEGs, and the limit of bytes, which
// is that of the JPEG: whether a sample is packed must not decide whether it is refused.
func (d *decoder) checkPacked() error {
	const jpegBytes = 24 // where its length is in a pack
	b := d.sample.Data
	switch {
	case d.formats != PackedFormats:
		return d.fault("begin the run with the engine of packed data: give no engine, or its version "+PackedFormats.Version(),
			errs.Because(errs.ErrMismatch, "it is a packed JPEG, which version "+d.formats.Version()+" of the engine does not decode"))
	case len(b) < jpegBytes+4:
		return d.fail(hintRemove, errs.Because(errs.ErrCorrupt, "a packed JPEG that is cut off in its header"))
	}
	most := uint64(d.limits.MaxBytes)
	if n := uint64(binary.LittleEndian.Uint32(b[jpegBytes:])); n > most || uint64(len(b)) > 2*most+PackedMargin {
		return d.fail(hintCap, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over %d", n, most)))
	}
	return nil
}

// openPacked restores a packed JPEG, and opens it as one: the pure-Go engines have the pixels
// of their own JPEG decoder, packed or not.
func (d *decoder) openPacked() (w, h int, err error) {
	if err := d.checkPacked(); err != nil {
		return 0, 0, err
	}
	l := d.limits
	jpeg, err := d.restorer.Restore(d.sample.Data, packed.Limits{MaxPixels: l.MaxPixels, MaxBytes: l.MaxBytes, MaxSide: l.MaxSide})
	switch {
	case errors.Is(err, errs.ErrTooLarge):
		return 0, 0, d.fail(hintCap, err)
	case err != nil:
		return 0, 0, d.fail(hintRemove, err)
	}
	d.restored, d.format = jpeg, formatJPEG
	return d.configJPEG()
}
