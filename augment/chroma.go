package augment

import "image"

// Chroma planes are smaller than the luma plane, and the method of upsampling is
// visible. image/jpeg leaves it to color conversion, which repeats pixels. Other
// loaders, and so trained networks, have libjpeg's "fancy upsampling", a triangle filter,
// and its 16-bit fixed-point conversion; this file implements both.

// chromaRows are the nearest and the second-nearest chroma row to luma row y, of rows
// rows; halved means that they are subsampled by two.
func chromaRows(y, rows int, halved bool) (near, far int) {
	if !halved {
		return y, y
	}
	near = y / 2
	if y%2 == 0 {
		far = near - 1
	} else {
		far = near + 1
	}
	return min(near, rows-1), min(max(far, 0), rows-1)
}

// fillJFIF converts a JPEG's picture: full-range ITU-R 601, as libjpeg does.
func (m *Image) fillJFIF(s *image.YCbCr, box Box) {
	halfX, halfY, fancy := false, false, true
	switch s.SubsampleRatio {
	case image.YCbCrSubsampleRatio444:
	case image.YCbCrSubsampleRatio422:
		halfX = true
	case image.YCbCrSubsampleRatio420:
		halfX, halfY = true, true
	case image.YCbCrSubsampleRatio440:
		halfY = true
	default: // 4:1:1 and 4:1:0: libjpeg repeats pixels, too
		fancy = false
	}
	cw, ch := m.W, m.H
	if halfX {
		cw = (m.W + 1) / 2
		// libjpeg repeats pixels where the chroma plane has two columns or fewer.
		fancy = fancy && cw > 2
	}
	if halfY {
		ch = (m.H + 1) / 2
	}
	// Chroma of one row of the box, at luma's resolution.
	m.chroma = grow(m.chroma, 2*box.W)
	line := m.chroma
	cb, cr := line[:box.W], line[box.W:]
	x0, y0 := s.Rect.Min.X, s.Rect.Min.Y
	for y := box.Y; y < box.Y+box.H; y++ {
		luma := s.Y[y*s.YStride+box.X:][:box.W]
		if fancy {
			near, far := chromaRows(y, ch, halfY)
			for i, plane := range [2][]byte{s.Cb, s.Cr} {
				fancyRow(line[i*box.W:(i+1)*box.W], plane[near*s.CStride:][:cw], plane[far*s.CStride:][:cw], box.X, halfX, halfY, y%2)
			}
		} else {
			for x := range box.W {
				i := s.COffset(x0+box.X+x, y0+y)
				cb[x], cr[x] = s.Cb[i], s.Cr[i]
			}
		}
		out := m.row(y, box)
		for x, v := range luma {
			l, u, w := int32(v), int32(cb[x])-128, int32(cr[x])-128
			o := out[3*x : 3*x+3 : 3*x+3]
			o[0] = clip(l + (91881*w+32768)>>16)
			o[1] = clip(l + (-22554*u-46802*w+32768)>>16)
			o[2] = clip(l + (116130*u+32768)>>16)
		}
	}
}

// fancyRow upsamples one row of chroma by libjpeg's triangle filter: three quarters of
// the nearer sample and one of the farther, in each direction that is subsampled, with
// libjpeg's alternating bias in the rounding.
func fancyRow(dst, near, far []byte, x0 int, halfX, halfY bool, odd int) {
	switch {
	case !halfX && !halfY:
		copy(dst, near[x0:])
	case !halfX: // h1v2: bias 1 for the upper row of a pair, 2 for the lower
		for i := range dst {
			dst[i] = byte((3*int32(near[x0+i]) + int32(far[x0+i]) + 1 + int32(odd)) >> 2)
		}
	default:
		last := len(near) - 1
		for i := range dst {
			x := x0 + i
			c := x / 2
			n := c - 1 + 2*(x%2)
			n = min(max(n, 0), last)
			if !halfY { // h2v1
				bias := int32(1 + x%2)
				if n == c { // the first and last samples are copied
					dst[i] = near[c]
				} else {
					dst[i] = byte((3*int32(near[c]) + int32(near[n]) + bias) >> 2)
				}
				continue
			}
			// h2v2: sums of columns first, then sixteenths with bias 8, then 7.
			this := 3*int32(near[c]) + int32(far[c])
			next := 3*int32(near[n]) + int32(far[n])
			dst[i] = byte((3*this + next + 8 - int32(x%2)) >> 4)
		}
	}
}

// fillVP8 converts a lossy WebP's picture: limited-range ITU-R 601 in libwebp's
// 14-bit arithmetic, 4:2:0 chroma by its 9-3-3-1 filter.
func (m *Image) fillVP8(s *image.YCbCr, box Box) {
	cw, ch := (m.W+1)/2, (m.H+1)/2
	for y := box.Y; y < box.Y+box.H; y++ {
		near, far := chromaRows(y, ch, true)
		luma := s.Y[y*s.YStride+box.X:][:box.W]
		out := m.row(y, box)
		at := func(plane []byte, x int) int32 {
			c := x / 2
			n := min(max(c-1+2*(x%2), 0), cw-1)
			a, b := int32(plane[near*s.CStride+c]), int32(plane[near*s.CStride+n])
			d, e := int32(plane[far*s.CStride+c]), int32(plane[far*s.CStride+n])
			return (9*a + 3*b + 3*d + e + 8) >> 4
		}
		for x, v := range luma {
			u, w := at(s.Cb, box.X+x), at(s.Cr, box.X+x)
			l := int32(v) * 19077 >> 8
			o := out[3*x : 3*x+3 : 3*x+3]
			o[0] = clip((l + w*26149>>8 - 14234) >> 6)
			o[1] = clip((l - u*6419>>8 - w*13320>>8 + 8708) >> 6)
			o[2] = clip((l + u*33050>>8 - 17685) >> 6)
		}
	}
}
