package optim

import "math"

// Schedule is a hyper-parameter as a pure function of the step, from 0.
type Schedule func(step int64) float64

// Constant is v at every step.
func Constant(v float64) Schedule { return func(int64) float64 { return v } }

// Cosine goes from one value to another along half a period,
// to + (from − to)·(1 + cos(π·step/steps))/2, and stays there. With to = 1 it is BYOL's
// momentum schedule m → 1; with to = 0 the decay of the learning rate (Loshchilov and
// Hutter, SGDR, equation 5, without restarts).
func Cosine(from, to float64, steps int64) Schedule {
	return func(step int64) float64 {
		if step >= steps {
			return to
		}
		half := (1 + cosPi(float64(step)/float64(steps))) / 2
		return to + float64((from-to)*half)
	}
}

// warmUp rises linearly to then: at step s < steps it is then(steps)·(s+1)/steps, so that
// the first update is not zero; from there on it is then.
func warmUp(steps int64, then Schedule) Schedule {
	return func(step int64) float64 {
		if step >= steps {
			return then(step)
		}
		return then(steps) * (float64(step+1) / float64(steps))
	}
}

// WarmupCosine is the papers' learning rate: linear to base over warmup steps,
// then cosine to 0 at step total. Where the warm-up takes all steps, or more, it is 0
// throughout, which recipe.Warnings says.
func WarmupCosine(base float64, warmup, total int64) Schedule {
	decay := Cosine(base, 0, total-warmup)
	return warmUp(warmup, func(step int64) float64 { return decay(step - warmup) })
}

// Steps is base, multiplied by gamma at every milestone.
func Steps(base, gamma float64, milestones ...int64) Schedule {
	return func(step int64) float64 {
		v := base
		for _, m := range milestones {
			if step >= m {
				v = float64(v * gamma)
			}
		}
		return v
	}
}

// Until is one schedule before step, another from there on.
func Until(step int64, before, from Schedule) Schedule {
	return func(s int64) float64 {
		if s < step {
			return before(s)
		}
		return from(s)
	}
}

// Ramp is α of equation 7: step/steps, clamped at 1. With no steps it is 1.
func Ramp(steps int64) Schedule {
	return func(step int64) float64 {
		if step >= steps {
			return 1
		}
		return float64(step) / float64(steps)
	}
}

// cosPi is cos(πx) for 0 ≤ x ≤ 1 to within 1e-15. math.Cos may be fused or in
// assembly, so its last bit depends on the architecture.
func cosPi(x float64) float64 {
	// Reduce to |t| ≤ π/4, where the series is short.
	switch {
	case x > 0.75:
		return -cosSeries(math.Pi * (1 - x))
	case x > 0.25:
		return sinSeries(math.Pi * (0.5 - x))
	default:
		return cosSeries(math.Pi * x)
	}
}

// cosSeries is the Taylor series of cos, for |t| ≤ π/4.
func cosSeries(t float64) float64 {
	t2, s := float64(t*t), 1.0
	for k := 18; k >= 2; k -= 2 {
		s = 1 - float64(s*t2)/float64(k*(k-1))
	}
	return s
}

// sinSeries is the Taylor series of sin, for |t| ≤ π/4.
func sinSeries(t float64) float64 {
	t2, s := float64(t*t), 1.0
	for k := 19; k >= 3; k -= 2 {
		s = 1 - float64(s*t2)/float64(k*(k-1))
	}
	return float64(t * s)
}
