package augment

import "math"

// resampleBits are the fractional bits of Pillow's 8-bit resampling
// coefficients: PRECISION_BITS = 32 - 8 - 2 in its Resample.c.
const resampleBits = 22

// axis is the resampling of one axis from n source pixels to out, of which outputs from …
// from+S-1 are made: output from+i is
//
//	clip((2^21 + Σ_{j<count[i]} coef[i·taps+j] · src[base+first[i]+j]) >> 22)
//
// base is the first source pixel that any of them needs: 0 where all outputs are made.
//
// The coefficients are computed in float64 by additions, products and quotients that are
// each rounded once, so that they are the same on every machine, and Pillow's. They and
// the sums are then integers: |Σ| < 2^31.
type axis struct {
	n, out, from, size int

	filter  Filter
	taps    int     // stride of coef
	first   []int32 // (S)
	count   []int32 // (S)
	coef    []int32 // (S·taps) Q22
	weights []float64
}

// set computes the coefficients, unless they are there already.
func (a *axis) set(n, out, from, size int, filter Filter) {
	if a.n == n && a.out == out && a.from == from && a.size == size && a.filter == filter {
		return
	}
	a.n, a.out, a.from, a.size, a.filter = n, out, from, size, filter
	kernel := triangle
	if filter == Bicubic {
		kernel = keys
	}
	scale, support := spread(n, out, filter)
	inverse := 1 / max(scale, 1)
	base, _ := taps(n, scale, support, from)
	a.taps = int(math.Ceil(support))*2 + 1
	a.first = grow(a.first, size)
	a.count = grow(a.count, size)
	a.coef = grow(a.coef, size*a.taps)
	a.weights = grow(a.weights, a.taps)
	for i := range size {
		center := float64((float64(from+i) + 0.5) * scale)
		lo, hi := taps(n, scale, support, from+i)
		w := a.weights[:hi-lo]
		sum := 0.0
		for j := range w {
			w[j] = kernel(float64((float64(j+lo) - center + 0.5) * inverse))
			sum += w[j]
		}
		a.first[i], a.count[i] = int32(lo-base), int32(hi-lo)
		c := a.coef[i*a.taps : (i+1)*a.taps]
		clear(c)
		for j := range w {
			if sum != 0 {
				w[j] /= sum
			}
			// Half away from zero, as normalize_coeffs_8bpc.
			if v := float64(w[j] * (1 << resampleBits)); v < 0 {
				c[j] = int32(v - 0.5)
			} else {
				c[j] = int32(v + 0.5)
			}
		}
	}
}

// spread is the number of source pixels an output pixel, and half the kernel's width in
// source pixels. Antialiasing: when shrinking, the kernel is as wide as its output pixel.
func spread(n, out int, filter Filter) (scale, support float64) {
	scale, support = float64(n)/float64(out), 1.0
	if filter == Bicubic {
		support = 2
	}
	return scale, float64(support * max(scale, 1))
}

// taps is the half-open range of the source pixels of output i.
func taps(n int, scale, support float64, i int) (lo, hi int) {
	center := float64((float64(i) + 0.5) * scale)
	return max(int(center-support+0.5), 0), min(int(center+support+0.5), n)
}

// reach is the half-open range of the source pixels of outputs from … from+size-1. An axis
// that keeps its length is copied, not filtered.
func reach(n, out, from, size int, filter Filter) (lo, hi int) {
	if n == out {
		return from, from + size
	}
	scale, support := spread(n, out, filter)
	lo, _ = taps(n, scale, support, from)
	_, hi = taps(n, scale, support, from+size-1)
	return lo, hi
}

// triangle is the bilinear kernel, support 1.
func triangle(x float64) float64 {
	if x = math.Abs(x); x < 1 {
		return 1 - x
	}
	return 0
}

