package augment

import "resslt/schemas/errs"

// refEngine defines the pixels, in plain Go and integers: the same bytes on every
// architecture. golden_test.go pins them; a change of them needs another version.
type refEngine struct{ formats Formats }

func (e refEngine) Name() string { return "ref/" + e.formats.Version() }

func (e refEngine) NewPainter(l Limits) Painter {
	return &refPainter{decoder: decoder{limits: l, formats: e.formats}}
}

type refPainter struct {
	decoder
	resizer
	finisher
}

func (p *refPainter) Paint(plan *Plan, dst []byte) error {
	p.resize(dst, &p.image, plan)
	p.finish(dst, plan)
	return nil
}

func (p *refPainter) Close() error { return nil }

// finisher executes the steps of a plan, which follow crop and resize.
type finisher struct {
	blurrer
	scratch []byte
}

// finish applies the plan's steps to the (S,S,3) px, in place.
func (f *finisher) finish(px []byte, plan *Plan) {
	for i := range plan.Steps {
		s := &plan.Steps[i]
		switch s.Kind {
		case StepFlip:
			flip(px, plan.Size)
		case StepBrightness:
			brightness(px, s.Arg[0])
		case StepContrast:
			contrast(px, s.Arg[0])
		case StepSaturation:
			saturation(px, s.Arg[0])
		case StepHue:
			hue(px, s.Arg[0])
		case StepGrayscale:
			grayscale(px)
		case StepBlur:
			f.blur(px, plan.Size, s.Arg[0])
		case StepSolarize:
			solarize(px, s.Arg[0])
		case StepAffine:
			f.scratch = grow(f.scratch, len(px))
			copy(f.scratch, px)
			warp(px, f.scratch, plan.Size, &s.Arg)
		case StepAffineBilinear, StepAffineBicubic:
			f.scratch = grow(f.scratch, len(px))
			copy(f.scratch, px)
			warpBetween(px, f.scratch, plan.Size, &s.Arg, s.Kind == StepAffineBicubic)
		case StepSolarizeAdd:
			solarizeAdd(px, s.Arg[0])
		case StepAutoContrast:
			autoContrast(px)
		case StepEqualize:
			equalize(px)
		case StepPosterize:
			posterize(px, s.Arg[0])
		case StepSharpness:
			f.scratch = grow(f.scratch, len(px))
			sharpness(px, f.scratch, plan.Size, s.Arg[0])
		}
	}
}

// Execute renders a plan on a decoded picture by the reference kernels, with which every
// engine is compared. dst is (S,S,3) uint8. The error wraps errs.ErrCorrupt for an
// invalid plan, ErrMismatch for one of another picture, ErrUsage for a dst of another
// size.
func Execute(plan *Plan, src *Image, dst []byte) error {
	if err := plan.Validate(); err != nil {
		return err
	}
	if plan.SrcW != src.W || plan.SrcH != src.H || len(src.Pix) != 3*src.W*src.H {
		return errs.New("execute plan", "", "give the picture for which the plan was drawn", errs.ErrMismatch)
	}
	if len(dst) != 3*plan.Size*plan.Size {
		return errs.New("execute plan", "", "give 3·S·S bytes", errs.ErrUsage)
	}
	p := refPainter{decoder: decoder{image: *src}}
	return p.Paint(plan, dst)
}
