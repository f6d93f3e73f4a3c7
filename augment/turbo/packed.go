//go:build cgo

package turbo

// #include "turbo.h"
import "C"

import (
	"encoding/binary"
	"unsafe"

	"resslt/augment"
	"resslt/schemas/errs"
)

// Packer packs JPEGs, for one goroutine. Close frees its C memory.
type Packer struct {
	c    *C.turbo_painter // owned; nil after Close
	size C.size_t
}

// NewPacker makes a packer.
func NewPacker() *Packer { return &Packer{c: C.turbo_new(C.TURBO_SCALAR)} }

// Pack re-codes a JPEG, without loss, in the form of package packed: what it decodes to,
// also in part, is what the JPEG decodes to. skeleton makes the part of the pack from which,
// with the coefficients, the file is restored. If the JPEG must stay as it is, pack is nil
// and why says so in a few words. The error is ErrUnavailable, or skeleton's.
func (p *Packer) Pack(jpeg []byte, skeleton func(jpeg []byte) ([]byte, error)) (pack []byte, why string, err error) {
	if p.c == nil {
		return nil, "", errs.New("pack", "a JPEG", "free some memory", errs.Because(errs.ErrUnavailable, "no memory for a packer"))
	}
	if len(jpeg) == 0 {
		return nil, "it is empty", nil
	}
	status := C.turbo_pack(p.c, bytesOf(jpeg), C.size_t(len(jpeg)), &p.size)
	switch status {
	case C.TURBO_OK:
	case C.TURBO_NO_MEMORY:
		return nil, "", errs.New("pack", "a JPEG", "free some memory", errs.Because(errs.ErrUnavailable, C.GoString(C.turbo_message(p.c))))
	default:
		return nil, C.GoString(C.turbo_message(p.c)), nil
	}
	bones, err := skeleton(jpeg)
	if err != nil {
		return nil, "", err
	}
	n := int(p.size)
	if n+len(bones) > 2*len(jpeg)+augment.PackedMargin {
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

// Close frees the packer's memory.
func (p *Packer) Close() error {
	C.turbo_free(p.c)
	p.c = nil
	return nil
}
