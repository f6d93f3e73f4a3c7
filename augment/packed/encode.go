package packed

import "math/bits"

// encoder writes the entropy-coded bytes of scans, as libjpeg does: where the standard
// leaves a choice, most files in the world took libjpeg's.
type encoder struct {
	bitWriter
	frame  *frame
	planes []Plane
	dc     [maxPlanes]int // the last one of each component
	bad    bool           // a table lacks a code, or a value has none
	full   bool           // more bytes than may be written

	// Of a progressive scan of some AC coefficients:
	runs        int    // blocks that end and are not written yet (EOBRUN)
	corrections []byte // their correction bits, and behind them those of the block in work
}

// A value of 16 bits or more has no code.
const mostBits = 15

// block writes one block of a scan.
type block func(e *encoder, s *scan, part, i int)

// scan writes the entropy-coded bytes of a scan, with its restart markers.
func (e *encoder) scan(s *scan) error {
	write, err := e.kind(s)
	if err != nil {
		return err
	}
	e.restart()
	left, marker := s.interval, 0
	begin := func() { // an MCU
		if s.interval == 0 {
			return
		}
		e.full = e.full || !e.room()
		if left == 0 {
			e.endRun(s)
			e.end()
			e.out = append(e.out, 0xff, byte(markerRST0+marker))
			e.restart()
			left, marker = s.interval, (marker+1)&7
		}
		left--
	}
	if len(s.parts) == 1 {
		c := s.parts[0].component
		wide, high, _, _ := e.frame.size(c)
		for y := 0; y < high && !e.full && !e.bad; y++ {
			first := y * e.planes[c].Wide
			for i := first; i < first+wide; i++ {
				begin()
				e.full = e.full || !e.room()
				write(e, s, 0, i)
			}
		}
	} else {
		e.interleaved(s, begin, write)
	}
	e.room()
	e.endRun(s)
	e.end()
	switch {
	case e.bad:
		return corrupt("a coefficient that the file's Huffman tables have no code for")
	case e.full || len(e.out) > e.most:
		return corrupt("more bytes than the file had")
	}
	return nil
}

func (e *encoder) interleaved(s *scan, begin func(), write block) {
	across, down := ceilDiv(e.frame.width, 8*e.frame.hMax), ceilDiv(e.frame.height, 8*e.frame.vMax)
	for y := 0; y < down && !e.full && !e.bad; y++ {
		for x := range across {
			begin()
			for part := range s.parts {
				c := s.parts[part].component
				k, wide := &e.frame.components[c], e.planes[c].Wide
				for v := range k.v {
					first := (y*k.v+v)*wide + x*k.h
					for i := first; i < first+k.h; i++ {
						e.full = e.full || !e.room()
						write(e, s, part, i)
					}
				}
			}
		}
	}
}

// kind is how blocks of the scan are written. It checks that the scan has its tables.
func (e *encoder) kind(s *scan) (block, error) {
	var dc, ac bool
	var write block
	switch {
	case !e.frame.progressive:
		dc, ac, write = true, true, (*encoder).sequential
	case s.ss == 0 && s.ah == 0:
		dc, write = true, (*encoder).dcFirst
	case s.ss == 0:
		write = (*encoder).dcRefine
	case s.ah == 0:
		ac, write = true, (*encoder).acFirst
	default:
		ac, write = true, (*encoder).acRefine
	}
	for _, p := range s.parts {
		if dc && p.dc == nil || ac && p.ac == nil {
			return nil, corrupt("a scan without its Huffman table")
		}
		if dc && ac {
			p.ac.prepare()
		}
	}
	return write, nil
}

// restart forgets what came before.
func (e *encoder) restart() {
	e.dc = [maxPlanes]int{}
	e.runs, e.corrections = 0, e.corrections[:0]
}

// code writes a symbol of the table, and after it the n low bits of extra.
func (e *encoder) code(t *huffman, symbol int, extra uint32, n uint) {
	c := t.codes[symbol]
	if c == 0 {
		e.bad = true
	}
	e.put(c>>8<<n|extra&(1<<n-1), uint(c&0xff)+n)
}

// value is how many bits v is coded with, and those bits.
func value(v int) (n uint, extra uint32) {
	sign := v >> 63
	return uint(bits.Len(uint((v ^ sign) - sign))), uint32(v + sign)
}

func (e *encoder) diff(t *huffman, component, v int) {
	n, extra := value(v - e.dc[component])
	e.dc[component] = v
	if n > mostBits {
		e.bad = true
		return
	}
	e.code(t, int(n), extra, n)
}

// sequential writes a whole block. It is most of the work, so that the writer's state is
// kept in registers.
func (e *encoder) sequential(s *scan, part, i int) {
	p := &s.parts[part]
	plane := &e.planes[p.component]
	e.diff(p.dc, p.component, plane.dc(i))
	mask := plane.Masks[i]
	at := int(plane.First[i]) + int(mask&1)
	mask &^= 1
	values := plane.Values[at : at+bits.OnesCount64(mask)]
	ac, small, last := &p.ac.codes, &p.ac.small, 0
	acc, held, out := e.acc, e.n, e.out
	missing := false
	for _, c := range values {
		k := bits.TrailingZeros64(mask)
		mask &= mask - 1
		run := k - last - 1
		last = k
		for ; run > 15; run -= 16 {
			code := ac[0xf0]
			missing = missing || code == 0
			acc = acc<<(code&31) | uint64(code>>8)
			if held += uint(code & 31); held >= 32 {
				held -= 32
				out = append32(out, uint32(acc>>held))
			}
		}
		var word uint32
		var n uint
		if v := uint32(int32(c) + smallest); v < 2*smallest {
			word = small[(run*2*smallest+int(v))%len(small)]
			n, word = uint(word&31), word>>8
			missing = missing || n == 0
		} else {
			sign := int32(c) >> 31
			n = uint(bits.Len32(uint32((int32(c)^sign)-sign))) & 31
			code := ac[(run<<4|int(n))&0xff]
			missing = missing || code == 0 || n > mostBits
			word = code>>8<<n | uint32(int32(c)+sign)&(1<<n-1)
			n += uint(code & 31)
		}
		acc = acc<<(n&63) | uint64(word)
		if held += n; held >= 32 {
			held -= 32
			out = append32(out, uint32(acc>>(held&31)))
		}
	}
	e.acc, e.n, e.out = acc, held, out
	e.bad = e.bad || missing
	if last != 63 {
		e.code(p.ac, 0, 0, 0)
	}
}
