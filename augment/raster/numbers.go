package raster

import (
	"math"
	"slices"
)

// Sample formats of a TIFF.
const (
	formatUnsigned = 1
	formatSigned   = 2
	formatFloat    = 3
)

// maxBands bounds the bands of a picture that is read as numbers.
const maxBands = 256

// Numbers is a TIFF's first page as the numbers that are stored, whatever they measure: any
// number of bands, of 8, 16 or 32 bits with or without sign, or floating-point. Decoding has no
// use for them (Open): which bands are to be colours, and which range is to be seen, the file
// does not say.
type Numbers struct {
	t      *tiff
	format int
}

// OpenNumbers reads the header of a TIFF. Errors wrap errs.ErrCorrupt or errs.ErrUnsupported.
func OpenNumbers(b []byte) (*Numbers, error) {
	t, dir, err := openTIFFHeader(b)
	if err != nil {
		return nil, err
	}
	n := &Numbers{t: t}
	for _, step := range []func(tiffFields) error{t.readShape, n.readSamples, t.readCompression, n.readColors, n.checkPredictor, t.readBlocks} {
		if err := step(dir); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Numbers) readSamples(f tiffFields) error {
	t := n.t
	sizes, formats := f.all(tagBits, maxBands+1), f.all(tagSampleFormat, maxBands+1)
	t.samples = f.one(tagSamples, max(1, len(sizes)))
	if t.samples < 1 || t.samples > maxBands {
		return unsupported("TIFF with %d bands", t.samples)
	}
	t.bits, n.format = f.one(tagBits, 1), f.one(tagSampleFormat, formatUnsigned)
	other := func(v int) func(int) bool { return func(w int) bool { return w != v } }
	if slices.ContainsFunc(sizes, other(t.bits)) || slices.ContainsFunc(formats, other(n.format)) {
		return unsupported("TIFF whose bands are of several types")
	}
	switch {
	case n.format == formatFloat && (t.bits == 16 || t.bits == 32 || t.bits == 64):
	case (n.format == formatUnsigned || n.format == formatSigned) && (t.bits == 8 || t.bits == 16 || t.bits == 32):
	default:
		return unsupported("TIFF with samples of %d bits and format %d", t.bits, n.format)
	}
	return nil
}

func (n *Numbers) readColors(f tiffFields) error {
	switch n.t.photometric = f.one(tagPhotometric, blackIsZero); n.t.photometric {
	case whiteIsZero, blackIsZero:
		return nil
	case photoRGB:
		if n.t.samples < 3 {
			return corrupt("TIFF with %d samples a pixel, of 3 colours", n.t.samples)
		}
		return nil
	}
	return unsupported("TIFF with the photometric interpretation %d, which are no plain numbers", n.t.photometric)
}

func (n *Numbers) checkPredictor(tiffFields) error {
	if n.t.predictor && n.t.bits > 32 {
		return unsupported("TIFF with a predictor of samples of %d bits", n.t.bits)
	}
	return nil
}

// Size is the picture's, turned by its orientation.
func (n *Numbers) Size() (w, h int) { return n.t.Size() }

// Bands is how many there are.
func (n *Numbers) Bands() int { return n.t.samples }

// Colors reports whether the first three bands are red, green and blue.
func (n *Numbers) Colors() bool { return n.t.photometric == photoRGB }

// Span is the range of its type, where that is a picture's: 255 or 65,535.
func (n *Numbers) Span() (most float64, ok bool) {
	if n.format != formatUnsigned || n.t.bits > 16 {
		return 0, false
	}
	return float64(int(1)<<n.t.bits - 1), true
}

// Read writes the bands, numbered from 1, to dst (h,w,len(bands)): lo and what is less as 0, hi
// and what is more as 255, the rest between them, rounded. What is no number is 0.
func (n *Numbers) Read(dst []byte, bands []int, lo, hi float64) error {
	t := n.t
	_, samples := t.planes()
	size := t.bits / 8
	wanted := func(plane int) bool { return !t.planar || slices.Contains(bands, plane+1) }
	return t.eachRow(wanted, func(p, x0, y int, packed []byte) {
		for at, band := range bands {
			k := band - 1
			switch {
			case t.planar && k != p:
				continue
			case t.planar:
				k = 0
			}
			for x := range min(t.blockW, t.w-x0) {
				v := n.number(packed[(x*samples+k)*size:])
				dst[t.place(x0+x, y)*len(bands)+at] = n.shade(v, lo, hi)
			}
		}
	})
}

// Shade is a number as Read writes it.
func Shade(v, lo, hi float64) byte {
	share := (v - lo) / (hi - lo)
	if !(share > 0) { // not a number, too
		return 0
	}
	return byte(math.Floor(float64(min(share, 1)*255) + 0.5)) // rounded twice, on every architecture
}

func (n *Numbers) shade(v, lo, hi float64) byte {
	if n.t.photometric == whiteIsZero {
		return 255 - Shade(v, lo, hi)
	}
	return Shade(v, lo, hi)
}

// number is the one that b begins with.
func (n *Numbers) number(b []byte) float64 {
	o := n.t.order
	switch n.format*100 + n.t.bits {
	case formatUnsigned*100 + 8:
		return float64(b[0])
	case formatUnsigned*100 + 16:
		return float64(o.Uint16(b))
	case formatUnsigned*100 + 32:
		return float64(o.Uint32(b))
	case formatSigned*100 + 8:
		return float64(int8(b[0]))
	case formatSigned*100 + 16:
		return float64(int16(o.Uint16(b)))
	case formatSigned*100 + 32:
		return float64(int32(o.Uint32(b)))
	case formatFloat*100 + 16:
		return half(o.Uint16(b))
	case formatFloat*100 + 32:
		return float64(math.Float32frombits(o.Uint32(b)))
	}
	return math.Float64frombits(o.Uint64(b))
}

// half is a number of IEEE 754's binary16.
func half(b uint16) float64 {
	exponent, fraction := int(b>>10&31), float64(b&1023)
	v := math.Ldexp(1024+fraction, exponent-25)
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 31:
		if v = math.Inf(1); fraction != 0 {
			v = math.NaN()
		}
	}
	if b>>15 != 0 {
		return -v
	}
	return v
}
