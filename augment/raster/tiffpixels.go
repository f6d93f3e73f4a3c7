package raster

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"math/bits"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"
)

// Decode decodes block after block, row by row, each to its place.
func (t *tiff) Decode(dst []byte) error {
	planes, samples := t.planes()
	one, pixels := make([]byte, t.blockW*samples), make([]byte, t.blockW*t.samples)
	return t.eachRow(func(int) bool { return true }, func(p, x, y int, packed []byte) {
		t.narrow(one, packed)
		for k, v := range one {
			pixels[k*planes+p] = v
		}
		if p == planes-1 {
			t.row(dst, x, y, pixels[:min(t.blockW, t.w-x)*t.samples])
		}
	})
}

// planes are how many there are, and the samples of a pixel that each has.
func (t *tiff) planes() (planes, samples int) {
	if t.planar {
		return t.samples, 1
	}
	return 1, t.samples
}

// eachRow reads block after block, row by row and plane by plane, those planes that are wanted, and gives
// the row's samples as they are stored, without a predictor, and the place of its first pixel.
func (t *tiff) eachRow(wanted func(plane int) bool, row func(plane, x, y int, packed []byte)) error {
	planes, samples := t.planes()
	across, down := t.across(), t.down()
	packed := make([]byte, (t.blockW*samples*t.bits+7)/8)
	streams := make([]blockReader, planes)
	defer func() {
		for i := range streams {
			streams[i].close()
		}
	}()
	for i := range across * down {
		x, y := i%across*t.blockW, i/across*t.blockH
		rows := min(t.blockH, t.h-y)
		for p := range streams {
			if !wanted(p) {
				continue
			}
			if err := streams[p].open(t, p*across*down+i, rows); err != nil {
				return err
			}
		}
		for r := range rows {
			for p := range streams {
				if !wanted(p) {
					continue
				}
				if _, err := io.ReadFull(&streams[p], packed); err != nil {
					return t.readError(err)
				}
				if t.predictor {
					t.unpredict(packed, samples)
				}
				row(p, x, y+r, packed)
			}
		}
	}
	return nil
}

// blockReader decompresses strips or tiles, one after another.
type blockReader struct {
	io.Reader
	in      bytes.Reader
	inflate io.ReadCloser // made once: it has much memory
	lzw     io.ReadCloser
}

// open begins the n-th block, of which so many rows will be read.
func (r *blockReader) open(t *tiff, n, rows int) error {
	in := t.data[t.offsets[n]:][:t.sizes[n]]
	fax := t.compression == tiffGroup3 || t.compression == tiffGroup4
	if t.reversed && !fax {
		flipped := make([]byte, len(in))
		for i, b := range in {
			flipped[i] = bits.Reverse8(b)
		}
		in = flipped
	}
	r.in.Reset(in)
	switch t.compression {
	case tiffNone:
		r.Reader = &r.in
	case tiffPackBits:
		r.Reader = &packBits{in: &r.in}
	case tiffLZW:
		if r.lzw != nil {
			r.lzw.Close()
		}
		r.lzw = lzw.NewReader(&r.in, lzw.MSB, 8)
		r.Reader = r.lzw
	case tiffDeflate, tiffOldDeflate:
		var err error
		if r.inflate == nil {
			r.inflate, err = zlib.NewReader(&r.in)
		} else {
			err = r.inflate.(zlib.Resetter).Reset(&r.in, nil)
		}
		if err != nil {
			return tiffError(err)
		}
		r.Reader = r.inflate
	default:
		mode, order := ccitt.Group4, ccitt.MSB
		if t.compression == tiffGroup3 {
			mode = ccitt.Group3
		}
		if t.reversed {
			order = ccitt.LSB
		}
		// Without Invert, 0 is black: what TIFF means by 0 is up to the photometric field,
		// whose usual value is that 0 is white.
		r.Reader = ccitt.NewReader(&r.in, order, mode, t.blockW, rows, &ccitt.Options{Invert: true})
	}
	return nil
}

func (r *blockReader) close() {
	for _, c := range []io.Closer{r.inflate, r.lzw} {
		if c != nil {
			c.Close() // of a reader: it has no error to give
		}
	}
}

// readError is what stopped a strip or tile.
func (t *tiff) readError(err error) error {
	if err = tiffError(err); t.compression == tiffGroup3 && !errors.Is(err, io.ErrUnexpectedEOF) {
		// x/image knows lines that end without fill bits, as most writers have them.
		return unsupported("TIFF with this kind of Group 3 compression (%v)", err)
	}
	return err
}

