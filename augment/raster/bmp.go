package raster

import "math/bits"

// BMP: a file header of 14 bytes (not in a .dib), an info header of one of several sizes, masks or a
// palette, and rows, usually from the bottom up, each padded to 4 bytes.

const bmpFileHeader = 14

// Compressions.
const (
	bmpRaw       = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpBitfields = 3
	bmpJPEG      = 4
	bmpPNG       = 5
	bmpAlphaBits = 6
)

// bmpHeaderKnown reports whether an info header has that size: OS/2 1 and 2, Windows 3, its
// two extensions, 4 and 5.
func bmpHeaderKnown(size uint32) bool {
	switch size {
	case 12, 40, 52, 56, 64, 108, 124:
		return true
	}
	return false
}

type bmp struct {
	w, h        int
	topDown     bool
	bits        int
	compression uint32
	masks       [3]uint32 // of 16 and 32 bits
	colors      palette
	rows        []byte // the file from the pixels on
}

// isDIB reports whether a file is a BMP without the file header, as programs write ".dib". It
// has no magic, so that its header has to make sense.
func isDIB(b []byte) bool {
	if len(b) < 16 || !bmpHeaderKnown(le32(b, 0)) {
		return false
	}
	planes, bits := le16(b, 12), le16(b, 14)
	if le32(b, 0) == 12 {
		planes, bits = le16(b, 8), le16(b, 10)
	}
	switch bits {
	case 1, 4, 8, 16, 24, 32:
		return planes == 1
	}
	return false
}

func (p *bmp) Size() (w, h int) { return p.w, p.h }

func openBMP(b []byte) (Picture, error) {
	if isDIB(b) {
		return openInfo(b, 0)
	}
	if len(b) < bmpFileHeader {
		return nil, errCut
	}
	offset := int(le32(b, 10))
	if offset != 0 {
		offset = max(1, offset-bmpFileHeader) // 1 is within the header
	}
	return openInfo(b[bmpFileHeader:], offset)
}

// openInfo reads what begins with the info header. offset is where the pixels are, 0 where that
// is left open: after everything else.
func openInfo(b []byte, offset int) (Picture, error) {
	if len(b) < 12 {
		return nil, errCut
	}
	size := int(le32(b, 0))
	if !bmpHeaderKnown(uint32(size)) {
		return nil, unsupported("BMP with a header of %d bytes", size)
	}
	end := size
	if len(b) < end {
		return nil, errCut
	}
	p, head := &bmp{}, b[:end]
	entry, colors := 4, 0
	if size == 12 {
		p.w, p.h, p.bits, entry = int(le16(head, 4)), int(le16(head, 6)), int(le16(head, 10)), 3
	} else {
		p.w, p.h, p.bits = int(int32(le32(head, 4))), int(int32(le32(head, 8))), int(le16(head, 14))
		p.compression, colors = le32(head, 16), int(le32(head, 32))
		if p.h < 0 {
			p.h, p.topDown = -p.h, true
		}
	}
	masks, err := p.readMasks(b, size)
	if err != nil {
		return nil, err
	}
	end += masks
	if p.bits <= 8 {
		if colors == 0 || colors > 1<<p.bits {
			colors = 1 << p.bits
		}
		if offset < end { // some writers leave it out
			offset = end + entry*colors
		}
		for i := range min(colors, (len(b)-end)/entry) {
			at := end + entry*i
			p.colors[i] = [3]byte{b[at+2], b[at+1], b[at]}
		}
	}
	if offset == 0 {
		offset = end
	}
	if offset < end || offset > len(b) {
		return nil, errCut
	}
	p.rows = b[offset:]
	return p, nil
}

