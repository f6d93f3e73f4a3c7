package raster

import (
	"fmt"

	"resslt/schemas/errs"
)

// Format is a format that this package decodes.
type Format uint8

// The formats; the zero value is none of them.
const (
	Unknown Format = iota
	BMP
	GIF
	PNM
	TIFF
)

// String is the format's name.
func (f Format) String() string { return [...]string{"unknown", "BMP", "GIF", "PNM", "TIFF"}[f] }

// Picture is a picture whose header has been read. It keeps the file's bytes.
type Picture interface {
	// Size is the picture's, both sides at least 1. It is the file's claim: check it
	// before memory is allocated for it.
	Size() (w, h int)
	// Decode writes the pixels to dst, (h, w, 3) uint8, RGB.
	Decode(dst []byte) error
}

// Sniff finds the format by the file's first bytes.
func Sniff(b []byte) Format {
	has := func(magic string) bool { return len(b) >= len(magic) && string(b[:len(magic)]) == magic }
	switch {
	case has("GIF87a"), has("GIF89a"):
		return GIF
	case has("BM") && len(b) >= bmpFileHeader+4 && bmpHeaderKnown(le32(b, bmpFileHeader)):
		return BMP
	case isDIB(b):
		return BMP
	case has("II*\x00"), has("MM\x00*"), has("II+\x00"), has("MM\x00+"):
		return TIFF
	case len(b) > 2 && b[0] == 'P' && '1' <= b[1] && b[1] <= '6' && (pnmSpace(b[2]) || b[2] == '#'):
		return PNM
	}
	return Unknown
}

// Open reads the header of a file of the format. Errors wrap errs.ErrCorrupt or
// errs.ErrUnsupported.
func Open(f Format, data []byte) (Picture, error) {
	var p Picture
	var err error
	switch f {
	case BMP:
		p, err = openBMP(data)
	case GIF:
		p, err = openGIF(data)
	case PNM:
		p, err = openPNM(data)
	case TIFF:
		p, err = openTIFF(data)
	default:
		return nil, unsupported("format %d", f)
	}
	if err != nil {
		return nil, err
	}
	if w, h := p.Size(); w < 1 || h < 1 || w > maxSide || h > maxSide {
		return nil, corrupt("%s of %d×%d pixels", f, w, h)
	}
	return p, nil
}

// maxSide keeps products of two sides and a few bytes far from overflow.
const maxSide = 1 << 24

func corrupt(format string, args ...any) error {
	return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, args...))
}

func unsupported(format string, args ...any) error {
	return errs.Because(errs.ErrUnsupported, fmt.Sprintf(format, args...))
}

// errCut is that of a file that ends too early.
var errCut = errs.Because(errs.ErrCorrupt, "the file is cut off")

func le16(b []byte, at int) uint32 { return uint32(b[at]) | uint32(b[at+1])<<8 }

func le32(b []byte, at int) uint32 { return le16(b, at) | le16(b, at+2)<<16 }

// palette maps indexes to colours.
type palette [256][3]byte

// fill maps a row of indexes to RGB.
func (p *palette) fill(dst, row []byte) {
	for i, v := range row {
		copy(dst[3*i:3*i+3], p[v][:])
	}
}

// spread takes n values of bits bits each (1, 2, 4 or 8) out of packed bytes, the upper
// bits first.
func spread(dst, packed []byte, bits int) {
	if bits == 8 {
		copy(dst, packed)
		return
	}
	mask, per := byte(1<<bits-1), 8/bits
	for i := range dst {
		dst[i] = packed[i/per] >> (8 - bits*(i%per+1)) & mask
	}
}
