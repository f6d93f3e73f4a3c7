package augment

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Key is what a draw depends on, besides the policy and the picture's size.
type Key struct {
	Seed   uint64 // of the run
	Epoch  int64
	Sample int64 // sample id, not its position in the order
}

// drawTag separates these draws from other uses of a run's seed, and is the version of
// the way of drawing.
const drawTag = "resslt draw 1\n"

// Draw draws every random number of view v of the policy for a w×h picture. It is a pure
// function of its arguments, with the same bits on every architecture. The policy must
// be valid, 0 ≤ v < len(p.Views), and 1 ≤ w, h ≤ 32767.
func Draw(p *Policy, v int, key Key, w, h int) Plan {
	var plan Plan
	drawInto(&plan, p, v, key, w, h)
	return plan
}

// drawInto is Draw into a plan whose Steps are reused.
func drawInto(plan *Plan, p *Policy, v int, key Key, w, h int) {
	view := &p.Views[v]
	d := newDice(key, v)
	*plan = Plan{View: v, Size: view.Size, SrcW: w, SrcH: h, Steps: plan.Steps[:0]}
	for i := range view.Ops {
		op := &view.Ops[i]
		switch op.Kind {
		case RandomResizedCrop:
			plan.Filter, plan.Box = op.Filter, d.resizedCrop(op.Scale, op.Ratio, w, h)
		case ResizeWhole:
			plan.Filter, plan.Box = op.Filter, Box{0, 0, w, h}
		case CenterCrop:
			side := max(1, int(math.RoundToEven(float64(op.Fraction*float64(min(w, h))))))
			plan.Filter, plan.Box = op.Filter, Box{(w - side) / 2, (h - side) / 2, side, side}
		case ResizeCenterCrop:
			plan.Filter, plan.Box, plan.Window = op.Filter, Box{0, 0, w, h}, centerWindow(w, h, op.Resize, view.Size)
		case PaddedCrop:
			plan.Steps = d.paddedCrop(plan.Steps, op.Padding)
		case TorchvisionRandAugment:
			plan.Steps = d.torchvisionRandAugment(plan.Steps, op, view.Size)
		case TrivialAugmentWide:
			plan.Steps = d.trivialAugmentWide(plan.Steps, view.Size)
		case TimmRandAugment:
			plan.Steps = d.timmRandAugment(plan.Steps, op, view.Size)
		default:
			// The coin is tossed whatever P is, so that changing one operation's
			// range does not change the other draws.
			if d.uniform() >= op.P && op.Kind != RandAugment {
				continue
			}
			plan.Steps = d.steps(plan.Steps, op, view.Size)
		}
	}
}

// steps appends the steps of an operation that is applied.
func (d *dice) steps(steps []Step, op *Op, size int) []Step {
	switch op.Kind {
	case Flip:
		return append(steps, oneStep(StepFlip, 0))
	case Grayscale:
		return append(steps, oneStep(StepGrayscale, 0))
	case Solarize:
		return append(steps, oneStep(StepSolarize, int32(op.Threshold)))
	case GaussianBlur:
		sigma := d.between(op.Sigma[0], op.Sigma[1])
		return append(steps, oneStep(StepBlur, max(1, fix(sigma, sigmaOne))))
	case ColorJitter:
		// torchvision's ColorJitter.get_params: the order, then all four
		// factors, whether used or not.
		order := d.perm4()
		factors := [4]int32{
			d.factor(op.Brightness), d.factor(op.Contrast), d.factor(op.Saturation), d.hue(op.Hue),
		}
		strength := [4]float64{op.Brightness, op.Contrast, op.Saturation, op.Hue}
		for _, i := range order {
			if strength[i] > 0 {
				steps = append(steps, oneStep(StepBrightness+StepKind(i), factors[i]))
			}
		}
		return steps
	case RandAugment:
		return d.randAugment(steps, op, size)
	}
	return steps
}

// paddedCrop appends torchvision's RandomCrop(S, padding) of an S×S view: an S×S crop,
// anywhere in the view with that many black pixels around it, which is a move by whole
// pixels.
func (d *dice) paddedCrop(steps []Step, padding int) []Step {
	y := d.intn(2*padding+1) - padding
	x := d.intn(2*padding+1) - padding
	if x == 0 && y == 0 {
		return steps
	}
	return append(steps, affine(1, 0, float64(x), 0, 1, float64(y)))
}

