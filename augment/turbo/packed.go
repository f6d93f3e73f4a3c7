//go:build cgo

package turbo

// #include "turbo.h"
import "C"

import (
	"encoding/binary"
	"unsafe"

	"resslt/augment"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// Packer packs JPEGs, for one goroutine. Close frees its C memory.
type Packer struct {
	c     *C.turbo_painter // owned; nil after Close
	check *C.turbo_painter // of Same, owned; nil until then
	size  [2]C.int32_t     // of a picture
	bytes C.size_t
}

// NewPacker makes a packer.
func NewPacker() *Packer { return &Packer{c: C.turbo_new(C.TURBO_SCALAR)} }

// Pack re-codes a JPEG, without loss, in the form of package packed: what it decodes to,
// also in part, is what the JPEG decodes to. skeleton makes the part of the pack from which,
// with the coefficients, the file is restored; nil makes none. A JPEG over augment.DefaultLimits stays one. If the JPEG must stay as it is, pack is nil
// and why says so in a few words. The error is ErrUnavailable, or skeleton's.
func (p *Packer) Pack(jpeg []byte, skeleton func(jpeg []byte) ([]byte, error)) (pack []byte, why string, err error) {
	if p.c == nil {
		return nil, "", noMemory("no memory for a packer")
	}
	if len(jpeg) == 0 {
		return nil, "it is empty", nil
	}
	status := C.turbo_pack(p.c, bytesOf(jpeg), C.size_t(len(jpeg)), C.int64_t(augment.DefaultLimits.MaxPixels), &p.bytes)
	switch status {
	case C.TURBO_OK:
	case C.TURBO_NO_MEMORY:
		return nil, "", noMemory(C.GoString(C.turbo_message(p.c)))
	default:
		return nil, C.GoString(C.turbo_message(p.c)), nil
	}
	var bones []byte
	if skeleton != nil {
		if bones, err = skeleton(jpeg); err != nil {
			return nil, "", err
		}
	}
	n := int(p.bytes)
	if int64(n+len(bones)) > sniff.MostPacked(int64(len(jpeg))) {
		return nil, "as a pack it is more than twice as large", nil
	}
	pack = make([]byte, n+len(bones))
	copy(pack, unsafe.Slice((*byte)(unsafe.Pointer(C.turbo_packed(p.c))), n))
	copy(pack[n:], bones)
	binary.LittleEndian.PutUint32(pack[packedSkeletonBytes:], uint32(len(bones)))
	return pack, "", nil
}

// packedSkeletonBytes is where a pack has the length of its skeleton.
const packedSkeletonBytes = 20

// Same reports whether a pack, decoded with the best kernels of this CPU, has the pixels of
// the JPEG: all of them. The error is ErrUnavailable, or ErrCorrupt where one of them can't be
// decoded.
func (p *Packer) Same(pack, jpeg []byte) (bool, error) {
	if p.check == nil {
		best := tiers()
		p.check = C.turbo_new(C.int(best[len(best)-1]))
	}
	if p.c == nil || p.check == nil {
		return false, noMemory("no memory for a painter")
	}
	w, h := &p.size[0], &p.size[1]
	data, n := bytesOf(jpeg), C.size_t(len(jpeg))
	status, at := C.turbo_open(p.c, data, n, w, h), p.c
	if status == C.TURBO_OK {
		status = C.turbo_decode(p.c, data, n, 0, 0, *w, *h)
	}
	if status == C.TURBO_OK {
		data, n, at = bytesOf(pack), C.size_t(len(pack)), p.check
		status = C.turbo_open_packed(p.check, data, n, w, h)
	}
	if status == C.TURBO_OK {
		status = C.turbo_decode_packed(p.check, data, n, 0, 0, *w, *h)
	}
	switch status {
	case C.TURBO_OK:
		return C.turbo_same(p.c, p.check) != 0, nil
	case C.TURBO_NO_MEMORY:
		return false, noMemory(C.GoString(C.turbo_message(at)))
	}
	return false, errs.New("compare", "a packed JPEG", "keep the JPEG", errs.Because(errs.ErrCorrupt, C.GoString(C.turbo_message(at))))
}

func noMemory(what string) error {
	return errs.New("pack", "a JPEG", "free some memory", errs.Because(errs.ErrUnavailable, what))
}

// Close frees the packer's memory.
func (p *Packer) Close() error {
	C.turbo_free(p.c)
	C.turbo_free(p.check)
	p.c, p.check = nil, nil
	return nil
}
