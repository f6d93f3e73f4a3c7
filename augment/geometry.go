package augment

// flip mirrors the (S,S,3) px left to right, in place.
func flip(px []byte, size int) {
	n := 3 * size
	for y := range size {
		row := px[y*n : (y+1)*n]
		for i, j := 0, n-3; i < j; i, j = i+3, j-3 {
			a, b := row[i:i+3:i+3], row[j:j+3:j+3]
			a[0], a[1], a[2], b[0], b[1], b[2] = b[0], b[1], b[2], a[0], a[1], a[2]
		}
	}
}

// warp is PIL's Image.transform(AFFINE, NEAREST) on an S×S view with black
// outside: dst pixel (x, y) is src pixel (⌊a0·x + a1·y + a2⌋, ⌊a3·x + a4·y + a5⌋),
// everything in Q16.
func warp(dst, src []byte, size int, arg *[7]int32) {
	at := 0
	for y := range int64(size) {
		// 64 bits: a plan from elsewhere may hold any coefficients.
		sx := int64(arg[1])*y + int64(arg[2])
		sy := int64(arg[4])*y + int64(arg[5])
		for range size {
			o := dst[at : at+3 : at+3]
			if x, y := sx>>16, sy>>16; x >= 0 && x < int64(size) && y >= 0 && y < int64(size) {
				i := 3 * (int(y)*size + int(x))
				copy(o, src[i:i+3])
			} else {
				o[0], o[1], o[2] = 0, 0, 0
			}
			at += 3
			sx += int64(arg[0])
			sy += int64(arg[3])
		}
	}
}

// sharpness blends from the picture smoothed by PIL's SMOOTH filter (3×3 of
// ones, five in the middle, over 13; the border stays), f in Q14. scratch holds
// the smoothed picture.
func sharpness(px, scratch []byte, size int, f int32) {
	n := 3 * size
	copy(scratch, px)
	for y := 1; y < size-1; y++ {
		for x := 3; x < n-3; x++ {
			i := y*n + x
			sum := int32(px[i-n-3]) + int32(px[i-n]) + int32(px[i-n+3]) +
				int32(px[i-3]) + 5*int32(px[i]) + int32(px[i+3]) +
				int32(px[i+n-3]) + int32(px[i+n]) + int32(px[i+n+3])
			scratch[i] = byte((2*sum + 13) / 26)
		}
	}
	for i, smooth := range scratch {
		px[i] = blend(smooth, px[i], f)
	}
}

// autoContrast stretches each channel to 0 … 255, as PIL's ImageOps.autocontrast
// without cutoff.
func autoContrast(px []byte) {
	for c := range 3 {
		lo, hi := byte(255), byte(0)
		for i := c; i < len(px); i += 3 {
			lo, hi = min(lo, px[i]), max(hi, px[i])
		}
		if hi <= lo {
			continue
		}
		var lut [256]byte
		scale := 255 / float64(hi-lo)
		offset := float64(-float64(lo) * scale)
		for v := range lut {
			lut[v] = clip(int32(float64(float64(v)*scale) + offset))
		}
		for i := c; i < len(px); i += 3 {
			px[i] = lut[px[i]]
		}
	}
}

// equalize flattens each channel's histogram, as PIL's ImageOps.equalize.
func equalize(px []byte) {
	for c := range 3 {
		var histogram [256]int
		for i := c; i < len(px); i += 3 {
			histogram[px[i]]++
		}
		last := 255
		for histogram[last] == 0 {
			last--
		}
		step := (len(px)/3 - histogram[last]) / 255
		if step == 0 {
			continue
		}
		var lut [256]byte
		n := step / 2
		for v := range lut {
			lut[v] = clip(int32(n / step))
			n += histogram[v]
		}
		for i := c; i < len(px); i += 3 {
			px[i] = lut[px[i]]
		}
	}
}
