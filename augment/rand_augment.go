package augment

import "math"

// randPool is RandAugment's pool as CLSA uses it (FixMatch's): an operation and
// its magnitude v·max/10 + bias for v in 1 … M-1, truncated where whole is set.
// Source: maple-research-lab/CLSA, data_processing/RandAugment.py,
// fixmatch_augment_pool, and the operations' definitions there.
var randPool = [...]struct {
	kind      randKind
	max, bias float64
}{
	{randAutoContrast, 0, 0},
	{randBrightness, 0.9, 0.05},
	{randColor, 0.9, 0.05},
	{randContrast, 0.9, 0.05},
	{randEqualize, 0, 0},
	{randIdentity, 0, 0},
	{randPosterize, 4, 4},
	{randRotate, 30, 0},
	{randSharpness, 0.9, 0.05},
	{randShearX, 0.3, 0},
	{randShearY, 0.3, 0},
	{randSolarize, 256, 0},
	{randTranslateX, 0.3, 0},
	{randTranslateY, 0.3, 0},
}

type randKind uint8

const (
	randAutoContrast randKind = iota
	randBrightness
	randColor
	randContrast
	randEqualize
	randIdentity
	randPosterize
	randRotate
	randSharpness
	randShearX
	randShearY
	randSolarize
	randTranslateX
	randTranslateY
	randInvert      // timm's alone
	randSolarizeAdd // timm's alone
)

// randAugment draws n operations with replacement; each has a magnitude drawn
// from 1 … m-1, and is applied with probability p.
func (d *dice) randAugment(steps []Step, op *Op, size int) []Step {
	for range op.N {
		o := randPool[d.intn(len(randPool))]
		v := 1 + d.intn(op.M-1)
		apply := d.uniform() < op.P
		negative := d.uniform() < 0.5 // always drawn: the number of draws is constant
		if !apply || o.kind == randIdentity {
			continue
		}
		steps = append(steps, randStep(o.kind, float64(v)*o.max/10+o.bias, negative, size))
	}
	return steps
}

// oneStep is a step of one argument, or of none.
func oneStep(kind StepKind, arg int32) Step { return Step{Kind: kind, Arg: [7]int32{arg}} }

// enhancement is the step of a kind that PIL's ImageEnhance has, by a factor; ok is false for others.
func enhancement(kind randKind, factor float64) (s Step, ok bool) {
	var k StepKind
	switch kind {
	case randBrightness:
		k = StepBrightness
	case randColor:
		k = StepSaturation
	case randContrast:
		k = StepContrast
	case randSharpness:
		k = StepSharpness
	default:
		return s, false
	}
	return oneStep(k, fix(factor, factorOne)), true
}

// randStep turns a kind and its magnitude into a step on an S×S view.
func randStep(kind randKind, magnitude float64, negative bool, size int) Step {
	signed := magnitude
	if negative {
		signed = -magnitude
	}
	if s, ok := enhancement(kind, magnitude); ok {
		return s
	}
	switch kind {
	case randEqualize:
		return oneStep(StepEqualize, 0)
	case randPosterize:
		return oneStep(StepPosterize, int32(magnitude))
	case randSolarize:
		return oneStep(StepSolarize, 256-int32(magnitude))
	case randRotate:
		return rotation(math.Trunc(signed), size)
	case randShearX:
		return affine(1, signed, 0, 0, 1, 0)
	case randShearY:
		return affine(1, 0, 0, signed, 1, 0)
	case randTranslateX:
		return affine(1, 0, float64(int(signed*float64(size))), 0, 1, 0)
	case randTranslateY:
		return affine(1, 0, 0, 0, 1, float64(int(signed*float64(size))))
	}
	return oneStep(StepAutoContrast, 0)
}

// affine is the step that maps output pixel (x, y) to source
// (a·x + b·y + c, d·x + e·y + f), as PIL's Image.transform(AFFINE). It includes the
// offset of half a pixel that PIL adds to both sides, as PIL's fixed-point loop
// (affine_fixed in Geometry.c) does.
func affine(a, b, c, d, e, f float64) Step {
	const one = 1 << 16
	return Step{Kind: StepAffine, Arg: [7]int32{
		fix(a, one), fix(b, one), fix(c+float64(a*0.5)+float64(b*0.5), one),
		fix(d, one), fix(e, one), fix(f+float64(d*0.5)+float64(e*0.5), one),
	}}
}

// rotation turns an S×S view counter-clockwise about its centre, as PIL's
// Image.rotate.
func rotation(degrees float64, size int) Step {
	sin, cos := sinCos(float64(-degrees * degree))
	// The outer conversion keeps compilers that turn /2 into ×0.5 from fusing
	// it into the differences below.
	centre := float64(float64(size) / 2)
	c := centre - float64(cos*centre) - float64(sin*centre)
	f := centre + float64(sin*centre) - float64(cos*centre)
	return affine(cos, sin, c, -sin, cos, f)
}
