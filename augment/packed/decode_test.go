package packed

import (
	"errors"
	"math/bits"
)

// A Huffman decoder of JPEGs, for the tests: the other half of this package's encoder,
// written from the standard and not from the encoder.

var errScan = errors.New("the scan's bytes make no sense")

type bitReader struct {
	b    []byte
	pos  int
	acc  uint32
	n    uint
	fail bool
}

func (r *bitReader) bit() int {
	if r.n == 0 {
		if r.pos >= len(r.b) || r.b[r.pos] == 0xff && (r.pos+1 >= len(r.b) || r.b[r.pos+1] != 0) {
			r.fail = true
			return 0
		}
		r.acc, r.n = uint32(r.b[r.pos]), 8
		r.pos++
		if r.acc == 0xff {
			r.pos++
		}
	}
	r.n--
	return int(r.acc>>r.n) & 1
}

func (r *bitReader) bits(n int) int {
	v := 0
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// receive is the standard's RECEIVE and EXTEND.
func (r *bitReader) receive(n int) int {
	v := r.bits(n)
	if n > 0 && v < 1<<(n-1) {
		v += -1<<n + 1
	}
	return v
}

func (r *bitReader) symbol(t map[uint32]byte) int {
	code := uint32(0)
	for n := uint32(1); n <= 16; n++ {
		code = code<<1 | uint32(r.bit())
		if s, ok := t[code<<8|n]; ok {
			return int(s)
		}
	}
	r.fail = true
	return 0
}

// restart goes to behind a restart marker.
func (r *bitReader) restart() {
	r.n = 0
	if r.pos+1 >= len(r.b) || r.b[r.pos] != 0xff || r.b[r.pos+1] < 0xd0 || r.b[r.pos+1] > 0xd7 {
		r.fail = true
		return
	}
	r.pos += 2
}

func invert(t *huffman) map[uint32]byte {
	m := map[uint32]byte{}
	if t != nil {
		for s, c := range t.codes {
			if c != 0 {
				m[c] = byte(s)
			}
		}
	}
	return m
}

// decodeCoefficients reads a JPEG.
func decodeCoefficients(jpeg []byte) (*Coefficients, error) {
	h := header{data: jpeg}
	var blocks [][][64]int
	for {
		s, err := h.next()
		if err != nil {
			return nil, err
		}
		f := h.frame
		if f != nil && blocks == nil {
			for c := range f.components {
				_, _, wide, high := f.size(c)
				blocks = append(blocks, make([][64]int, wide*high))
			}
		}
		if s == nil {
			if f == nil {
				return nil, errScan
			}
			return collect(f, blocks), nil
		}
		r := &bitReader{b: jpeg, pos: h.pos}
		decodeScan(r, f, s, blocks)
		if r.fail {
			return nil, errScan
		}
		h.pos = r.pos
	}
}

func decodeScan(r *bitReader, f *frame, s *scan, blocks [][][64]int) {
	var last [maxPlanes]int
	runs, left := 0, s.interval
	dc, ac := make([]map[uint32]byte, len(s.parts)), make([]map[uint32]byte, len(s.parts))
	for i, p := range s.parts {
		dc[i], ac[i] = invert(p.dc), invert(p.ac)
	}
	mcu := func() {
		if s.interval > 0 && left == 0 {
			r.restart()
			last, runs, left = [maxPlanes]int{}, 0, s.interval
		}
		left--
	}
	one := func(part int, b *[64]int) {
		c := s.parts[part].component
		if s.ss == 0 {
			if s.ah == 0 {
				last[c] += r.receive(r.symbol(dc[part]))
				b[0] = last[c] << s.al
			} else {
				b[0] |= r.bit() << s.al
			}
		}
		switch {
		case s.se == 0:
		case !f.progressive:
			decodeBand(r, ac[part], b, 1, 63, 0, &runs)
		case s.ah == 0:
			decodeBand(r, ac[part], b, s.ss, s.se, s.al, &runs)
		default:
			decodeRefine(r, ac[part], b, s, &runs)
		}
	}
	if len(s.parts) == 1 {
		c := s.parts[0].component
		wide, high, padWide, _ := f.size(c)
		for y := range high {
			for x := range wide {
				mcu()
				one(0, &blocks[c][y*padWide+x])
				if r.fail {
					return
				}
			}
		}
		return
	}
	for y := range ceilDiv(f.height, 8*f.vMax) {
		for x := range ceilDiv(f.width, 8*f.hMax) {
			mcu()
			for part, p := range s.parts {
				k := f.components[p.component]
				_, _, padWide, _ := f.size(p.component)
				for v := range k.v {
					for u := range k.h {
						one(part, &blocks[p.component][(y*k.v+v)*padWide+x*k.h+u])
					}
				}
			}
			if r.fail {
				return
			}
		}
	}
}

func decodeBand(r *bitReader, ac map[uint32]byte, b *[64]int, ss, se, al int, runs *int) {
	if *runs > 0 {
		*runs--
		return
	}
	for k := ss; k <= se; k++ {
		symbol := r.symbol(ac)
		run, n := symbol>>4, symbol&15
		if n == 0 {
			if run < 15 {
				*runs = 1<<run + r.bits(run) - 1
				return
			}
			k += 15
			continue
		}
		if k += run; k > se {
			r.fail = true
			return
		}
		b[k] = r.receive(n) * (1 << al)
	}
}

func decodeRefine(r *bitReader, ac map[uint32]byte, b *[64]int, s *scan, runs *int) {
	refine := func(k int) {
		if r.bit() == 1 {
			if b[k] > 0 {
				b[k] += 1 << s.al
			} else {
				b[k] -= 1 << s.al
			}
		}
	}
	k := s.ss
	if *runs == 0 {
		for ; k <= s.se; k++ {
			symbol := r.symbol(ac)
			run, fresh := symbol>>4, 0
			switch symbol & 15 {
			case 1:
				fresh = (2*r.bit() - 1) << s.al
			case 0:
				if run < 15 {
					*runs = 1<<run + r.bits(run)
				}
			default:
				r.fail = true
				return
			}
			if *runs > 0 {
				break
			}
			for ; k <= s.se; k++ {
				if b[k] != 0 {
					refine(k)
				} else if run--; run < 0 {
					break
				}
			}
			if k > s.se && fresh != 0 {
				r.fail = true
				return
			}
			if k <= s.se {
				b[k] = fresh
			}
		}
	}
	if *runs > 0 {
		for ; k <= s.se; k++ {
			if b[k] != 0 {
				refine(k)
			}
		}
		*runs--
	}
}

// collect makes Coefficients of dense blocks.
func collect(f *frame, blocks [][][64]int) *Coefficients {
	out := &Coefficients{Width: f.width, Height: f.height, Planes: make([]Plane, len(blocks))}
	for c := range blocks {
		p := &out.Planes[c]
		_, _, wide, high := f.size(c)
		p.reset(f.components[c].h, f.components[c].v, wide, high)
		for i := range blocks[c] {
			p.Masks[i], p.First[i] = 0, uint32(len(p.Values))
			for k, v := range blocks[c][i] {
				if v != 0 {
					p.Masks[i] |= 1 << k
					p.Values = append(p.Values, int16(v))
				}
			}
			if n := bits.OnesCount64(p.Masks[i]); int(p.First[i])+n != len(p.Values) {
				panic("masks and values differ")
			}
		}
	}
	return out
}