// readMasks checks depth and compression, and reads or sets the masks. It gives the number
// of bytes that they take after the header.
func (p *bmp) readMasks(b []byte, size int) (after int, err error) {
	switch p.bits {
	case 1, 2, 4, 8, 24:
	case 16:
		p.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	case 32:
		p.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	default:
		return 0, unsupported("BMP of %d bits", p.bits)
	}
	switch {
	case p.compression == bmpRaw, p.compression == bmpRLE8 && p.bits == 8, p.compression == bmpRLE4 && p.bits == 4:
		return 0, nil
	case p.compression == bmpJPEG, p.compression == bmpPNG:
		return 0, unsupported("BMP with a JPEG or PNG inside")
	case (p.compression != bmpBitfields && p.compression != bmpAlphaBits) || p.bits < 16 || size == 64:
		return 0, unsupported("BMP of %d bits with compression %d", p.bits, p.compression)
	case p.bits == 24:
		return 0, nil // its masks can only be those of BGR
	}
	// Masks follow a header of 40 bytes, and are part of a longer one.
	const at = 40
	if len(b) < at+16 {
		return 0, errCut
	}
	if size == 40 {
		after = 12
		if p.compression == bmpAlphaBits {
			after = 16
		}
	}
	masks := [3]uint32{le32(b, at), le32(b, at+4), le32(b, at+8)}
	if masks == [3]uint32{} { // Pillow takes them for the usual ones
		return after, nil
	}
	p.masks = masks
	for _, m := range masks {
		if m == 0 || bits.Len32(m)-bits.TrailingZeros32(m) != bits.OnesCount32(m) {
			return 0, unsupported("BMP with the mask %#x", m)
		}
	}
	return after, nil
}

func (p *bmp) Decode(dst []byte) error {
	if p.compression == bmpRLE8 || p.compression == bmpRLE4 {
		return p.decodeRLE(dst)
	}
	used := (p.w*p.bits + 7) / 8
	stride := (p.w*p.bits + 31) / 32 * 4
	if len(p.rows) < stride*(p.h-1)+used { // the last row's padding may be missing
		return errCut
	}
	index := make([]byte, p.w)
	scale := p.scales()
	for i := range p.h {
		in, out := p.rows[stride*i:][:used], p.row(dst, i)
		switch p.bits {
		case 24:
			for x := range p.w {
				out[3*x], out[3*x+1], out[3*x+2] = in[3*x+2], in[3*x+1], in[3*x]
			}
		case 16, 32:
			n := p.bits / 8
			for x := range p.w {
				v := le16(in, n*x)
				if n == 4 {
					v = le32(in, n*x)
				}
				for c := range 3 {
					out[3*x+c] = scale[c](v)
				}
			}
		default:
			spread(index, in, p.bits)
			p.colors.fill(out, index)
		}
	}
	return nil
}

// row is the i-th row of the file in the picture.
func (p *bmp) row(dst []byte, i int) []byte {
	if !p.topDown {
		i = p.h - 1 - i
	}
	return dst[3*p.w*i:][:3*p.w]
}

// scales give the 8 bits of each channel of a pixel.
func (p *bmp) scales() (out [3]func(uint32) byte) {
	for c, m := range p.masks {
		if m == 0 {
			continue
		}
		shift, most := bits.TrailingZeros32(m), uint64(m>>bits.TrailingZeros32(m))
		out[c] = func(v uint32) byte { return byte(uint64(v&m>>shift) * 255 / most) }
	}
	return out
}

// decodeRLE decodes runs of indexes. What they leave out, by a jump or an early end, is
// index 0.
func (p *bmp) decodeRLE(dst []byte) error {
	index := make([]byte, p.w*p.h)
	at, y, x := 0, 0, 0
	put := func(v byte) { // a run past the row's end is cut, as by Pillow
		if x < p.w {
			index[y*p.w+x] = v
			x++
		}
	}
	nibble := func(v byte, i int) byte {
		if p.compression == bmpRLE8 {
			return v
		}
		return v >> (4 * (1 - i&1)) & 15
	}
	for y < p.h && (y < p.h-1 || x < p.w) { // the mark of the end may be missing
		if at+2 > len(p.rows) {
			return errCut
		}
		n, v := int(p.rows[at]), p.rows[at+1]
		at += 2
		switch {
		case n > 0:
			for i := range n {
				put(nibble(v, i))
			}
		case v == 0: // the row ends
			y, x = y+1, 0
		case v == 1: // the picture ends
			y = p.h
		case v == 2: // a jump to the right and to the next rows
			if at+2 > len(p.rows) {
				return errCut
			}
			x, y = min(p.w, x+int(p.rows[at])), y+int(p.rows[at+1])
			at += 2
		default: // so many indexes as they are, padded to 2 bytes
			size := int(v)
			if p.compression == bmpRLE4 {
				size = (size + 1) / 2
			}
			if at+size > len(p.rows) {
				return errCut
			}
			for i := range int(v) {
				if p.compression == bmpRLE4 {
					put(nibble(p.rows[at+i/2], i))
				} else {
					put(p.rows[at+i])
				}
			}
			at += size + size&1
		}
	}
	for i := range p.h {
		p.colors.fill(p.row(dst, i), index[i*p.w:][:p.w])
	}
	return nil
}
