package augment

import "math"

// tvBins are the magnitudes of torchvision's automatic augmentations, its
// num_magnitude_bins: 0 … 30.
const tvBins = 31

// tvPool is the pool of torchvision's RandAugment and TrivialAugmentWide: the operations,
// what the largest magnitude is in each of the two, and whether it may be negative. Of
// translations, RandAugment's is a share of the view and TrivialAugmentWide's are pixels.
// Source: torchvision/transforms/autoaugment.py, both classes' _augmentation_space.
var tvPool = [...]struct {
	kind       randKind
	rand, wide float64
	signed     bool
}{
	{randIdentity, 0, 0, false},
	{randShearX, 0.3, 0.99, true},
	{randShearY, 0.3, 0.99, true},
	{randTranslateX, 150.0 / 331, 32, true},
	{randTranslateY, 150.0 / 331, 32, true},
	{randRotate, 30, 135, true},
	{randBrightness, 0.9, 0.99, true},
	{randColor, 0.9, 0.99, true},
	{randContrast, 0.9, 0.99, true},
	{randSharpness, 0.9, 0.99, true},
	{randPosterize, 4, 6, false},
	{randSolarize, 255, 255, false},
	{randAutoContrast, 0, 0, false},
	{randEqualize, 0, 0, false},
}

// torchvisionRandAugment draws n operations with replacement, each with magnitude m and a
// sign.
func (d *dice) torchvisionRandAugment(steps []Step, op *Op, size int) []Step {
	for range op.N {
		i := d.intn(len(tvPool))
		negative := d.uniform() < 0.5 // always drawn: the number of draws is constant
		steps = appendTV(steps, i, op.M, false, negative, size)
	}
	return steps
}

// trivialAugmentWide draws one operation, its magnitude and a sign.
func (d *dice) trivialAugmentWide(steps []Step, size int) []Step {
	i, bin := d.intn(len(tvPool)), d.intn(tvBins)
	negative := d.uniform() < 0.5
	return appendTV(steps, i, bin, true, negative, size)
}

// appendTV appends the step of operation i of the pool with a magnitude 0 … 30, on an S×S
// view; the identity adds none. What is not geometric rounds the factor to Q14.
func appendTV(steps []Step, i, bin int, wide, negative bool, size int) []Step {
	o := &tvPool[i]
	most := o.rand
	if wide {
		most = o.wide
	}
	v := float64(most*float64(bin)) / (tvBins - 1)
	if negative && o.signed {
		v = -v
	}
	if s, ok := enhancement(o.kind, 1+v); ok {
		return append(steps, s)
	}
	switch o.kind {
	case randIdentity:
		return steps
	case randPosterize:
		return append(steps, oneStep(StepPosterize, 8-int32(math.RoundToEven(v))))
	case randSolarize:
		return append(steps, oneStep(StepSolarize, int32(math.Ceil(255-v)))) // PIL inverts what is not below the threshold
	case randAutoContrast:
		return append(steps, oneStep(StepAutoContrast, 0))
	case randEqualize:
		return append(steps, oneStep(StepEqualize, 0))
	case randRotate:
		return append(steps, rotation(v, size))
	case randShearX:
		return append(steps, affine(1, v, 0, 0, 1, 0))
	case randShearY:
		return append(steps, affine(1, 0, 0, v, 1, 0))
	}
	if !wide {
		v = float64(v * float64(size))
	}
	pixels := -math.Trunc(v) // torchvision moves the picture, an affine map reads from the source
	if o.kind == randTranslateX {
		return append(steps, affine(1, 0, pixels, 0, 1, 0))
	}
	return append(steps, affine(1, 0, 0, 0, 1, pixels))
}
