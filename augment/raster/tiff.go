package raster

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// TIFF: a header, then a directory of fields for each page; pixels are in strips or tiles
// anywhere in the file. The first page is read.

// Fields, by their tags.
const (
	tagWidth           = 256
	tagHeight          = 257
	tagBits            = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagFillOrder       = 266
	tagStripOffsets    = 273
	tagOrientation     = 274
	tagSamples         = 277
	tagRowsPerStrip    = 278
	tagStripBytes      = 279
	tagPlanar          = 284
	tagGroup3          = 292
	tagPredictor       = 317
	tagColorMap        = 320
	tagTileWidth       = 322
	tagTileHeight      = 323
	tagTileOffsets     = 324
	tagTileBytes       = 325
	tagExtraSamples    = 338
	tagSampleFormat    = 339
	premultipliedAlpha = 1 // of tagExtraSamples
)

// Photometric interpretations.
const (
	whiteIsZero = 0
	blackIsZero = 1
	photoRGB    = 2
	photoColors = 3
	photoCMYK   = 5
	photoYCbCr  = 6
)

// Compressions.
const (
	tiffNone       = 1
	tiffGroup3     = 3
	tiffGroup4     = 4
	tiffLZW        = 5
	tiffDeflate    = 8
	tiffPackBits   = 32773
	tiffOldDeflate = 32946
)

// tiffNames are those of compressions that are not decoded.
var tiffNames = map[int]string{
	2: "modified Huffman", 6: "old JPEG", 7: "JPEG", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
	34925: "LZMA", 50000: "zstd", 50001: "WebP", 50002: "JPEG XL",
}

// maxSamples bounds the samples of a pixel.
const maxSamples = 8

type tiff struct {
	order binary.ByteOrder
	data  []byte

	w, h        int // as stored; Size has them turned
	orientation int
	bits        int // of a sample: 1, 2, 4, 8, 16
	samples     int // of a pixel
	channels    int // samples that are colours
	photometric int
	compression int
	reversed    bool // the lower bits come first
	predictor   bool
	planar      bool // every sample in blocks of its own
	associated  bool // the first sample beyond the colours is alpha, and colours are multiplied by it
	colors      palette

	tiles          bool // blocks at the edges are padded
	blockW, blockH int  // of a strip or tile
	offsets, sizes []int
}

func (t *tiff) Size() (w, h int) {
	if t.orientation >= 5 {
		return t.h, t.w
	}
	return t.w, t.h
}

// openTIFFHeader reads the first page's directory.
func openTIFFHeader(b []byte) (*tiff, tiffFields, error) {
	if len(b) < 8 {
		return nil, tiffFields{}, errCut
	}
	t := &tiff{data: b, order: binary.LittleEndian}
	if b[0] == 'M' {
		t.order = binary.BigEndian
	}
	if t.order.Uint16(b[2:]) == 43 {
		return nil, tiffFields{}, unsupported("BigTIFF")
	}
	dir, err := t.directory(int(t.order.Uint32(b[4:])))
	return t, dir, err
}

