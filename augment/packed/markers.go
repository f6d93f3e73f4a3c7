package packed

import (
	"encoding/binary"
	"fmt"

	"resslt/schemas/errs"
)

// maxPlanes is the most components of a frame.
const maxPlanes = 4

// Markers, each after a byte 0xFF.
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF1 = 0xc1 // extended sequential
	markerSOF2 = 0xc2 // progressive
	markerDHT  = 0xc4
	markerRST0 = 0xd0 // … 0xd7
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerDRI  = 0xdd
	markerTEM  = 0x01
)

// frame is what SOF says.
type frame struct {
	progressive   bool
	width, height int
	components    []component
	hMax, vMax    int
}

type component struct {
	id   byte
	h, v int // sampling factors
}

// scan is what SOS says, and the tables that it is coded with.
type scan struct {
	parts    []scanPart
	ss, se   int // first and last coefficient
	ah, al   int // successive approximation
	interval int // MCUs between restart markers; 0: none
}

type scanPart struct {
	component int // of the frame
	dc, ac    *huffman
}

// header walks over the bytes of a JPEG without its entropy-coded ones, and keeps what a
// scan is coded with.
type header struct {
	data     []byte
	pos      int
	frame    *frame
	tables   [2][4]*huffman // DC, AC
	interval int
}

func corrupt(format string, args ...any) error {
	return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, args...))
}

// next goes on to the end of the next SOS segment, after which a scan's bytes belong; nil
// at EOI, or where the bytes end.
func (r *header) next() (*scan, error) {
	for {
		marker, body, err := r.segment()
		if err != nil {
			return nil, err
		}
		switch {
		case marker == 0 || marker == markerEOI:
			return nil, nil
		case marker == markerSOS:
			return r.sos(body)
		case marker == markerDHT:
			err = r.dht(body)
		case marker == markerDRI:
			if len(body) != 2 {
				err = corrupt("DRI of %d bytes", len(body))
			} else {
				r.interval = int(binary.BigEndian.Uint16(body))
			}
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc8 && marker != 0xcc: // 0xc8 is reserved, 0xcc DAC
			err = r.sof(marker, body)
		}
		if err != nil {
			return nil, err
		}
	}
}

// segment is the next marker and what follows it; marker 0 at the end of the bytes.
func (r *header) segment() (marker byte, body []byte, err error) {
	d := r.data
	if r.pos == len(d) {
		return 0, nil, nil
	}
	if d[r.pos] != 0xff {
		return 0, nil, corrupt("byte %#02x where a marker should be", d[r.pos])
	}
	for r.pos < len(d) && d[r.pos] == 0xff { // any number of fill bytes
		r.pos++
	}
	if r.pos == len(d) {
		return 0, nil, nil
	}
	marker = d[r.pos]
	r.pos++
	switch {
	case marker == 0:
		return 0, nil, corrupt("a stuffed byte outside a scan")
	case marker == markerSOI, marker == markerEOI, marker == markerTEM, marker >= markerRST0 && marker < markerSOI:
		return marker, nil, nil
	}
	if len(d)-r.pos < 2 {
		return 0, nil, corrupt("marker %#02x is cut off", marker)
	}
	n := int(binary.BigEndian.Uint16(d[r.pos:]))
	if n < 2 || n > len(d)-r.pos {
		return 0, nil, corrupt("marker %#02x is cut off", marker)
	}
	body = d[r.pos+2 : r.pos+n]
	r.pos += n
	return marker, body, nil
}

func (r *header) sof(marker byte, b []byte) error {
	switch {
	case marker > markerSOF2:
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("coding process %#02x", marker))
	case r.frame != nil:
		return corrupt("two frames")
	case len(b) < 6 || len(b) != 6+3*int(b[5]):
		return corrupt("SOF of %d bytes", len(b))
	case b[0] != 8:
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("%d bits a sample", b[0]))
	}
	f := &frame{
		progressive: marker == markerSOF2,
		height:      int(binary.BigEndian.Uint16(b[1:])), width: int(binary.BigEndian.Uint16(b[3:])),
	}
	for c := b[6:]; len(c) > 0; c = c[3:] {
		k := component{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 15)}
		if k.h < 1 || k.h > 4 || k.v < 1 || k.v > 4 {
			return corrupt("sampling factors %d×%d", k.h, k.v)
		}
		f.components = append(f.components, k)
		f.hMax, f.vMax = max(f.hMax, k.h), max(f.vMax, k.v)
	}
	if n := len(f.components); f.width == 0 || f.height == 0 || n == 0 || n > maxPlanes {
		return corrupt("a frame of %d×%d with %d components", f.width, f.height, n)
	}
	r.frame = f
	return nil
}

