package augment

// timmLevels is the largest magnitude of timm's automatic augmentations, its _LEVEL_DENOM.
const timmLevels = 10

// timmPool is the pool of timm's RandAugment. Source: timm/data/auto_augment.py,
// _RAND_TRANSFORMS; _RAND_INCREASING_TRANSFORMS has the same operations with other magnitudes.
// InfoMin's RandAugment.py (HobbitLong/PyContrast, pycontrast/datasets) is an older copy with the
// same pool and magnitudes.
var timmPool = [...]randKind{
	randAutoContrast, randEqualize, randInvert, randRotate, randPosterize, randSolarize, randSolarizeAdd,
	randColor, randContrast, randBrightness, randSharpness, randShearX, randShearY, randTranslateX, randTranslateY,
}

// timmRandAugment draws n operations with replacement. Each is applied with probability p, at a
// magnitude of mean m and standard deviation mstd within 0 … 10.
func (d *dice) timmRandAugment(steps []Step, op *Op, size int) []Step {
	for range op.N {
		// All is always drawn: the number of draws is constant.
		kind := timmPool[d.intn(len(timmPool))]
		apply := d.uniform() < op.P
		level := float64(op.M) + float64(op.MStd*d.gauss())
		negative, smooth := d.uniform() < 0.5, Bilinear
		if d.uniform() < 0.5 {
			smooth = Bicubic
		}
		if op.Filter != "" {
			smooth = op.Filter
		}
		if apply {
			steps = append(steps, timmStep(kind, min(max(level, 0), timmLevels), negative, smooth, op, size))
		}
	}
	return steps
}

// timmStep is timm's operation at a level of 0 … 10 on an S×S view: its functions
// …_level_to_arg and what they are passed to. Factors are rounded to Q14, maps to Q16.
func timmStep(kind randKind, level float64, negative bool, smooth Filter, op *Op, size int) Step {
	whole := func(most float64) int32 { return int32(float64(level / timmLevels * most)) }
	sign := 1.0
	if negative {
		sign = -1
	}
	factor := float64(level/timmLevels*1.8) + 0.1
	bits, threshold := whole(4), min(256, whole(256))
	if op.Increasing {
		factor = max(0.1, 1+float64(sign*float64(level/timmLevels*0.9)))
		bits, threshold = 4-bits, 256-threshold
	}
	if s, ok := enhancement(kind, factor); ok {
		return s
	}
	switch kind {
	case randAutoContrast:
		return oneStep(StepAutoContrast, 0)
	case randEqualize:
		return oneStep(StepEqualize, 0)
	case randInvert:
		return oneStep(StepSolarize, 0)
	case randPosterize:
		return oneStep(StepPosterize, bits)
	case randSolarize:
		return oneStep(StepSolarize, threshold)
	case randSolarizeAdd:
		return oneStep(StepSolarizeAdd, min(128, whole(110)))
	}
	s := timmMap(kind, float64(sign*level), size)
	s.Kind = StepAffineBilinear
	if smooth == Bicubic {
		s.Kind = StepAffineBicubic
	}
	s.Arg[6] = int32(op.Fill[0]<<16 | op.Fill[1]<<8 | op.Fill[2])
	return s
}

// timmMap is the map of a geometric operation at a level of -10 … 10.
func timmMap(kind randKind, level float64, size int) Step {
	share := level / timmLevels
	shear, move := float64(share*0.3), float64(float64(share*0.45)*float64(size))
	switch kind {
	case randShearX:
		return affine(1, shear, 0, 0, 1, 0)
	case randShearY:
		return affine(1, 0, 0, shear, 1, 0)
	case randTranslateX:
		return affine(1, 0, move, 0, 1, 0)
	case randTranslateY:
		return affine(1, 0, 0, 0, 1, move)
	}
	return rotation(float64(share*30), size)
}
