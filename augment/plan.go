package augment

import (
	"encoding/binary"
	"fmt"
	"strings"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// The first byte of an encoded plan. Plans with a window are of the second version, the
// others keep the bytes that they have always had.
const (
	planVersion   = 1
	windowVersion = 2
)

// maxSide is the largest width or height that any policy can allow: libjpeg's
// own limit, and small enough for 16.16 coordinates.
const maxSide = 32_767

// Box is a rectangle of the source picture, in pixels: columns X … X+W-1, rows
// Y … Y+H-1.
type Box struct{ X, Y, W, H int }

// Union is the smallest box that contains both.
func (b Box) Union(c Box) Box {
	if b.W == 0 || b.H == 0 {
		return c
	}
	if c.W == 0 || c.H == 0 {
		return b
	}
	x, y := min(b.X, c.X), min(b.Y, c.Y)
	return Box{x, y, max(b.X+b.W, c.X+c.W) - x, max(b.Y+b.H, c.Y+c.H) - y}
}

// Window is the part that a view keeps of its resized box: of W×H pixels the S×S whose
// first is (X, Y). The zero Window is all of S×S.
type Window struct{ W, H, X, Y int }

// maxWindow bounds W and H: the longer side of the flattest picture, resized.
const maxWindow = maxResize * maxSide

// within reports whether the box is not empty and inside a w×h picture.
func (b Box) within(w, h int) bool {
	return b.X >= 0 && b.Y >= 0 && b.W > 0 && b.H > 0 && b.X <= w-b.W && b.Y <= h-b.H
}

// StepKind is what a step of a plan does to the S×S view. Its numbers are part of the
// encoding: never reuse one.
type StepKind uint8

// The steps and their arguments, all integers so that a plan means the same on
// every machine. Q14 is fixed point with 14 fractional bits: value / 16384.
const (
	StepFlip         StepKind = 1  // mirror left to right
	StepBrightness   StepKind = 2  // [0] factor, Q14, 0 … 4
	StepContrast     StepKind = 3  // [0] factor, Q14, 0 … 4
	StepSaturation   StepKind = 4  // [0] factor, Q14, 0 … 4
	StepHue          StepKind = 5  // [0] shift, 256ths of a turn modulo 256, 0 … 255
	StepGrayscale    StepKind = 6  // R = G = B = luma
	StepBlur         StepKind = 7  // [0] σ, Q16 pixels
	StepSolarize     StepKind = 8  // [0] threshold, 0 … 256
	StepAffine       StepKind = 9  // [0…5] output → source map, Q16, half-pixel centres folded in
	StepAutoContrast StepKind = 10 // stretch each channel to 0 … 255
	StepEqualize     StepKind = 11 // equalise each channel's histogram
	StepPosterize    StepKind = 12 // [0] bits kept, 0 … 8
	StepSharpness    StepKind = 13 // [0] factor, Q14, 0 … 4

	// StepAffine with Pillow's interpolation between pixels, and a colour outside of them:
	// [0…5] as there, [6] the colour, 0xRRGGBB.
	StepAffineBilinear StepKind = 14
	StepAffineBicubic  StepKind = 15
	StepSolarizeAdd    StepKind = 16 // [0] what is added to values below 128, 0 … 128
)

const (
	factorBits = 14
	factorOne  = 1 << factorBits
	maxFactor  = 4 * factorOne
	sigmaOne   = 1 << 16
	maxFill    = 1<<24 - 1
)

// Step is one drawn operation.
type Step struct {
	Kind StepKind
	Arg  [7]int32 // meaning by kind; unused ones are zero
}

// stepArgs describes the arguments of every kind: how many, and their range.
var stepArgs = [...]struct {
	name   string
	n      int
	lo, hi int32
}{
	StepFlip:         {name: "flip"},
	StepBrightness:   {"brightness", 1, 0, maxFactor},
	StepContrast:     {"contrast", 1, 0, maxFactor},
	StepSaturation:   {"saturation", 1, 0, maxFactor},
	StepHue:          {"hue", 1, 0, 255},
	StepGrayscale:    {name: "grayscale"},
	StepBlur:         {"blur", 1, 1, maxSigma * sigmaOne},
	StepSolarize:     {"solarize", 1, 0, 256},
	StepAffine:       {"affine", 6, -1 << 30, 1 << 30},
	StepAutoContrast: {name: "autocontrast"},
	StepEqualize:     {name: "equalize"},
	StepPosterize:    {"posterize", 1, 0, 8},
	StepSharpness:    {"sharpness", 1, 0, maxFactor},

	StepAffineBilinear: {"affine_bilinear", 7, -1 << 30, 1 << 30},
	StepAffineBicubic:  {"affine_bicubic", 7, -1 << 30, 1 << 30},
	StepSolarizeAdd:    {"solarize_add", 1, 0, 128},
}

// Plan is every random number of one view, drawn beforehand: crop Box of the
// SrcW×SrcH picture, resize it to Size×Size by Filter (or resize it to the window's W×H and
// keep the window), then apply Steps in order.
type Plan struct {
	View       int // index into Policy.Views
	Size       int // S
	SrcW, SrcH int // of the picture for which it was drawn
	Box        Box
	Window     Window
	Filter     Filter
	Steps      []Step
}

// window is the plan's window, whether it says so or not.
func (p *Plan) window() Window {
	if p.Window == (Window{}) {
		return Window{W: p.Size, H: p.Size}
	}
	return p.Window
}

// Source is the part of the picture that rendering reads: Box, or what the window needs of
// it.
func (p *Plan) Source() Box {
	if p.Window == (Window{}) {
		return p.Box
	}
	x, right := reach(p.Box.W, p.Window.W, p.Window.X, p.Size, p.Filter)
	y, bottom := reach(p.Box.H, p.Window.H, p.Window.Y, p.Size, p.Filter)
	return Box{p.Box.X + x, p.Box.Y + y, right - x, bottom - y}
}

// VerticalFirst reports whether the rows of the box are filtered before its columns. Only
// plans with a window do that, where it makes less work by the rule of Pillow 13: the
// height shrinks by more than twice as many pixels as the width. (Older Pillows go by columns
// first even then, and some bytes differ by 1.)
func (p *Plan) VerticalFirst() bool {
	less := p.Box.H - p.Window.H
	return p.Window != (Window{}) && less > 0 && less > 2*(p.Box.W-p.Window.W)
}

// holds reports whether the window is none, or S×S pixels inside W×H.
func (w Window) holds(size int) bool {
	return w == (Window{}) || w.W <= maxWindow && w.H <= maxWindow &&
		w.X >= 0 && w.Y >= 0 && w.X <= w.W-size && w.Y <= w.H-size
}

// Validate checks that the plan can be rendered, as those of Draw always can. The error
// wraps errs.ErrCorrupt.
func (p *Plan) Validate() error {
	bad := func(format string, args ...any) error {
		return errs.New("plan", "", "make the batch again with the same build",
			errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, args...)))
	}
	switch {
	case p.View < 0 || p.View >= maxViews:
		return bad("view %d", p.View)
	case p.Size < 1 || p.Size > schemas.MaxViewSize:
		return bad("size %d", p.Size)
	case p.SrcW < 1 || p.SrcW > maxSide || p.SrcH < 1 || p.SrcH > maxSide:
		return bad("source %d×%d", p.SrcW, p.SrcH)
	case !p.Box.within(p.SrcW, p.SrcH):
		return bad("box %+v of %d×%d", p.Box, p.SrcW, p.SrcH)
	case !p.Window.holds(p.Size):
		return bad("window %+v of a view of %d", p.Window, p.Size)
	case p.Filter != Bilinear && p.Filter != Bicubic:
		return bad("filter %q", p.Filter)
	case len(p.Steps) > maxSteps:
		return bad("%d steps", len(p.Steps))
	}
	for _, s := range p.Steps {
		if int(s.Kind) >= len(stepArgs) || stepArgs[s.Kind].name == "" {
			return bad("step kind %d", s.Kind)
		}
		d := &stepArgs[s.Kind]
		for i, a := range s.Arg {
			if i < d.n && (a < d.lo || a > d.hi) || i >= d.n && a != 0 {
				return bad("%s argument %d", d.name, a)
			}
		}
		if fill := s.Arg[6]; fill < 0 || fill > maxFill {
			return bad("%s argument %d", d.name, fill)
		}
	}
	return nil
}