// size is the size of a component in blocks: of those that hold pixels, and of whole MCUs.
func (f *frame) size(c int) (wide, high, padWide, padHigh int) {
	k := f.components[c]
	wide, high = ceilDiv(f.width*k.h, 8*f.hMax), ceilDiv(f.height*k.v, 8*f.vMax)
	return wide, high, ceilDiv(f.width, 8*f.hMax) * k.h, ceilDiv(f.height, 8*f.vMax) * k.v
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func (r *header) sos(b []byte) (*scan, error) {
	if r.frame == nil {
		return nil, corrupt("a scan before the frame")
	}
	if len(b) < 4 || b[0] < 1 || b[0] > 4 || len(b) != 4+2*int(b[0]) {
		return nil, corrupt("SOS of %d bytes", len(b))
	}
	n := int(b[0])
	s := &scan{ss: int(b[1+2*n]), se: int(b[2+2*n]), ah: int(b[3+2*n] >> 4), al: int(b[3+2*n] & 15), interval: r.interval}
	blocks := 0
	for i := range n {
		id, tables := b[1+2*i], b[2+2*i]
		if tables>>4 > 3 || tables&15 > 3 {
			return nil, corrupt("a scan with tables %#02x", tables)
		}
		p := scanPart{component: -1, dc: r.tables[0][tables>>4], ac: r.tables[1][tables&15]}
		for c, k := range r.frame.components {
			if k.id == id {
				p.component = c
				blocks += k.h * k.v
				break
			}
		}
		if p.component < 0 {
			return nil, corrupt("a scan of component %d, which the frame lacks", id)
		}
		s.parts = append(s.parts, p)
	}
	const mostBlocks = 10 // of an MCU
	if n > 1 && blocks > mostBlocks {
		return nil, corrupt("MCUs of %d blocks", blocks)
	}
	if !r.frame.progressive {
		s.ss, s.se, s.ah, s.al = 0, 63, 0, 0 // as libjpeg takes them
		return s, nil
	}
	const mostShift = 13
	if s.ss > s.se || s.se > 63 || (s.ss == 0) != (s.se == 0) || s.ss > 0 && n > 1 || s.al > mostShift || s.ah != 0 && s.ah != s.al+1 {
		return nil, corrupt("a scan of coefficients %d to %d, bits %d to %d", s.ss, s.se, s.ah, s.al)
	}
	return s, nil
}

// huffman is a Huffman table.
type huffman struct {
	codes [256]uint32 // of each symbol: its bits above its length in 8 bits; 0 where the table lacks it

	// small are the words of AC coefficients from −smallest to smallest − 1, of each run of
	// zeros, as in codes: the symbol's bits and the value's. prepare fills it.
	small    [16 * 2 * smallest]uint32
	prepared bool
}

// smallest is what most coefficients are nearer to 0 than.
const smallest = 16

func (t *huffman) prepare() {
	if t.prepared {
		return
	}
	t.prepared = true
	for run := range 16 {
		for v := -smallest; v < smallest; v++ {
			n, extra := value(v)
			if c := t.codes[run<<4|int(n)]; c != 0 {
				t.small[run*2*smallest+v+smallest] = (c>>8<<n|extra&(1<<n-1))<<8 | (c&0xff + uint32(n))
			}
		}
	}
}

func (r *header) dht(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 || b[0]&0xef > 3 {
			return corrupt("DHT is cut off or names table %#02x", b[0])
		}
		class, id := b[0]>>4, b[0]&15
		counts, symbols := b[1:17], b[17:]
		t := &huffman{}
		code, at := uint32(0), 0
		for i, n := range counts {
			if int(n) > len(symbols)-at {
				return corrupt("DHT is cut off")
			}
			for range n {
				t.codes[symbols[at]] = code<<8 | uint32(i+1)
				at++
				code++
			}
			if code > 1<<(i+1) {
				return corrupt("DHT has too many codes")
			}
			code <<= 1
		}
		r.tables[class][id] = t
		b = symbols[at:]
	}
	return nil
}
