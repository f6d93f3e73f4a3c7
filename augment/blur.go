package augment

import "math"

// blurKernel is one side of a sampled Gaussian: weight[0] is the centre's,
// weight[i] that of the two pixels at distance i ≤ radius = ⌈3σ⌉, in Q14 with
// weight[0] + 2·Σ weight[i>0] = 2^14.
type blurKernel struct {
	sigma  int32
	weight []int32
}

const blurBits = 14

func (k *blurKernel) set(sigma int32) {
	if k.sigma == sigma {
		return
	}
	k.sigma = sigma
	radius := (3*int(sigma) + sigmaOne - 1) / sigmaOne
	k.weight = grow(k.weight, radius+1)
	s := float64(sigma) / sigmaOne
	down := -1 / float64(2*float64(s*s))
	total := 1.0
	for i := 1; i <= radius; i++ {
		total += float64(2 * gauss(float64(float64(i*i)*down)))
	}
	rest := int32(1 << blurBits)
	for i := radius; i > 0; i-- {
		w := int32(math.Floor(float64(gauss(float64(float64(i*i)*down))/total*(1<<blurBits)) + 0.5))
		k.weight[i] = w
		rest -= 2 * w
	}
	k.weight[0] = rest
}

// gauss is e^x for x ≤ 0; below 2^-20 it has no weight in Q14.
func gauss(x float64) float64 {
	if x < -14 {
		return 0
	}
	return exponential(x)
}

// blurrer is a separable Gaussian with replicated edges: rows first, into Q6
// in 16 bits, then columns. All sums fit 32 bits.
//
// PIL's GaussianBlur is three box blurs that approximate a Gaussian; this is the Gaussian
// itself, cut at 3σ. parity_test.go measures the difference.
type blurrer struct {
	kernel blurKernel
	mid    []int16 // (S,S,3) Q6
	line   []byte  // a row with its edges repeated
	sums   []int32 // (S·3)
}

const blurMidBits = 6

// blur filters the (S,S,3) px in place.
func (b *blurrer) blur(px []byte, size int, sigma int32) {
	b.kernel.set(sigma)
	weight := b.kernel.weight
	radius := len(weight) - 1
	n := 3 * size
	b.mid = grow(b.mid, n*size)
	b.line = grow(b.line, n+6*radius)
	b.sums = grow(b.sums, n)
	pad := 3 * radius
	for y := range size {
		row := px[y*n : (y+1)*n]
		line := b.line
		copy(line[pad:], row)
		for i := 0; i < pad; i += 3 {
			copy(line[i:i+3], row[:3])
			copy(line[pad+n+i:pad+n+i+3], row[n-3:])
		}
		const half = 1 << (blurBits - blurMidBits - 1)
		sums := b.sums
		w := weight[0]
		for x, v := range line[pad : pad+n] {
			sums[x] = w*int32(v) + half
		}
		for i := 1; i <= radius; i++ {
			w := weight[i]
			left, right := line[pad-3*i:][:n], line[pad+3*i:][:n]
			for x := range sums {
				sums[x] += w * (int32(left[x]) + int32(right[x]))
			}
		}
		mid := b.mid[y*n : (y+1)*n]
		for x, s := range sums {
			mid[x] = int16(s >> (blurBits - blurMidBits))
		}
	}
	for y := range size {
		const half = 1 << (blurBits + blurMidBits - 1)
		sums := b.sums
		w := weight[0]
		for x, v := range b.mid[y*n : (y+1)*n] {
			sums[x] = w*int32(v) + half
		}
		for i := 1; i <= radius; i++ {
			w := weight[i]
			above := b.mid[max(y-i, 0)*n:][:n]
			below := b.mid[min(y+i, size-1)*n:][:n]
			for x := range sums {
				sums[x] += w * (int32(above[x]) + int32(below[x]))
			}
		}
		row := px[y*n : (y+1)*n]
		for x, s := range sums {
			row[x] = clip(s >> (blurBits + blurMidBits))
		}
	}
}
