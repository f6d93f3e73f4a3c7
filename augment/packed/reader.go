package packed

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// read reads the coefficients of a pack, in c's memory.
func (c *Coefficients) read(l *layout) error {
	c.Width, c.Height = l.width, l.height
	if cap(c.Planes) < l.count {
		c.Planes = make([]Plane, l.count)
	}
	c.Planes = c.Planes[:l.count]
	for i := range c.Planes {
		k := &l.planes[i]
		c.Planes[i].reset(k.h, k.v, k.wide, k.high)
	}
	row := 0
	for y := range l.mcusY {
		for i := range c.Planes {
			p := &c.Planes[i]
			for v := range p.V {
				b, err := l.row(row)
				if err != nil {
					return err
				}
				if err := p.readRow(b, y*p.V+v); err != nil {
					return corrupt("row %d: %v", row, err)
				}
				row++
			}
		}
	}
	return nil
}

// readRow reads a row of blocks.
func (p *Plane) readRow(b []byte, y int) error {
	segments := ceilDiv(p.Wide, segmentSize)
	lengths := b
	if len(b) < 2*(segments-1) {
		return errSegment
	}
	b = b[2*(segments-1):]
	for s := range segments {
		part := b
		if s < segments-1 {
			n := int(binary.LittleEndian.Uint16(lengths[2*s:]))
			if n > len(b) {
				return errSegment
			}
			part, b = b[:n], b[n:]
		}
		first := y*p.Wide + s*segmentSize
		if err := p.readSegment(part, first, min(segmentSize, p.Wide-s*segmentSize)); err != nil {
			return err
		}
	}
	return nil
}

var errSegment = corrupt("a segment's streams don't fill it")

// stream takes the first n bytes of b.
func stream(b []byte, n int) (head, rest []byte, ok bool) {
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// readSegment reads n blocks, from block first on.
func (p *Plane) readSegment(b []byte, first, n int) error {
	masks := p.Masks[first : first+n]
	total, b, err := readMasks(b, masks)
	if err != nil {
		return err
	}
	d, b, ok := stream(b, n)
	if !ok {
		return errSegment
	}
	long := 0
	for _, v := range d {
		if v == 0x80 {
			long++
		}
	}
	d2, b, ok := stream(b, 2*long)
	if !ok {
		return errSegment
	}
	var ac acStreams
	if b, ok = ac.split(b, total); !ok || len(b) > 0 {
		return errSegment
	}
	dc := int16(0)
	p.Values = slices.Grow(p.Values, total+n)
	for i := range masks {
		if d[i] == 0x80 {
			dc = int16(binary.LittleEndian.Uint16(d2))
			d2 = d2[2:]
		} else {
			dc += int16(int8(d[i]))
		}
		p.First[first+i] = uint32(len(p.Values))
		count := bits.OnesCount64(masks[i])
		if dc != 0 {
			p.Values = append(p.Values, dc)
			masks[i] |= 1
		}
		if p.Values, ok = ac.append(p.Values, count); !ok {
			return corrupt("an escaped value makes no sense")
		}
	}
	return nil
}

// readMasks reads the streams L and M: masks with bit 0 clear, for the DC coefficient. It
// returns how many bits they have.
func readMasks(b []byte, masks []uint64) (total int, rest []byte, err error) {
	n := len(masks)
	lengths, b, ok := stream(b, (n+1)/2)
	if !ok || n&1 == 1 && lengths[n/2]>>4 != 0 {
		return 0, nil, errSegment
	}
	for i := range masks {
		size := int(lengths[i>>1]>>(4*(i&1))) & 15
		var m uint64
		switch {
		case size > 8 || size > len(b):
			return 0, nil, errSegment
		case size == 0:
		case len(b) >= 8:
			m = binary.LittleEndian.Uint64(b) << (64 - 8*size) >> (64 - 8*size)
		default:
			for k := range size {
				m |= uint64(b[k]) << (8 * k)
			}
		}
		if m>>63 != 0 || size > 0 && m>>(8*size-8) == 0 {
			return 0, nil, corrupt("a mask of %d bytes is %#x", size, m)
		}
		b = b[size:]
		masks[i] = m << 1
		total += bits.OnesCount64(m)
	}
	return total, b, nil
}

// acStreams are the streams of AC coefficients.
type acStreams struct {
	signs, big []byte
	nibbles    []byte
	wide, low  []byte // E and P
	at, nibble int    // coefficients and nibbles that are read
}

// split takes the streams of n coefficients from b.
func (a *acStreams) split(b []byte, n int) (rest []byte, ok bool) {
	if a.signs, b, ok = stream(b, (n+7)/8); !ok || !padded(a.signs, n) {
		return nil, false
	}
	if a.big, b, ok = stream(b, (n+7)/8); !ok || !padded(a.big, n) {
		return nil, false
	}
	big := 0
	for _, v := range a.big {
		big += bits.OnesCount8(v)
	}
	if a.nibbles, b, ok = stream(b, (big+1)/2); !ok || big&1 == 1 && a.nibbles[big/2]>>4 != 0 {
		return nil, false
	}
	wide := 0
	for _, v := range a.nibbles {
		if v&15 == 15 {
			wide++
		}
		if v >= 0xf0 {
			wide++
		}
	}
	if a.wide, b, ok = stream(b, wide); !ok {
		return nil, false
	}
	low := 0
	for _, v := range a.wide {
		low += int(v >> 7)
	}
	a.low, b, ok = stream(b, low)
	return b, ok
}

// padded reports whether the bits behind the first n are 0.
func padded(b []byte, n int) bool { return n&7 == 0 || b[n/8]>>(n&7) == 0 }

// append reads n coefficients. out has room for them.
func (a *acStreams) append(out []int16, n int) ([]int16, bool) {
	// A load of 8 bytes has 57 bits of a stream, or 15 nibbles, from any bit on.
	const most = 15
	for n > 0 {
		k := min(n, most)
		n -= k
		signs, big, nibbles := window(a.signs, a.at), window(a.big, a.at), window(a.nibbles, 4*a.nibble)
		a.at += k
		for range k {
			negative, wide := -int(signs&1), -int(big&1)
			nibble := int(nibbles) & 15 & wide
			v := 1 + wide&1 + nibble
			if nibble == 15 {
				var ok bool
				if v, ok = a.escaped(); !ok {
					return out, false
				}
			}
			signs, big, nibbles = signs>>1, big>>1, nibbles>>(4&wide)
			a.nibble += wide & 1
			out = append(out, int16((v^negative)-negative))
		}
	}
	return out, true
}

// window is 8 bytes of the stream from a bit on. A pack has bytes enough behind its
// streams.
func window(b []byte, bit int) uint64 {
	at := bit >> 3
	return binary.LittleEndian.Uint64(b[at:at+8]) >> (bit & 7)
}

// escaped is the value of a nibble of 15.
func (a *acStreams) escaped() (int, bool) {
	e := int(a.wide[0])
	a.wide = a.wide[1:]
	if e < 128 {
		return e + 17, e <= 110
	}
	v := (e-128)<<8 | int(a.low[0])
	a.low = a.low[1:]
	return v, v >= 128
}