// AppendBinary appends the plan's encoding, some 20 to 50 bytes: a version byte,
// then varints in the order of the fields (the window's only if there is one), each step as
// its kind and arguments. The error is always nil, as encoding.BinaryAppender requires one.
func (p *Plan) AppendBinary(b []byte) ([]byte, error) {
	all := p.fields()
	fields := all[:]
	if p.Window == (Window{}) {
		b, fields = append(b, planVersion), fields[:windowField]
	} else {
		b = append(b, windowVersion)
	}
	for _, v := range fields {
		b = binary.AppendUvarint(b, uint64(*v))
	}
	f := byte(0)
	if p.Filter == Bicubic {
		f = 1
	}
	b = append(b, f, byte(len(p.Steps)))
	for _, s := range p.Steps {
		b = append(b, byte(s.Kind))
		for _, a := range s.Arg[:stepArgs[s.Kind].n] {
			b = binary.AppendVarint(b, int64(a))
		}
	}
	return b, nil
}

// windowField is the number of fields before the window's.
const windowField = 8

// fields are the plan's numbers in the order of the encoding.
func (p *Plan) fields() [windowField + 4]*int {
	return [...]*int{
		&p.View, &p.Size, &p.SrcW, &p.SrcH, &p.Box.X, &p.Box.Y, &p.Box.W, &p.Box.H,
		&p.Window.W, &p.Window.H, &p.Window.X, &p.Window.Y,
	}
}

