package augment

import (
	"image"
	"image/color"
)

// Image is a decoded picture: (H,W,3) uint8, HWC, RGB, without padding.
type Image struct {
	W, H int
	Pix  []byte // 3·W·H bytes

	chroma []byte // scratch of fillJFIF: two rows of the box
}

// reset changes the picture's size, keeping its memory. Its pixels are undefined.
func (m *Image) reset(w, h int) {
	m.W, m.H, m.Pix = w, h, grow(m.Pix, 3*w*h)
}

// row is the box's part of row y.
func (m *Image) row(y int, box Box) []byte {
	at := 3 * (y*m.W + box.X)
	return m.Pix[at : at+3*box.W]
}

// fill copies the box of a decoder's picture into m, as PIL's convert("RGB") would: alpha
// is dropped, not blended; of 16 bits the upper 8 are kept. It returns false for an
// unknown type of picture.
func (m *Image) fill(src image.Image, box Box, limited bool) bool {
	at := src.Bounds().Min
	switch s := src.(type) {
	case *image.YCbCr:
		if limited {
			m.fillVP8(s, box)
		} else {
			m.fillJFIF(s, box)
		}
	case *image.NYCbCrA:
		m.fillVP8(&s.YCbCr, box)
	case *image.Gray:
		m.each(box, s.Pix[s.PixOffset(at.X, at.Y):], s.Stride, 1, 0, 0)
	case *image.Gray16:
		m.each(box, s.Pix[s.PixOffset(at.X, at.Y):], s.Stride, 2, 0, 0)
	case *image.RGBA: // from image/png: opaque, so premultiplying changes nothing
		m.each(box, s.Pix[s.PixOffset(at.X, at.Y):], s.Stride, 4, 1, 2)
	case *image.NRGBA:
		m.each(box, s.Pix[s.PixOffset(at.X, at.Y):], s.Stride, 4, 1, 2)
	case *image.RGBA64:
		m.each(box, s.Pix[s.PixOffset(at.X, at.Y):], s.Stride, 8, 2, 4)
	case *image.NRGBA64:
		m.each(box, s.Pix[s.PixOffset(at.X, at.Y):], s.Stride, 8, 2, 4)
	case *image.Paletted:
		var lut [256][3]byte
		for i, c := range s.Palette {
			if i < len(lut) {
				n := color.NRGBAModel.Convert(c).(color.NRGBA)
				lut[i] = [3]byte{n.R, n.G, n.B}
			}
		}
		for y := box.Y; y < box.Y+box.H; y++ {
			in, out := s.Pix[y*s.Stride+box.X:][:box.W], m.row(y, box)
			for x, v := range in {
				copy(out[3*x:3*x+3], lut[v][:])
			}
		}
	case *image.CMYK:
		m.fillCMYK(s, box)
	default:
		return false
	}
	return true
}

// each copies bytes 0, g and b of pixels that are step bytes apart.
func (m *Image) each(box Box, pix []byte, stride, step, g, b int) {
	for y := box.Y; y < box.Y+box.H; y++ {
		in, out := pix[y*stride+step*box.X:][:step*box.W], m.row(y, box)
		for i, o := 0, 0; o < len(out); i, o = i+step, o+3 {
			p, q := in[i:i+step:i+step], out[o:o+3:o+3]
			q[0], q[1], q[2] = p[0], p[g], p[b]
		}
	}
}

// fillCMYK is PIL's cmyk2rgb: K scales what C, M and Y leave.
func (m *Image) fillCMYK(s *image.CMYK, box Box) {
	for y := box.Y; y < box.Y+box.H; y++ {
		in, out := s.Pix[y*s.Stride+4*box.X:][:4*box.W], m.row(y, box)
		for x := range box.W {
			p, q := in[4*x:4*x+4:4*x+4], out[3*x:3*x+3:3*x+3]
			white := uint32(255 - p[3])
			for c := range 3 {
				t := uint32(p[c])*white + 128
				q[c] = byte(white - (t>>8+t)>>8)
			}
		}
	}
}
