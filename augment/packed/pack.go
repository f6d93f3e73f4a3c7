package packed

import (
	"encoding/binary"

	"resslt/schemas/sniff"
)

// Reasons of Seal.
const (
	whyMarkers = "its markers are not those of a JPEG with one frame"
	whyBytes   = "the same coefficients give other bytes"
	whyLarge   = "as a pack it is more than twice as large"
)

// Seal puts the skeleton of jpeg behind its coefficients, a pack without a skeleton, and
// proves that Restore makes jpeg again, byte for byte. Where it doesn't, why says so in a
// few words, and the file stays a JPEG. The result has memory of its own. An error says
// that the coefficients are no pack.
func (r *Restorer) Seal(coefficients, jpeg []byte) (pack []byte, why string, err error) {
	var l layout
	if int64(len(coefficients)) > sniff.MostPacked(int64(len(jpeg))) {
		return nil, whyLarge, nil
	}
	if err := l.parse(coefficients); err != nil {
		return nil, "", err
	}
	if l.jpeg != len(jpeg) {
		return nil, "", corrupt("coefficients of a JPEG of %d bytes, not %d", l.jpeg, len(jpeg))
	}
	if err := r.coefficients.read(&l); err != nil {
		return nil, "", err
	}
	out := make([]byte, l.body, l.body+len(jpeg)/16+1024)
	copy(out, coefficients)
	if out, why = r.bind(out, jpeg); why != "" {
		return nil, why, nil
	}
	if int64(len(out)) > sniff.MostPacked(int64(len(jpeg))) {
		return nil, whyLarge, nil
	}
	binary.LittleEndian.PutUint32(out[skeletonSize:], uint32(len(out)-l.body))
	return out, "", nil
}

// Restore makes the JPEG of a pack: the bytes that were packed. They are the Restorer's,
// until its next call. The error wraps ErrCorrupt, or ErrTooLarge over the limits.
func (r *Restorer) Restore(pack []byte, limits Limits) ([]byte, error) {
	w, h, ok := Size(pack)
	if ok && (w > limits.MaxSide || h > limits.MaxSide || w*h > limits.MaxPixels) {
		return nil, tooLarge("%d×%d pixels", w, h)
	}
	if n := JPEGBytes(pack); n > limits.MaxBytes {
		return nil, tooLarge("a JPEG of %d bytes, over %d", n, limits.MaxBytes)
	}
	var l layout
	if err := l.parse(pack); err != nil {
		return nil, err
	}
	if err := r.coefficients.read(&l); err != nil {
		return nil, err
	}
	return r.restore(l.skeleton, l.jpeg)
}
