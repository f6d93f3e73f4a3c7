package augment

// warpBetween is PIL's Image.transform(AFFINE) with BILINEAR or BICUBIC on an S×S view: dst
// pixel (x, y) is interpolated at (a0·x + a1·y + a2, a3·x + a4·y + a5) of src, Q16, whose pixel
// centres are at halves, and is the colour a6 (0xRRGGBB) where that is outside of src. Beyond
// the edge pixels' centres the edge goes on.
//
// The arithmetic is float64 in Pillow's order (Geometry.c), each operation rounded, so that
// the bytes are Pillow's; the fractions are multiples of 2^-16.
func warpBetween(dst, src []byte, size int, arg *[7]int32, bicubic bool) {
	fill := [3]byte{byte(arg[6] >> 16), byte(arg[6] >> 8), byte(arg[6])}
	side := int64(size) << 16
	at := 0
	for row := range int64(size) {
		// 64 bits: a plan from elsewhere may hold any coefficients.
		sx := int64(arg[1])*row + int64(arg[2])
		sy := int64(arg[4])*row + int64(arg[5])
		for range size {
			o := dst[at : at+3 : at+3]
			switch {
			case sx < 0 || sx >= side || sy < 0 || sy >= side:
				copy(o, fill[:])
			case bicubic:
				cubicAt(o, src, size, sx-1<<15, sy-1<<15)
			default:
				linearAt(o, src, size, sx-1<<15, sy-1<<15)
			}
			at += 3
			sx += int64(arg[0])
			sy += int64(arg[3])
		}
	}
}

// neighbours are the indices ⌊q⌋+from … of n pixels along an axis, q in Q16, held within the
// axis, and q's fraction.
func neighbours(to []int, q int64, from, size int) (fraction float64) {
	for i := range to {
		to[i] = min(max(int(q>>16)+from+i, 0), size-1)
	}
	return float64(q&0xffff) / 65536
}

// linearAt is Pillow's bilinear_filter32RGB: between the two columns, then between the rows,
// cut to a whole number.
func linearAt(o, src []byte, size int, sx, sy int64) {
	var xs, ys [2]int
	dx, dy := neighbours(xs[:], sx, 0, size), neighbours(ys[:], sy, 0, size)
	for c := range o {
		var v [2]float64
		for i, y := range ys {
			a, b := float64(src[3*(y*size+xs[0])+c]), float64(src[3*(y*size+xs[1])+c])
			v[i] = a + float64((b-a)*dx)
		}
		o[c] = byte(v[0] + float64((v[1]-v[0])*dy))
	}
}

// cubicAt is Pillow's bicubic_filter32RGB: along four rows, then between them, clipped and cut
// to a whole number.
func cubicAt(o, src []byte, size int, sx, sy int64) {
	var xs, ys [4]int
	dx, dy := neighbours(xs[:], sx, -1, size), neighbours(ys[:], sy, -1, size)
	for c := range o {
		var v [4]float64
		for i, y := range ys {
			row := src[3*y*size+c:]
			v[i] = cubic(float64(row[3*xs[0]]), float64(row[3*xs[1]]), float64(row[3*xs[2]]), float64(row[3*xs[3]]), dx)
		}
		o[c] = byte(min(max(cubic(v[0], v[1], v[2], v[3], dy), 0), 255))
	}
}

// cubic is Pillow's BICUBIC, the cubic convolution with a = -1, at d of the way from v2 to v3.
func cubic(v1, v2, v3, v4, d float64) float64 {
	p2 := v3 - v1
	p3 := float64(2*(v1-v2)) + v3 - v4
	p4 := v2 - v1 - v3 + v4
	return v2 + float64(d*(p2+float64(d*(p3+float64(d*p4)))))
}