// ParsePlan parses what AppendBinary wrote, and validates it. It accepts any bytes. The
// error wraps errs.ErrCorrupt, or errs.ErrUnsupported for another version.
func ParsePlan(b []byte) (Plan, error) {
	var p Plan
	bad := func(detail string) (Plan, error) {
		return Plan{}, errs.New("parse plan", "", "make the batch again with the same build",
			errs.Because(errs.ErrCorrupt, detail))
	}
	if len(b) == 0 {
		return bad("no bytes")
	}
	all := p.fields()
	fields := all[:]
	switch b[0] {
	case planVersion:
		fields = fields[:windowField]
	case windowVersion:
	default:
		return Plan{}, errs.New("parse plan", "", "use the build that wrote it",
			errs.Because(errs.ErrUnsupported, fmt.Sprintf("version %d, this build reads %d and %d", b[0], planVersion, windowVersion)))
	}
	window := b[0] == windowVersion
	b = b[1:]
	for _, dst := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > maxWindow {
			return bad("a field is cut off or too large")
		}
		*dst, b = int(v), b[n:]
	}
	if window && p.Window == (Window{}) {
		return bad("an empty window")
	}
	if len(b) < 2 {
		return bad("cut off before its steps")
	}
	switch b[0] {
	case 0:
		p.Filter = Bilinear
	case 1:
		p.Filter = Bicubic
	default:
		return bad(fmt.Sprintf("filter %d", b[0]))
	}
	n := int(b[1])
	b = b[2:]
	if n > maxSteps || n > len(b) {
		return bad(fmt.Sprintf("%d steps in %d bytes", n, len(b)))
	}
	if n > 0 {
		p.Steps = make([]Step, n)
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		if len(b) == 0 || int(b[0]) >= len(stepArgs) {
			return bad("a step is cut off or unknown")
		}
		s.Kind, b = StepKind(b[0]), b[1:]
		for j := range s.Arg[:stepArgs[s.Kind].n] {
			v, n := binary.Varint(b)
			if n <= 0 || v != int64(int32(v)) {
				return bad("an argument is cut off or too large")
			}
			s.Arg[j], b = int32(v), b[n:]
		}
	}
	if len(b) > 0 {
		return bad(fmt.Sprintf("%d bytes after the last step", len(b)))
	}
	if err := p.Validate(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// String formats the plan as one readable line.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "crop %d,%d %d×%d of %d×%d → ", p.Box.X, p.Box.Y, p.Box.W, p.Box.H, p.SrcW, p.SrcH)
	if w := p.Window; w != (Window{}) {
		fmt.Fprintf(&b, "%d×%d, %d,%d ", w.W, w.H, w.X, w.Y)
	}
	fmt.Fprintf(&b, "%d %s", p.Size, p.Filter)
	for _, s := range p.Steps {
		b.WriteString(", ")
		b.WriteString(s.String())
	}
	return b.String()
}

// String formats the step's name and arguments.
func (s Step) String() string {
	if int(s.Kind) >= len(stepArgs) || stepArgs[s.Kind].name == "" {
		return fmt.Sprintf("step %d", s.Kind)
	}
	name := stepArgs[s.Kind].name
	switch s.Kind {
	case StepBrightness, StepContrast, StepSaturation, StepSharpness:
		return fmt.Sprintf("%s %.2f", name, float64(s.Arg[0])/factorOne)
	case StepHue:
		return fmt.Sprintf("%s %+d/256", name, int8(s.Arg[0]))
	case StepBlur:
		return fmt.Sprintf("%s σ %.2f", name, float64(s.Arg[0])/sigmaOne)
	case StepSolarize, StepPosterize, StepSolarizeAdd:
		return fmt.Sprintf("%s %d", name, s.Arg[0])
	case StepAffine, StepAffineBilinear, StepAffineBicubic:
		m := fmt.Sprintf("%s [%.3f %.3f %.1f; %.3f %.3f %.1f]", name,
			float64(s.Arg[0])/65536, float64(s.Arg[1])/65536, float64(s.Arg[2])/65536,
			float64(s.Arg[3])/65536, float64(s.Arg[4])/65536, float64(s.Arg[5])/65536)
		if s.Kind != StepAffine {
			m += fmt.Sprintf(" on #%06x", s.Arg[6])
		}
		return m
	}
	return name
}
