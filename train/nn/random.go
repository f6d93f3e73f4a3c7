package nn

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Rand is a stream of random numbers that depends only on its key and is the same on
// every architecture. It is not safe for concurrent use.
type Rand struct {
	pcg rand.PCG

	spare    float64 // second normal of a pair
	hasSpare bool
}

// Random returns the stream keyed by (seed, name): a PCG whose 128-bit state is
// the first half of SHA-256(seed as 8 little-endian bytes ‖ name).
func Random(seed uint64, name string) *Rand {
	key := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(name)), seed)
	sum := sha256.Sum256(append(key, name...))
	r := &Rand{}
	r.pcg.Seed(binary.BigEndian.Uint64(sum[0:8]), binary.BigEndian.Uint64(sum[8:16]))
	return r
}

// Uniform is uniform over [0, 1), a multiple of 2⁻⁵³.
func (r *Rand) Uniform() float64 { return float64(r.pcg.Uint64()>>11) * 0x1p-53 }

// Below is uniform over 0 ≤ v < n, n > 0, up to a bias of n·2⁻⁶⁴.
func (r *Rand) Below(n int) int {
	hi, _ := bits.Mul64(r.pcg.Uint64(), uint64(n))
	return int(hi)
}

// Normal is standard normal, by Marsaglia's polar method. The square root is
// exact by IEEE 754; the logarithm is this package's own.
func (r *Rand) Normal() float64 {
	if r.hasSpare {
		r.hasSpare = false
		return r.spare
	}
	for {
		u := float64(2*r.Uniform()) - 1
		v := float64(2*r.Uniform()) - 1
		s := float64(u*u) + float64(v*v)
		if s >= 1 || s == 0 {
			continue
		}
		f := math.Sqrt(float64(-2*ln(s)) / s)
		r.spare, r.hasSpare = float64(v*f), true
		return float64(u * f)
	}
}

// Permutation is a random order of 0 … n-1 (Fisher–Yates from the end).
func (r *Rand) Permutation(n int) []int64 {
	p := make([]int64, n)
	for i := range p {
		p[i] = int64(i)
	}
	for i := n - 1; i > 0; i-- {
		j := r.Below(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// UnitVectors fills (n,d) row-major with vectors uniform on the unit sphere.
func (r *Rand) UnitVectors(n, d int) []float32 {
	out := make([]float32, n*d)
	row := make([]float64, d)
	for i := range n {
		var sum float64
		for j := range row {
			row[j] = r.Normal()
			sum += float64(row[j] * row[j])
		}
		norm := math.Sqrt(sum)
		for j, v := range row {
			out[i*d+j] = float32(v / norm)
		}
	}
	return out
}

// ln is the natural logarithm of a positive normal number, to within 2 ulp:
// x = m·2ᵉ with √½ ≤ m < √2, and ln m = 2·atanh(t) with t = (m-1)/(m+1), whose
// series in t² ≤ 0.0295 needs ten terms. math.Log is assembly on some
// architectures and fused on others, so its last bit varies.
func ln(x float64) float64 {
	m, e := math.Frexp(x) // exact: ½ ≤ m < 1
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	t := (m - 1) / (m + 1)
	t2 := float64(t * t)
	var s float64
	for k := 21; k >= 3; k -= 2 {
		s = float64((s + 1/float64(k)) * t2)
	}
	return float64(float64(e)*math.Ln2) + float64(2*(t+float64(t*s)))
}
