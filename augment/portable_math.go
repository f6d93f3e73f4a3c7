package augment

import "math"

// The standard library's Exp, Log, Sin and Cos use assembly on some architectures and
// fused multiply-adds on others, so that their last bit differs between machines. These
// use only +, -, × and ÷, each rounded to float64 (the conversions forbid fusing), and
// give the same bits everywhere. They are accurate to a few units in the last place,
// which is more than draws need.

const (
	ln2    = 0.693147180559945309417232121458176568
	degree = math.Pi / 180
)

// exponential is e^x for |x| < 700.
func exponential(x float64) float64 {
	k := math.Floor(float64(x/ln2) + 0.5)
	r := x - float64(k*ln2) // |r| ≤ ln2/2
	sum, term := 1.0, 1.0
	for i := 1; i <= 20; i++ {
		term = float64(term*r) / float64(i)
		sum += term
	}
	return math.Ldexp(sum, int(k))
}

// logarithm is ln x for normal x > 0: with x = m·2^k, ln m = 2·artanh((m-1)/(m+1)).
func logarithm(x float64) float64 {
	m, k := math.Frexp(x) // m in [1/2, 1)
	if m < 0.7071067811865476 {
		m, k = float64(m*2), k-1
	}
	t := (m - 1) / (m + 1) // |t| < 0.18
	t2 := float64(t * t)
	sum, power := 0.0, t
	for i := 1; i <= 25; i += 2 {
		sum += power / float64(i)
		power = float64(power * t2)
	}
	return float64(2*sum) + float64(float64(k)*ln2)
}

// sinCos is sine and cosine of x, |x| ≤ π, by their series.
func sinCos(x float64) (sin, cos float64) {
	term := 1.0
	for i := 0; i < 32; i++ {
		switch i % 4 {
		case 0:
			cos += term
		case 1:
			sin += term
		case 2:
			cos -= term
		case 3:
			sin -= term
		}
		term = float64(term*x) / float64(i+1)
	}
	return sin, cos
}