func tiffError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return corrupt("TIFF: %v", err)
}

// packBits reads runs and copies.
type packBits struct {
	in    *bytes.Reader
	left  int  // bytes of the current run or copy
	run   bool // it repeats value
	value byte
}

func (p *packBits) Read(dst []byte) (int, error) {
	for i := range dst {
		for p.left == 0 {
			n, err := p.in.ReadByte()
			if err != nil {
				return i, io.ErrUnexpectedEOF
			}
			switch k := int(int8(n)); {
			case k >= 0:
				p.left, p.run = k+1, false
			case k > -128:
				if p.value, err = p.in.ReadByte(); err != nil {
					return i, io.ErrUnexpectedEOF
				}
				p.left, p.run = 1-k, true
			}
		}
		p.left--
		if !p.run {
			v, err := p.in.ReadByte()
			if err != nil {
				return i, io.ErrUnexpectedEOF
			}
			p.value = v
		}
		dst[i] = p.value
	}
	return len(dst), nil
}

// unpredict adds to each sample of a row, of 8, 16 or 32 bits, the one of the pixel before.
func (t *tiff) unpredict(row []byte, samples int) {
	switch t.bits {
	case 8:
		for i := samples; i < len(row); i++ {
			row[i] += row[i-samples]
		}
	case 16:
		for i := 2 * samples; i+2 <= len(row); i += 2 {
			t.order.PutUint16(row[i:], t.order.Uint16(row[i:])+t.order.Uint16(row[i-2*samples:]))
		}
	case 32:
		for i := 4 * samples; i+4 <= len(row); i += 4 {
			t.order.PutUint32(row[i:], t.order.Uint32(row[i:])+t.order.Uint32(row[i-4*samples:]))
		}
	}
}

// narrow gives the samples of a row in 8 bits each: of 16 the upper 8; fewer are scaled, but
// for indexes.
func (t *tiff) narrow(dst, packed []byte) {
	switch t.bits {
	case 8:
		copy(dst, packed)
	case 16:
		for i := range dst {
			dst[i] = byte(t.order.Uint16(packed[2*i:]) >> 8)
		}
	default:
		spread(dst, packed, t.bits)
		if t.photometric == photoColors {
			return
		}
		scale := byte(255 / (1<<t.bits - 1))
		for i := range dst {
			dst[i] *= scale
		}
	}
}

// row writes pixels of a row, from column x on, to their place in the turned picture.
func (t *tiff) row(dst []byte, x, y int, pixels []byte) {
	var rgb [3]byte
	for ; len(pixels) >= t.samples; x, pixels = x+1, pixels[t.samples:] {
		switch t.photometric {
		case whiteIsZero:
			v := 255 - pixels[0]
			rgb = [3]byte{v, v, v}
		case blackIsZero:
			rgb = [3]byte{pixels[0], pixels[0], pixels[0]}
		case photoColors:
			rgb = t.colors[pixels[0]]
		case photoCMYK:
			rgb = fromCMYK(pixels)
		default:
			rgb = [3]byte(pixels)
			if t.associated {
				rgb = unmultiply(rgb, pixels[3])
			}
		}
		copy(dst[3*t.place(x, y):], rgb[:])
	}
}

// place is the pixel of the turned picture that is stored at (x,y).
func (t *tiff) place(x, y int) int {
	right, bottom := t.w-1-x, t.h-1-y
	switch t.orientation {
	case 2:
		return y*t.w + right
	case 3:
		return bottom*t.w + right
	case 4:
		return bottom*t.w + x
	case 5:
		return x*t.h + y
	case 6:
		return x*t.h + bottom
	case 7:
		return right*t.h + bottom
	case 8:
		return right*t.h + y
	}
	return y*t.w + x
}

// fromCMYK is Pillow's: black scales what the inks leave.
func fromCMYK(p []byte) (rgb [3]byte) {
	white := uint32(255 - p[3])
	for c := range rgb {
		v := uint32(p[c])*white + 128
		rgb[c] = byte(white - (v>>8+v)>>8)
	}
	return rgb
}

// unmultiply is Pillow's: colours by which alpha was multiplied, black where it is 0.
func unmultiply(rgb [3]byte, alpha byte) [3]byte {
	for c, v := range rgb {
		switch alpha {
		case 0:
			rgb[c] = 0
		case 255:
		default:
			rgb[c] = byte(min(255, 255*uint32(v)/uint32(alpha)))
		}
	}
	return rgb
}