// centerWindow is torchvision's Resize(resize) and CenterCrop(size) of a w×h picture: the
// longer side is cut to a whole number of pixels, and the offset rounded half to even, as
// Python's round does. size ≤ resize.
func centerWindow(w, h, resize, size int) Window {
	// Python divides in floating point, which for sides below 2^15 has the same floor.
	rw, rh := resize, resize
	if w <= h {
		rh = resize * h / w
	} else {
		rw = resize * w / h
	}
	offset := func(n int) int { return int(math.RoundToEven(float64(n-size) / 2)) }
	return Window{W: rw, H: rh, X: offset(rw), Y: offset(rh)}
}

// dice is one view's generator: PCG, keyed by SHA-256 of (tag, seed, epoch,
// sample, view).
type dice struct{ pcg rand.PCG }

func newDice(key Key, view int) dice {
	var b [len(drawTag) + 32]byte
	n := copy(b[:], drawTag)
	binary.LittleEndian.PutUint64(b[n:], key.Seed)
	binary.LittleEndian.PutUint64(b[n+8:], uint64(key.Epoch))
	binary.LittleEndian.PutUint64(b[n+16:], uint64(key.Sample))
	binary.LittleEndian.PutUint64(b[n+24:], uint64(view))
	sum := sha256.Sum256(b[:])
	var d dice
	d.pcg.Seed(binary.LittleEndian.Uint64(sum[0:]), binary.LittleEndian.Uint64(sum[8:]))
	return d
}

// uniform is in [0, 1), a multiple of 2^-53.
func (d *dice) uniform() float64 { return float64(d.pcg.Uint64()>>11) * (1.0 / (1 << 53)) }

// between is uniform in [lo, hi).
func (d *dice) between(lo, hi float64) float64 {
	return lo + float64((hi-lo)*d.uniform())
}

// intn is uniform in 0 … n-1, up to a bias of n/2^64.
func (d *dice) intn(n int) int {
	hi, _ := bits.Mul64(d.pcg.Uint64(), uint64(n))
	return int(hi)
}

// gauss is of the standard normal distribution (Box and Muller's way, from two draws).
func (d *dice) gauss() float64 {
	radius := math.Sqrt(float64(-2 * logarithm(1-d.uniform())))
	_, cos := sinCos(float64(math.Pi * (float64(2*d.uniform()) - 1)))
	return float64(radius * cos)
}

// perm4 is a uniform order of 0, 1, 2, 3 (Fisher–Yates).
func (d *dice) perm4() [4]int {
	p := [4]int{0, 1, 2, 3}
	for i := 3; i > 0; i-- {
		j := d.intn(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// factor is uniform in [max(0, 1-s), 1+s], Q14.
func (d *dice) factor(s float64) int32 {
	return fix(d.between(max(0, 1-s), 1+s), factorOne)
}

// hue is a shift uniform in [-s, s] turns, as torchvision applies it to 8-bit
// hues: np.uint8(shift * 255), which truncates towards zero and wraps.
func (d *dice) hue(s float64) int32 {
	return int32(uint8(int32(float64(d.between(-s, s) * 255))))
}

// fix rounds v to fixed point, in which one is the number 1.
func fix(v float64, one int) int32 { return int32(math.Floor(float64(v*float64(one)) + 0.5)) }

// resizedCrop is torchvision's RandomResizedCrop.get_params: ten tries with an area
// uniform in scale and an aspect ratio log-uniform in ratio, then the largest central box
// whose ratio is in range.
func (d *dice) resizedCrop(scale, ratio Range, width, height int) Box {
	area := float64(width) * float64(height)
	logLo, logHi := logarithm(ratio[0]), logarithm(ratio[1])
	for range 10 {
		target := float64(area * d.between(scale[0], scale[1]))
		aspect := exponential(d.between(logLo, logHi))
		// Python's round is half to even.
		w := int(math.RoundToEven(math.Sqrt(float64(target * aspect))))
		h := int(math.RoundToEven(math.Sqrt(target / aspect)))
		if 0 < w && w <= width && 0 < h && h <= height {
			y := d.intn(height - h + 1)
			x := d.intn(width - w + 1)
			return Box{x, y, w, h}
		}
	}
	w, h := width, height
	switch r := float64(width) / float64(height); {
	case r < ratio[0]:
		h = int(math.RoundToEven(float64(w) / ratio[0]))
	case r > ratio[1]:
		w = int(math.RoundToEven(float64(float64(h) * ratio[1])))
	}
	// Rounding cannot exceed the picture, but may give 0 in a very narrow one.
	w, h = min(max(w, 1), width), min(max(h, 1), height)
	return Box{(width - w) / 2, (height - h) / 2, w, h}
}
