//go:build cgo

package turbo

/*
#cgo CFLAGS: -std=c11 -O3 -Wall
#cgo LDFLAGS: -ljpeg -lm
#include "turbo.h"
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"

	"resslt/augment"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// rank puts the engine before gift (10) and ref (0).
const rank = 20

// chosen is the engine of this process.
var chosen = newEngine(os.Getenv(tierVariable))

func init() {
	for _, f := range []augment.Formats{augment.AllFormats, augment.PackedFormats, augment.FirstFormats} {
		e := chosen
		e.formats = f
		augment.RegisterEngine(rank, e)
	}
}

// engine is the engine of one tier. If it has an err, its painters open nothing.
type engine struct {
	tier    tier
	err     error // of the tier that was asked for
	formats augment.Formats
}

func newEngine(tierName string) engine {
	t, err := chooseTier(tierName)
	return engine{tier: t, err: err}
}

// Name is the engine's name and version, as run specs hold it. Every tier and
// architecture gives the same bytes, so that none is part of the name.
func (e engine) Name() string { return "turbo/" + e.formats.Version() }

// Check checks that this CPU and build have the tier that RESSLT_TIER asks for. The error
// wraps errs.ErrUsage.
func (e engine) Check() error { return e.err }

// Kernels names the tier.
func (e engine) Kernels() string { return e.tier.String() }

// NewPainter makes a painter, which must be closed to free its C memory.
func (e engine) NewPainter(l augment.Limits) augment.Painter {
	return &painter{c: C.turbo_new(C.int(e.tier)), other: augment.NewDecoder(l, e.formats), err: e.err}
}

// painter implements augment.Painter. JPEG, packed or not, is decoded by C; everything else
// by other, and copied.
type painter struct {
	c      *C.turbo_painter // owned; nil after Close
	err    error            // the engine's
	other  *augment.Decoder
	sample *schemas.Sample
	jpeg   bool // of the sample
	packed bool
	w, h   int
	size   [2]C.int32_t // turbo_open's results, and
	crop   C.turbo_crop // turbo_paint's argument, here to save an allocation

	profile *profile // nil: nothing is accounted for
}

// Open reads the size and checks the limits; see augment.Painter.
func (p *painter) Open(s *schemas.Sample) (w, h int, err error) {
	if p.profile != nil {
		defer timed(&p.profile.open)()
	}
	p.sample, p.w, p.h = s, 0, 0
	if p.err != nil {
		return 0, 0, p.err
	}
	if p.jpeg, err = p.other.OpenJPEG(s); err != nil {
		return 0, 0, err
	}
	if p.packed, err = p.other.OpenPacked(s); err != nil {
		return 0, 0, err
	}
	if p.jpeg || p.packed {
		if p.c == nil {
			return 0, 0, p.other.Fail(errs.ErrUnavailable, "no memory for a painter")
		}
		if status := p.openC(s.Data); status != C.TURBO_OK {
			return 0, 0, p.fail(status)
		}
		w, h = int(p.size[0]), int(p.size[1])
		err = p.other.CheckSize(w, h)
	} else {
		w, h, err = p.other.Open(s)
	}
	if err != nil {
		return 0, 0, err
	}
	p.w, p.h = w, h
	return w, h, nil
}

// openC reads the header of a JPEG or a pack into p.size.
func (p *painter) openC(data []byte) C.int {
	if p.packed {
		return C.turbo_open_packed(p.c, bytesOf(data), C.size_t(len(data)), &p.size[0], &p.size[1])
	}
	return C.turbo_open(p.c, bytesOf(data), C.size_t(len(data)), &p.size[0], &p.size[1])
}

// Decode decodes the box; see augment.Painter.
func (p *painter) Decode(box augment.Box) error {
	if p.profile != nil {
		defer timed(&p.profile.decode)()
	}
	if !box.Within(p.w, p.h) {
		return p.other.Fail(errs.ErrMismatch, fmt.Sprintf("box %+v of %d×%d", box, p.w, p.h))
	}
	if p.c == nil {
		return p.other.Fail(errs.ErrUnavailable, "no memory for a painter")
	}
	x, y, w, h := C.int32_t(box.X), C.int32_t(box.Y), C.int32_t(box.W), C.int32_t(box.H)
	switch data := p.sample.Data; {
	case p.packed:
		return p.fail(C.turbo_decode_packed(p.c, bytesOf(data), C.size_t(len(data)), x, y, w, h))
	case p.jpeg:
		return p.fail(C.turbo_decode(p.c, bytesOf(data), C.size_t(len(data)), x, y, w, h))
	}
	pix, channels := p.sample.Data, 3
	switch p.sample.Encoding {
	case schemas.RawRGB:
	case schemas.RawGray:
		channels = 1
	default:
		if err := p.other.Decode(box); err != nil {
			return err
		}
		pix = p.other.Image().Pix
	}
	return p.fail(C.turbo_load(p.c, bytesOf(pix), C.size_t(channels*p.w), C.int32_t(channels), x, y, w, h))
}

// Paint renders the plan into dst; see augment.Painter.
func (p *painter) Paint(plan *augment.Plan, dst []byte) error {
	if p.c == nil || len(dst) != 3*plan.Size*plan.Size {
		return p.other.Fail(errs.ErrMismatch, fmt.Sprintf("%d bytes for a view of %d×%d", len(dst), plan.Size, plan.Size))
	}
	part, window := plan.Source(), plan.Window
	if window == (augment.Window{}) {
		window = augment.Window{W: plan.Size, H: plan.Size}
	}
	p.crop = C.turbo_crop{
		x: C.int32_t(part.X), y: C.int32_t(part.Y), w: C.int32_t(part.W), h: C.int32_t(part.H),
		box_w: C.int32_t(plan.Box.W), box_h: C.int32_t(plan.Box.H), out_w: C.int32_t(window.W), out_h: C.int32_t(window.H),
		left: C.int32_t(window.X), top: C.int32_t(window.Y), size: C.int32_t(plan.Size),
	}
	if plan.Filter == augment.Bicubic {
		p.crop.bicubic = 1
	}
	if plan.VerticalFirst() {
		p.crop.vertical_first = 1
	}
	return p.fail(C.turbo_paint(p.c, &p.crop, (*C.turbo_step)(unsafe.Pointer(unsafe.SliceData(plan.Steps))), C.int32_t(len(plan.Steps)), bytesOf(dst)))
}

// Close frees the painter's memory.
func (p *painter) Close() error {
	C.turbo_free(p.c)
	p.c = nil
	return nil
}

// C reads augment.Step in place.
const _ = uint(unsafe.Sizeof(augment.Step{})-C.sizeof_turbo_step) + uint(C.sizeof_turbo_step-unsafe.Sizeof(augment.Step{}))

// fail is the error for the last call's status; nil for TURBO_OK.
func (p *painter) fail(status C.int) error {
	var sentinel error
	switch status {
	case C.TURBO_OK:
		return nil
	case C.TURBO_UNSUPPORTED:
		sentinel = errs.ErrUnsupported
	case C.TURBO_TOO_LARGE:
		sentinel = errs.ErrTooLarge
	case C.TURBO_NO_MEMORY:
		sentinel = errs.ErrUnavailable
	case C.TURBO_CORRUPT:
		sentinel = errs.ErrCorrupt
	default: // a status that says nothing of the sample never blames it
		sentinel = errs.ErrMismatch
	}
	return p.other.Fail(sentinel, C.GoString(C.turbo_message(p.c)))
}

func bytesOf(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))) }
