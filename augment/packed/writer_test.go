package packed

import (
	"encoding/binary"
	"math/bits"
)

// A writer of the format, for the tests: package turbo's is in C. Quantization, which the
// format has for the pixels alone, is 1.

func writePack(c *Coefficients, jpeg int) []byte {
	le := binary.LittleEndian
	out := append([]byte(Magic), version, byte(len(c.Planes)/2), byte(len(c.Planes)), 1)
	out = le.AppendUint16(out, uint16(c.Width))
	out = le.AppendUint16(out, uint16(c.Height))
	out = append(out, make([]byte, 8)...)
	out = le.AppendUint32(out, uint32(jpeg))
	for _, p := range c.Planes {
		out = append(out, byte(p.H), byte(p.V), 0)
	}
	for range 64 {
		out = append(out, 1)
	}
	var data []byte
	offsets := []uint32{0}
	for y := 0; y*c.Planes[0].V < c.Planes[0].High; y++ {
		for i := range c.Planes {
			p := &c.Planes[i]
			for v := range p.V {
				data = writeRow(data, p, (y*p.V+v)*p.Wide)
				offsets = append(offsets, uint32(len(data)))
			}
		}
	}
	for _, o := range offsets {
		out = le.AppendUint32(out, o)
	}
	le.PutUint32(out[16:], uint32(len(data)))
	out = append(out, data...)
	return append(out, make([]byte, slackBytes)...)
}

func writeRow(out []byte, p *Plane, first int) []byte {
	var parts [][]byte
	for at := 0; at < p.Wide; at += segmentSize {
		parts = append(parts, writeSegment(p, first+at, min(segmentSize, p.Wide-at)))
	}
	for _, s := range parts[:len(parts)-1] {
		out = binary.LittleEndian.AppendUint16(out, uint16(len(s)))
	}
	for _, s := range parts {
		out = append(out, s...)
	}
	return out
}

func writeSegment(p *Plane, first, n int) []byte {
	var lengths, nibbles []int
	var masks, d, d2, wide, low []byte
	var signs, big []int
	last := 0
	for i := first; i < first+n; i++ {
		m := p.Masks[i] >> 1
		size := (bits.Len64(m) + 7) / 8
		lengths = append(lengths, size)
		for k := range size {
			masks = append(masks, byte(m>>(8*k)))
		}
		if diff := p.dc(i) - last; diff >= -127 && diff <= 127 {
			d = append(d, byte(diff))
		} else {
			d = append(d, 0x80)
			d2 = binary.LittleEndian.AppendUint16(d2, uint16(p.dc(i)))
		}
		last = p.dc(i)
		at := int(p.First[i]) + int(p.Masks[i]&1)
		for _, v := range p.Values[at : at+bits.OnesCount64(m)] {
			size, negative := int(v), 0
			if v < 0 {
				size, negative = -size, 1
			}
			signs = append(signs, negative)
			big = append(big, min(size-1, 1))
			switch {
			case size == 1:
			case size <= 16:
				nibbles = append(nibbles, size-2)
			case size <= 127:
				nibbles, wide = append(nibbles, 15), append(wide, byte(size-17))
			default:
				nibbles, wide, low = append(nibbles, 15), append(wide, byte(128+size>>8)), append(low, byte(size))
			}
		}
	}
	pack := func(v []int, width int) []byte {
		out := make([]byte, (len(v)*width+7)/8)
		for i, x := range v {
			out[i*width/8] |= byte(x << (i * width % 8))
		}
		return out
	}
	out := pack(lengths, 4)
	for _, s := range [][]byte{masks, d, d2, pack(signs, 1), pack(big, 1), pack(nibbles, 4), wide, low} {
		out = append(out, s...)
	}
	return out
}
