package augment

// The colour kernels work in place on (n,3) uint8 RGB and reproduce PIL's
// ImageEnhance, ImageOps and convert to the byte.

// luma is PIL's convert("L"): ITU-R 601-2 in 16.16.
func luma(r, g, b byte) byte {
	return byte((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 0x8000) >> 16)
}

// blend is PIL's Image.blend(from, to, f) for one value, f in Q14: from + f·(to-from),
// truncated towards zero and clipped. For f ≤ 4 in Q14, Pillow's float32 arithmetic is
// exact, so the integers are the same.
func blend(from, to byte, f int32) byte {
	return clip((int32(from)<<factorBits + f*(int32(to)-int32(from))) >> factorBits)
}

// brightness blends from black.
func brightness(px []byte, f int32) {
	var lut [256]byte
	for i := range lut {
		lut[i] = blend(0, byte(i), f)
	}
	apply(px, &lut)
}

// contrast blends from the grey of the picture's mean luma, rounded half up.
func contrast(px []byte, f int32) {
	var sum uint64
	for i := 0; i+3 <= len(px); i += 3 {
		p := px[i : i+3 : i+3]
		sum += uint64(luma(p[0], p[1], p[2]))
	}
	n := uint64(len(px) / 3)
	mean := byte((2*sum + n) / (2 * n))
	var lut [256]byte
	for i := range lut {
		lut[i] = blend(mean, byte(i), f)
	}
	apply(px, &lut)
}

// saturation blends from each pixel's grey.
func saturation(px []byte, f int32) {
	for i := 0; i+3 <= len(px); i += 3 {
		p := px[i : i+3 : i+3]
		l := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = blend(l, p[0], f), blend(l, p[1], f), blend(l, p[2], f)
	}
}

// grayscale sets R = G = B = luma.
func grayscale(px []byte) {
	for i := 0; i+3 <= len(px); i += 3 {
		p := px[i : i+3 : i+3]
		l := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = l, l, l
	}
}

// solarize inverts values at or above the threshold.
func solarize(px []byte, threshold int32) {
	var lut [256]byte
	for i := range lut {
		lut[i] = byte(i)
		if int32(i) >= threshold {
			lut[i] = byte(255 - i)
		}
	}
	apply(px, &lut)
}

// solarizeAdd adds to values below 128, as timm's solarize_add.
func solarizeAdd(px []byte, add int32) {
	var lut [256]byte
	for i := range lut {
		lut[i] = byte(i)
		if i < 128 {
			lut[i] = clip(int32(i) + add)
		}
	}
	apply(px, &lut)
}

// posterize keeps the upper bits.
func posterize(px []byte, bits int32) {
	mask := byte(0xff << (8 - bits))
	for i := range px {
		px[i] &= mask
	}
}

func apply(px []byte, lut *[256]byte) {
	for i, v := range px {
		px[i] = lut[v]
	}
}

// hueTable is PIL's hue of a pixel, 0 … 255, by its sextant, the distance x of the middle
// value (or its equivalent) from the maximum, and the chroma c = max - min:
// [sextant][c][x]. PIL's rgb2hsv_row computes in float32 and truncates, so that hues near
// an integer fall on either side; a table of its 6·32,895 cases reproduces each.
var hueTable = newHueTable()

func newHueTable() *[6][256][256]byte {
	t := new([6][256][256]byte)
	for c := 1; c < 256; c++ {
		for x := 0; x <= c; x++ {
			q := float32(x) / float32(c)
			d := float64(q)
			for s, h := range [6]float32{
				1 - q,                    // R max, B min
				q - 1,                    // R max, G min
				float32((2.0 + d) - 1),   // G max, B min
				float32((2.0 + 1.0) - d), // G max, R min
				float32((4.0 + d) - 1),   // B max, R min
				float32((4.0 + 1.0) - d), // B max, G min
			} {
				turn := float64(h)/6 + 1
				if turn >= 1 {
					turn-- // fmod(turn, 1): turn < 2
				}
				t[s][c][x] = byte(min(int(float64(float32(turn))*255), 255))
			}
		}
	}
	return t
}

// hue shifts the hue by shift 256ths (modulo 256) through PIL's 8-bit HSV, as
// torchvision's adjust_hue. The round trip itself loses precision, and is made for a
// shift of zero, too. It equals PIL's on all 2^24 colours.
func hue(px []byte, shift int32) {
	for i := 0; i+3 <= len(px); i += 3 {
		p := px[i : i+3 : i+3]
		r, g, b := p[0], p[1], p[2]
		hi, lo := max(r, g, b), min(r, g, b)
		// A grey pixel has saturation zero and does not change.
		if hi == lo {
			continue
		}
		c := hi - lo
		var h byte
		switch {
		case r == hi && b == lo:
			h = hueTable[0][c][hi-g]
		case r == hi:
			h = hueTable[1][c][hi-b]
		case g == hi && b == lo:
			h = hueTable[2][c][hi-r]
		case g == hi:
			h = hueTable[3][c][hi-b]
		case r == lo:
			h = hueTable[4][c][hi-g]
		default:
			h = hueTable[5][c][hi-r]
		}
		s := uint32(c) * 255 / uint32(hi)
		p[0], p[1], p[2] = fromHSV(h+byte(shift), s, uint32(hi))
	}
}

// fromHSV is PIL's hsv2rgb, in integers: sextant 6h/255 and fraction m/255 of
// it, then v·(1-s), v·(1-s·f) and v·(1-s·(1-f)), rounded. The divisors are odd, so there
// are no ties.
func fromHSV(h byte, s, v uint32) (r, g, b byte) {
	if s == 0 {
		return byte(v), byte(v), byte(v)
	}
	const one = 255 * 255
	m := uint32(h) * 6 % 255
	p := byte((v*(255-s)*2 + 255) / (2 * 255))
	q := byte((v*(one-s*m)*2 + one) / (2 * one))
	t := byte((v*(one-s*(255-m))*2 + one) / (2 * one))
	switch uint32(h) * 6 / 255 % 6 {
	case 0:
		return byte(v), t, p
	case 1:
		return q, byte(v), p
	case 2:
		return p, byte(v), t
	case 3:
		return p, q, byte(v)
	case 4:
		return t, p, byte(v)
	}
	return byte(v), p, q
}
