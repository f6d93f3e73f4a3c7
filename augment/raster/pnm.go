package raster

import "math"

// PNM: "P" and a digit, then width, height and, but for bitmaps, the largest value, as text
// with comments, then the values as text (1–3) or as bytes (4–6).

type pnm struct {
	kind byte // '1' … '6'
	w, h int
	most int // largest value; 1 for bitmaps
	body []byte
}

func (p *pnm) Size() (w, h int) { return p.w, p.h }

func pnmSpace(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }

// pnmNumbers reads numbers in text.
type pnmNumbers struct{ rest []byte }

// skip passes over space and comments.
func (n *pnmNumbers) skip() {
	for len(n.rest) > 0 {
		switch {
		case pnmSpace(n.rest[0]):
			n.rest = n.rest[1:]
		case n.rest[0] == '#':
			for len(n.rest) > 0 && n.rest[0] != '\n' && n.rest[0] != '\r' {
				n.rest = n.rest[1:]
			}
		default:
			return
		}
	}
}

// next is the next number, 10⁹ at most.
func (n *pnmNumbers) next() (int, error) {
	n.skip()
	v, digits := 0, 0
	for digits < len(n.rest) && '0' <= n.rest[digits] && n.rest[digits] <= '9' {
		if v = 10*v + int(n.rest[digits]-'0'); v > 1e9 {
			return 0, corrupt("PNM with a number over 10⁹")
		}
		digits++
	}
	switch {
	case digits == len(n.rest) && digits == 0:
		return 0, errCut
	case digits == 0, digits < len(n.rest) && !pnmSpace(n.rest[digits]) && n.rest[digits] != '#':
		return 0, corrupt("PNM with %q where a number should be", n.rest[digits])
	}
	n.rest = n.rest[digits:]
	return v, nil
}

// bit is the next digit of a bitmap, which needs no space around it.
func (n *pnmNumbers) bit() (int, error) {
	n.skip()
	if len(n.rest) == 0 {
		return 0, errCut
	}
	b := n.rest[0]
	if b != '0' && b != '1' {
		return 0, corrupt("PBM with %q where 0 or 1 should be", b)
	}
	n.rest = n.rest[1:]
	return int(b - '0'), nil
}

func openPNM(b []byte) (Picture, error) {
	p, n := &pnm{kind: b[1], most: 1}, &pnmNumbers{b[2:]}
	fields := []*int{&p.w, &p.h, &p.most}
	if p.kind == '1' || p.kind == '4' {
		fields = fields[:2]
	}
	for _, f := range fields {
		var err error
		if *f, err = n.next(); err != nil {
			return nil, err
		}
	}
	if p.most < 1 || p.most > 65535 {
		return nil, corrupt("PNM whose largest value is %d", p.most)
	}
	if len(n.rest) > 0 { // one space ends the header
		n.rest = n.rest[1:]
	}
	p.body = n.rest
	return p, nil
}

func (p *pnm) Decode(dst []byte) error {
	channels := 1
	if p.kind == '3' || p.kind == '6' {
		channels = 3
	}
	if p.kind == '4' {
		return p.decodeBits(dst)
	}
	value := p.text()
	if p.kind >= '4' {
		wide := 1
		if p.most > 255 {
			wide = 2
		}
		if len(p.body) < wide*channels*p.w*p.h {
			return errCut
		}
		value = p.bytes(wide)
	}
	scale := p.scale()
	for i := range p.w * p.h {
		for c := range channels {
			v, err := value()
			if err != nil {
				return err
			}
			dst[3*i+c] = scale[min(v, p.most)]
		}
		if channels == 1 {
			dst[3*i+1], dst[3*i+2] = dst[3*i], dst[3*i]
		}
	}
	return nil
}

// text gives the values of a text file.
func (p *pnm) text() func() (int, error) {
	n := &pnmNumbers{p.body}
	if p.kind == '1' {
		return func() (int, error) { v, err := n.bit(); return 1 - v, err } // 1 is black
	}
	return func() (int, error) {
		v, err := n.next()
		if err == nil && v > p.most {
			err = corrupt("PNM with the value %d, over %d", v, p.most)
		}
		return v, err
	}
}

// bytes gives the values of a file of bytes, which has enough of them.
func (p *pnm) bytes(wide int) func() (int, error) {
	at := 0
	return func() (int, error) {
		v := int(p.body[at])
		if wide == 2 {
			v = v<<8 | int(p.body[at+1])
		}
		at += wide
		return v, nil
	}
}

func (p *pnm) decodeBits(dst []byte) error {
	stride := (p.w + 7) / 8
	if len(p.body) < stride*p.h {
		return errCut
	}
	row := make([]byte, p.w)
	for y := range p.h {
		spread(row, p.body[stride*y:], 1)
		for x, v := range row {
			g := 255 * (1 - v) // 1 is black
			at := 3 * (y*p.w + x)
			dst[at], dst[at+1], dst[at+2] = g, g, g
		}
	}
	return nil
}

// scale maps values to 8 bits, as Pillow does: to the nearest, halves to the even one.
// Division and product round alike on every machine.
func (p *pnm) scale() []byte {
	out := make([]byte, p.most+1)
	for v := range out {
		out[v] = byte(math.RoundToEven(float64(v) / float64(p.most) * 255))
	}
	return out
}
