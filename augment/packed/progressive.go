package packed

import "math/bits"

// The coefficients of a progressive file are coded by some scans each: those of the DC
// coefficients may hold all components, those of some AC coefficients hold one. The first
// scan of a coefficient has its upper bits, shifted by al; each later one has one bit more.

func (e *encoder) dcFirst(s *scan, part, i int) {
	p := &s.parts[part]
	e.diff(p.dc, p.component, e.planes[p.component].dc(i)>>s.al)
}

func (e *encoder) dcRefine(s *scan, part, i int) {
	e.put(uint32(e.planes[s.parts[part].component].dc(i)>>s.al)&1, 1)
}

// band is the part of a block's mask that the scan codes, and where its first value is.
func (p *Plane) band(s *scan, i int) (mask uint64, at int) {
	all := p.Masks[i]
	below := uint64(1)<<s.ss - 1
	return all &^ below & (^uint64(0) >> (63 - s.se)), int(p.First[i]) + bits.OnesCount64(all&below)
}

// magnitude is |c| without its al lowest bits.
func magnitude(c int16, al int) uint32 {
	sign := int32(c) >> 31
	return uint32((int32(c)^sign)-sign) >> al
}

func (e *encoder) acFirst(s *scan, _, i int) {
	plane := &e.planes[s.parts[0].component]
	ac, last := s.parts[0].ac, s.ss-1
	for mask, at := plane.band(s, i); mask != 0; at++ {
		k := bits.TrailingZeros64(mask)
		mask &= mask - 1
		c := plane.Values[at]
		size := magnitude(c, s.al)
		if size == 0 {
			continue
		}
		e.endRun(s)
		run := k - last - 1
		last = k
		for ; run > 15; run -= 16 {
			e.code(ac, 0xf0, 0, 0)
		}
		n := uint(bits.Len32(size))
		if n > mostBits {
			e.bad = true
			return
		}
		if c < 0 {
			size = ^size
		}
		e.code(ac, run<<4|int(n), size, n)
	}
	if last != s.se {
		e.skip(s)
	}
}

// longestRun is the most blocks that one code ends.
const longestRun = 0x7fff

// skip adds a block to the run of those that end.
func (e *encoder) skip(s *scan) {
	if e.runs++; e.runs == longestRun {
		e.endRun(s)
	}
}

// endRun writes the run of blocks that end, and their correction bits.
func (e *encoder) endRun(s *scan) {
	e.endRunKeeping(s, 0)
}

// endRunKeeping is endRun but for the last correction bits, which are those of a block that
// does not end yet.
func (e *encoder) endRunKeeping(s *scan, keep int) {
	if e.runs == 0 {
		return
	}
	n := uint(bits.Len(uint(e.runs))) - 1
	e.code(s.parts[0].ac, int(n<<4), uint32(e.runs), n)
	e.runs = 0
	e.correct(len(e.corrections) - keep)
}

// correct writes the first n correction bits.
func (e *encoder) correct(n int) {
	for _, b := range e.corrections[:n] {
		e.put(uint32(b), 1)
	}
	e.corrections = e.corrections[:copy(e.corrections, e.corrections[n:])]
}

// mostCorrections is what libjpeg collects before it ends a run: its 1000, without room
// for another block.
const mostCorrections = 1000 - 64 + 1

func (e *encoder) acRefine(s *scan, _, i int) {
	plane := &e.planes[s.parts[0].component]
	ac := s.parts[0].ac
	mask, at := plane.band(s, i)
	// The last coefficient that this scan makes other than 0: zeros behind it are not coded.
	lastNew := 0
	for m, a := mask, at; m != 0; a++ {
		if magnitude(plane.Values[a], s.al) == 1 {
			lastNew = bits.TrailingZeros64(m)
		}
		m &= m - 1
	}
	run, own := 0, 0 // zeros before coefficient k; correction bits of this block that wait
	last := s.ss - 1
	for ; mask != 0; at++ {
		k := bits.TrailingZeros64(mask)
		mask &= mask - 1
		c := plane.Values[at]
		size := magnitude(c, s.al)
		if size == 0 {
			continue
		}
		run += k - last - 1
		last = k
		for run > 15 && k <= lastNew {
			e.endRunKeeping(s, own)
			e.code(ac, 0xf0, 0, 0)
			run -= 16
			e.correct(own)
			own = 0
		}
		if size > 1 {
			e.corrections = append(e.corrections, byte(size&1))
			own++
			continue
		}
		e.endRunKeeping(s, own)
		sign := uint32(1)
		if c < 0 {
			sign = 0
		}
		e.code(ac, run<<4|1, sign, 1)
		e.correct(own)
		run, own = 0, 0
	}
	if run += s.se - last; run > 0 || own > 0 {
		e.runs++
		if e.runs == longestRun || len(e.corrections) > mostCorrections {
			e.endRun(s)
		}
	}
}