func openTIFF(b []byte) (Picture, error) {
	t, dir, err := openTIFFHeader(b)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(tiffFields) error{t.readShape, t.readSamples, t.readCompression, t.readColors, t.readBlocks} {
		if err := step(dir); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// tiffFields are a directory's fields, as they are in the file.
type tiffFields struct {
	t    *tiff
	list map[int]tiffField
}

type tiffField struct {
	size  int // bytes of a value: 1, 2 or 4
	count int
	at    int // of the values
}

// directory lists the fields that hold whole numbers.
func (t *tiff) directory(at int) (tiffFields, error) {
	f := tiffFields{t, map[int]tiffField{}}
	if at < 8 || at+2 > len(t.data) {
		return f, errCut
	}
	n := int(t.order.Uint16(t.data[at:]))
	if at += 2; at+12*n > len(t.data) {
		return f, errCut
	}
	for ; n > 0; n, at = n-1, at+12 {
		e := t.data[at:]
		size := map[uint16]int{1: 1, 3: 2, 4: 4, 7: 1}[t.order.Uint16(e[2:])]
		count := int(t.order.Uint32(e[4:]))
		tag := int(t.order.Uint16(e))
		if _, twice := f.list[tag]; size == 0 || twice {
			continue
		}
		v := tiffField{size, count, at + 8}
		if size*count > 4 {
			v.at = int(t.order.Uint32(e[8:]))
		}
		if v.at+size*count > len(t.data) {
			v.count = max(0, (len(t.data)-v.at)/size) // an error where the values are needed
		}
		f.list[tag] = v
	}
	return f, nil
}

// all gives at most so many values of a field.
func (f tiffFields) all(tag, most int) []int {
	v := f.list[tag]
	out := make([]int, min(v.count, most))
	for i := range out {
		b := f.t.data[v.at+i*v.size:]
		switch v.size {
		case 1:
			out[i] = int(b[0])
		case 2:
			out[i] = int(f.t.order.Uint16(b))
		default:
			out[i] = int(f.t.order.Uint32(b))
		}
	}
	return out
}

// one is a field's first value, or the default.
func (f tiffFields) one(tag, otherwise int) int {
	if v := f.all(tag, 1); len(v) == 1 {
		return v[0]
	}
	return otherwise
}

func (t *tiff) readShape(f tiffFields) error {
	t.w, t.h = f.one(tagWidth, 0), f.one(tagHeight, 0)
	if t.w < 1 || t.h < 1 || t.w > maxSide || t.h > maxSide {
		return corrupt("TIFF of %d×%d pixels", t.w, t.h)
	}
	if t.orientation = f.one(tagOrientation, 1); t.orientation < 1 || t.orientation > 8 {
		t.orientation = 1
	}
	t.reversed = f.one(tagFillOrder, 1) == 2
	t.planar = f.one(tagPlanar, 1) == 2
	return nil
}

func (t *tiff) readSamples(f tiffFields) error {
	bits := f.all(tagBits, maxSamples+1)
	if len(bits) == 0 {
		bits = []int{1}
	}
	t.samples = f.one(tagSamples, len(bits))
	if t.samples < 1 || t.samples > maxSamples {
		return corrupt("TIFF with %d samples a pixel", t.samples)
	}
	t.bits = bits[0]
	for _, b := range bits {
		if b != t.bits {
			return unsupported("TIFF with samples of %d and %d bits", t.bits, b)
		}
	}
	formats := f.all(tagSampleFormat, maxSamples)
	switch {
	case slices.Contains(formats, 3):
		return unsupported("TIFF with floating-point samples")
	case slices.ContainsFunc(formats, func(v int) bool { return v != 1 && v != 4 && v != 0 }) && t.bits != 8:
		return unsupported("TIFF with signed samples of %d bits", t.bits)
	case !slices.Contains([]int{1, 2, 4, 8, 16}, t.bits):
		return unsupported("TIFF with samples of %d bits", t.bits)
	case t.bits < 8 && t.samples > 1:
		return unsupported("TIFF with %d samples of %d bits a pixel", t.samples, t.bits)
	}
	return nil
}

func (t *tiff) readCompression(f tiffFields) error {
	t.compression = f.one(tagCompression, tiffNone)
	switch t.compression {
	case 0:
		t.compression = tiffNone
	case tiffNone, tiffLZW, tiffDeflate, tiffOldDeflate, tiffPackBits:
	case tiffGroup3, tiffGroup4:
		if t.bits != 1 || t.samples != 1 {
			return corrupt("TIFF with fax compression of %d samples of %d bits", t.samples, t.bits)
		}
		switch options := f.one(tagGroup3, 0); {
		case t.compression == tiffGroup4:
		case options&1 != 0:
			return unsupported("TIFF with two-dimensional Group 3 compression")
		case options&4 != 0:
			return unsupported("TIFF with fill bits in Group 3 compression")
		}
	default:
		name := tiffNames[t.compression]
		if name == "" {
			name = fmt.Sprintf("unknown (%d)", t.compression)
		}
		return unsupported("TIFF with %s compression", name)
	}
	if p := f.one(tagPredictor, 1); t.compression == tiffLZW || t.compression == tiffDeflate || t.compression == tiffOldDeflate {
		if p > 2 || p == 2 && t.bits < 8 {
			return unsupported("TIFF with predictor %d of samples of %d bits", p, t.bits)
		}
		t.predictor = p == 2
	}
	return nil
}

func (t *tiff) readColors(f tiffFields) error {
	t.photometric = f.one(tagPhotometric, -1)
	switch t.photometric {
	case whiteIsZero, blackIsZero:
		t.channels = 1
	case photoRGB:
		t.channels = 3
	case photoCMYK:
		t.channels = 4
	case photoColors:
		t.channels = 1
		n := 1 << t.bits
		m := f.all(tagColorMap, 3*n)
		if t.bits > 8 || len(m) < 3*n {
			return corrupt("TIFF whose palette has %d values", len(m))
		}
		for i := range n {
			t.colors[i] = [3]byte{byte(m[i] >> 8), byte(m[n+i] >> 8), byte(m[2*n+i] >> 8)}
		}
	case photoYCbCr:
		return unsupported("TIFF with YCbCr pixels")
	case -1:
		return corrupt("TIFF that does not say what its samples are")
	default:
		return unsupported("TIFF with the photometric interpretation %d", t.photometric)
	}
	if t.samples < t.channels {
		return corrupt("TIFF with %d samples a pixel, of %d colours", t.samples, t.channels)
	}
	t.associated = t.photometric == photoRGB && t.samples > 3 && f.one(tagExtraSamples, 0) == premultipliedAlpha
	return nil
}

// readBlocks reads where strips or tiles are. They may not overlap so much that a small file
// keeps a worker busy.
func (t *tiff) readBlocks(f tiffFields) error {
	offsets, sizes := tagStripOffsets, tagStripBytes
	t.blockW, t.blockH = t.w, min(t.h, f.one(tagRowsPerStrip, t.h))
	if w := f.one(tagTileWidth, 0); w != 0 {
		offsets, sizes = tagTileOffsets, tagTileBytes
		t.tiles, t.blockW, t.blockH = true, w, f.one(tagTileHeight, 0)
		// Tiles are padded to 16 pixels, and small pictures have one that is larger.
		if most := func(side int) int { return max(1024, side+16) }; t.blockW > most(t.w) || t.blockH > most(t.h) {
			return corrupt("TIFF of %d×%d pixels in tiles of %d×%d", t.w, t.h, t.blockW, t.blockH)
		}
	}
	if t.blockH == 0 && !t.tiles { // some writers mean all rows
		t.blockH = t.h
	}
	if t.blockW < 1 || t.blockH < 1 || t.tiles && (t.blockW < 8 || t.blockH < 8) {
		return corrupt("TIFF in blocks of %d×%d pixels", t.blockW, t.blockH)
	}
	n := t.across() * t.down()
	if t.planar {
		n *= t.samples
	}
	// Each block has an entry in the file, so that n is bounded by the file's size.
	if t.offsets = f.all(offsets, n); len(t.offsets) < n {
		return corrupt("TIFF with %d of %d strips or tiles", len(t.offsets), n)
	}
	t.sizes = f.all(sizes, n)
	if len(t.sizes) < n && n == 1 {
		t.sizes = []int{max(0, len(t.data)-t.offsets[0])}
	}
	if len(t.sizes) < n {
		return corrupt("TIFF with the sizes of %d of %d strips or tiles", len(t.sizes), n)
	}
	total := 0
	for i := range n {
		if t.offsets[i] > len(t.data) {
			return errCut
		}
		if t.sizes[i] > math.MaxInt32 || t.sizes[i] == 0 && t.compression == tiffNone {
			t.sizes[i] = len(t.data)
		}
		t.sizes[i] = min(t.sizes[i], len(t.data)-t.offsets[i])
		total += t.sizes[i]
	}
	if t.compression != tiffNone && total > 4*len(t.data) {
		return corrupt("TIFF whose strips or tiles overlap")
	}
	return nil
}

func (t *tiff) across() int { return (t.w + t.blockW - 1) / t.blockW }
func (t *tiff) down() int   { return (t.h + t.blockH - 1) / t.blockH }