// keys is Keys' cubic with a = -1/2, support 2, in the order of operations of
// Pillow's bicubic_filter.
func keys(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return float64(float64((float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return float64((float64((float64((x-5)*x)+8)*x) - 4) * a)
	}
	return 0
}

// resizer crops and resizes like Pillow: mostly horizontally first, with 8 bits between the
// passes. An axis that keeps its length is copied, not filtered.
type resizer struct {
	x, y axis
	rows []byte // (h,S,3) or (S,w,3): the picture between the passes
}

// resize renders the plan's box of src into dst, (S,S,3).
func (r *resizer) resize(dst []byte, src *Image, plan *Plan) {
	box, size, window, part := plan.Box, plan.Size, plan.window(), plan.Source()
	stride := 3 * src.W
	in := src.Pix[part.Y*stride+3*part.X:]
	if plan.VerticalFirst() {
		r.y.set(box.H, window.H, window.Y, size, plan.Filter)
		r.rows = grow(r.rows, size*part.W*3)
		vertical(r.rows, in, stride, part.W, &r.y)
		in, stride, box.H = r.rows, 3*part.W, window.H
		part.H = size
	}
	if box.W != window.W {
		rows := dst
		if box.H != window.H {
			r.rows = grow(r.rows, part.H*size*3)
			rows = r.rows
		}
		r.x.set(box.W, window.W, window.X, size, plan.Filter)
		horizontal(rows, in, stride, part.H, &r.x)
		in, stride = rows, 3*size
	}
	if box.H != window.H {
		r.y.set(box.H, window.H, window.Y, size, plan.Filter)
		vertical(dst, in, stride, size, &r.y)
		return
	}
	if box.W == window.W {
		for y := range size {
			copy(dst[y*3*size:(y+1)*3*size], in[y*stride:])
		}
	}
}

// horizontal filters each of h rows of src, stride bytes apart, into dst, (h,S,3).
func horizontal(dst, src []byte, stride, h int, a *axis) {
	for y := range h {
		row := src[y*stride:]
		out := dst[y*a.size*3 : (y+1)*a.size*3]
		for i := range a.size {
			n := int(a.count[i])
			coef := a.coef[i*a.taps : i*a.taps+n]
			px := row[3*int(a.first[i]):]
			px = px[:3*n]
			var r, g, b int32 = 1 << (resampleBits - 1), 1 << (resampleBits - 1), 1 << (resampleBits - 1)
			for j, c := range coef {
				p := px[3*j : 3*j+3 : 3*j+3]
				r += c * int32(p[0])
				g += c * int32(p[1])
				b += c * int32(p[2])
			}
			o := out[3*i : 3*i+3 : 3*i+3]
			o[0], o[1], o[2] = clip(r>>resampleBits), clip(g>>resampleBits), clip(b>>resampleBits)
		}
	}
}

// vertical filters columns of src, rows of 3·w bytes stride bytes apart, into
// dst, (S,w,3).
func vertical(dst, src []byte, stride, w int, a *axis) {
	n := 3 * w
	for i := range a.size {
		coef := a.coef[i*a.taps : i*a.taps+int(a.count[i])]
		first := int(a.first[i])
		out := dst[i*n : (i+1)*n]
		x := 0
		// Four columns at a time keep the sums in registers.
		for ; x+4 <= n; x += 4 {
			var s0, s1, s2, s3 int32 = 1 << (resampleBits - 1), 1 << (resampleBits - 1), 1 << (resampleBits - 1), 1 << (resampleBits - 1)
			at := first*stride + x
			for _, c := range coef {
				p := src[at : at+4 : at+4]
				s0 += c * int32(p[0])
				s1 += c * int32(p[1])
				s2 += c * int32(p[2])
				s3 += c * int32(p[3])
				at += stride
			}
			o := out[x : x+4 : x+4]
			o[0], o[1], o[2], o[3] = clip(s0>>resampleBits), clip(s1>>resampleBits), clip(s2>>resampleBits), clip(s3>>resampleBits)
		}
		for ; x < n; x++ {
			s := int32(1 << (resampleBits - 1))
			at := first*stride + x
			for _, c := range coef {
				s += c * int32(src[at])
				at += stride
			}
			out[x] = clip(s >> resampleBits)
		}
	}
}

// clip clips v to 0 … 255.
func clip(v int32) byte {
	if uint32(v) <= 255 {
		return byte(v)
	}
	if v < 0 {
		return 0
	}
	return 255
}

// grow returns a slice of n elements, in s's memory if it suffices. The elements are not
// cleared.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
