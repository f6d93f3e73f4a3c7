package augment

import (
	"errors"
	"fmt"

	"resslt/augment/packed"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// checkPacked checks that the engine decodes packed JPEGs, and the limit of bytes, which
// is that of the JPEG: whether a sample is packed must not decide whether it is refused.
func (d *decoder) checkPacked() error {
	b := d.sample.Data
	switch {
	case d.formats != PackedFormats:
		return d.fault("begin the run with the engine of packed data: give no engine, or its version "+PackedFormats.Version(),
			errs.Because(errs.ErrMismatch, "it is a packed JPEG, which version "+d.formats.Version()+" of the engine does not decode"))
	case len(b) < packed.HeaderBytes:
		return d.fail(hintRemove, errs.Because(errs.ErrCorrupt, "a packed JPEG that is cut off in its header"))
	}
	most := d.limits.MaxBytes
	if n := packed.JPEGBytes(b); n > most || int64(len(b)) > sniff.MostPacked(int64(most)) {
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
	jpeg, err := d.restorer.Restore(d.sample.Data, packed.Limits(d.limits))
	switch {
	case errors.Is(err, errs.ErrTooLarge):
		return 0, 0, d.fail(hintCap, err)
	case err != nil:
		return 0, 0, d.fail(hintRemove, err)
	}
	d.restored, d.format = jpeg, formatJPEG
	return d.configJPEG()
}
