package augment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// OpKind names one operation of a policy, as YAML spells it.
type OpKind string

// The operations. A view begins with one of the four that choose a box of the picture
// and resize it; any number of the others follow in any order.
const (
	RandomResizedCrop OpKind = "random_resized_crop" // scale, ratio, filter
	ResizeWhole       OpKind = "resize"              // filter; the whole picture, aspect ratio ignored
	CenterCrop        OpKind = "center_crop"         // fraction, filter
	ResizeCenterCrop  OpKind = "resize_center_crop"  // resize, filter; torchvision's Resize and CenterCrop
	PaddedCrop        OpKind = "padded_crop"         // padding; torchvision's RandomCrop(S, padding)
	Flip              OpKind = "flip"                // p
	ColorJitter       OpKind = "color_jitter"        // p, brightness, contrast, saturation, hue
	Grayscale         OpKind = "grayscale"           // p
	GaussianBlur      OpKind = "gaussian_blur"       // p, sigma
	Solarize          OpKind = "solarize"            // p, threshold
	RandAugment       OpKind = "rand_augment"        // n, m, p; CLSA's law

	// The laws of torchvision's classes of these names.
	TorchvisionRandAugment OpKind = "torchvision_rand_augment" // n, m
	TrivialAugmentWide     OpKind = "trivial_augment_wide"

	// The law of timm's rand_augment_transform: "rand-m{m}-n{n}-mstd{mstd}-inc{increasing}-p{p}".
	TimmRandAugment OpKind = "timm_rand_augment" // n, m, mstd, increasing, p, filter, fill
)

// Filter names the kernel of the antialiased resize.
type Filter string

// The resampling filters, Pillow's BILINEAR and BICUBIC (a = -1/2).
const (
	Bilinear Filter = "bilinear"
	Bicubic  Filter = "bicubic"
)

// Range is a closed interval [min, max] to draw from.
type Range [2]float64

// Color is red, green and blue, 0 … 255.
type Color [3]int

// Op is one operation with its ranges. Only the fields that its kind lists have a
// meaning; the others are zero.
type Op struct {
	Kind OpKind `json:"op"`
	// P is the probability that the operation is applied, 0 ≤ P ≤ 1.
	P float64 `json:"p,omitzero"`

	Scale    Range   `json:"scale,omitzero"`    // crop's share of the picture's area, 0 < min ≤ max ≤ 1
	Ratio    Range   `json:"ratio,omitzero"`    // crop's width / height, drawn log-uniformly
	Filter   Filter  `json:"filter,omitzero"`   // of the resize
	Fraction float64 `json:"fraction,omitzero"` // central square's side / picture's shorter side
	Resize   int     `json:"resize,omitzero"`   // shorter side after the resize, of which the central S×S are kept
	Padding  int     `json:"padding,omitzero"`  // black pixels on each side, before the crop

	Brightness float64 `json:"brightness,omitzero"` // factor in [max(0, 1-b), 1+b]
	Contrast   float64 `json:"contrast,omitzero"`   // the same
	Saturation float64 `json:"saturation,omitzero"` // the same
	Hue        float64 `json:"hue,omitzero"`        // shift in [-hue, hue] turns, hue ≤ 0.5

	Sigma     Range `json:"sigma,omitzero"`     // standard deviation, pixels of the view
	Threshold int   `json:"threshold,omitzero"` // invert values ≥ threshold

	N int `json:"n,omitzero"` // operations drawn from RandAugment's pool
	// M is CLSA's limit of the magnitudes, drawn from 1 … M-1 out of 10, torchvision's
	// magnitude, 0 … 30, or timm's, 0 … 10.
	M int `json:"m,omitzero"`

	MStd       float64 `json:"mstd,omitzero"`       // standard deviation of timm's magnitude
	Increasing bool    `json:"increasing,omitzero"` // timm's operations whose effect grows with the magnitude
	Fill       Color   `json:"fill,omitzero"`       // what timm's geometric operations show outside of the view
}

// View is one picture made from every sample.
type View struct {
	Name string       `json:"name"`
	Role schemas.Role `json:"role"`
	Size int          `json:"size"` // S: the view is S×S pixels
	Ops  []Op         `json:"ops"`
}

// Limits are checked before a sample is decoded.
type Limits struct {
	MaxPixels int `json:"max_pixels"` // width × height
	MaxBytes  int `json:"max_bytes"`  // of the encoded file
	MaxSide   int `json:"max_side"`   // of width and of height
}

// DefaultLimits admit every picture of ImageNet (the largest has 88 Mpx) and limit a
// decoder to some 300 MB.
var DefaultLimits = Limits{MaxPixels: 100_000_000, MaxBytes: 64 << 20, MaxSide: 32_767}

// Policy defines what may be drawn for each view of a sample. It is data: a YAML file or
// a preset, without code. A Policy is read-only once made, and safe for use by many
// goroutines.
type Policy struct {
	Name string `json:"name"`
	// Source cites where the numbers come from. It is no part of the canonical form, so
	// that a better citation does not change a run's digest.
	Source string `json:"-"`
	Views  []View `json:"views"`
	Limits Limits `json:"limits"`
}

// Bounds of what a policy may demand.
const (
	maxViews  = 64
	maxOps    = 16
	maxSteps  = 64   // of one plan
	maxJitter = 3.0  // factors stay ≤ 4, where Pillow's float32 blend is exact in Q14
	maxSigma  = 16.0 // 97 taps
	maxRand   = 8    // operations of one rand_augment
	maxMStd   = 10   // of timm's magnitudes, which are 0 … 10
	maxResize = 8192 // of the shorter side, resized
)

// Validate reports the first thing that cannot be drawn. The error wraps
// errs.ErrUsage and names the field: "views[1].ops[0].scale".
func (p *Policy) Validate() error {
	if f := p.check(); f != nil {
		return errs.New("policy", p.label()+" "+f.path, f.hint, errs.Because(errs.ErrUsage, f.why))
	}
	return nil
}

// label is the policy's name in messages.
func (p *Policy) label() string {
	if p.Name == "" {
		return "(unnamed)"
	}
	return p.Name
}

// fault is one impossible field. The YAML reader finds its line by path.
type fault struct{ path, why, hint string }

func (p *Policy) check() *fault {
	switch {
	case p.Name == "" || len(p.Name) > 100:
		return &fault{"name", "is empty or over 100 bytes", "give the policy a short name"}
	case len(p.Views) == 0 || len(p.Views) > maxViews:
		return &fault{"views", fmt.Sprintf("has %d entries", len(p.Views)), fmt.Sprintf("give 1 to %d views", maxViews)}
	}
	for _, l := range []struct {
		name string
		v    int
		max  int
	}{{"max_pixels", p.Limits.MaxPixels, math.MaxInt32}, {"max_bytes", p.Limits.MaxBytes, math.MaxInt32}, {"max_side", p.Limits.MaxSide, maxSide}} {
		if l.v < 1 || l.v > l.max {
			return &fault{"limits." + l.name, fmt.Sprintf("is %d", l.v), fmt.Sprintf("give 1 to %d", l.max)}
		}
	}
	seen := map[string]bool{}
	for i := range p.Views {
		v := &p.Views[i]
		at := "views[" + strconv.Itoa(i) + "]."
		switch {
		case !validViewName(v.Name):
			return &fault{at + "name", fmt.Sprintf("is %q", v.Name), "use 1 to 32 of letters, digits, '-' and '_'"}
		case seen[v.Name]:
			return &fault{at + "name", fmt.Sprintf("%q is taken", v.Name), "give each view a name of its own"}
		case v.Role != schemas.Teacher && v.Role != schemas.Student:
			return &fault{at + "role", fmt.Sprintf("is %q", v.Role), `give "teacher" or "student"`}
		case v.Size < 1 || v.Size > schemas.MaxViewSize:
			return &fault{at + "size", fmt.Sprintf("is %d", v.Size), fmt.Sprintf("give 1 to %d", schemas.MaxViewSize)}
		case len(v.Ops) == 0 || len(v.Ops) > maxOps:
			return &fault{at + "ops", fmt.Sprintf("has %d entries", len(v.Ops)), fmt.Sprintf("give 1 to %d, a crop or resize first", maxOps)}
		}
		seen[v.Name] = true
		steps := 0
		for j := range v.Ops {
			op := &v.Ops[j]
			opAt := at + "ops[" + strconv.Itoa(j) + "]"
			if op.Kind.boxes() != (j == 0) {
				return &fault{
					opAt, fmt.Sprintf("%q is out of place", op.Kind),
					"begin with one of random_resized_crop, resize, center_crop, resize_center_crop, and use no second",
				}
			}
			if f := op.check(v.Size); f != nil {
				f.path = opAt + "." + f.path
				return f
			}
			steps += op.steps()
		}
		if steps > maxSteps {
			return &fault{at + "ops", fmt.Sprintf("may draw %d steps", steps), fmt.Sprintf("keep to %d", maxSteps)}
		}
	}
	return nil
}

// boxes reports whether the operation chooses the box of the picture.
func (k OpKind) boxes() bool {
	return k == RandomResizedCrop || k == ResizeWhole || k == CenterCrop || k == ResizeCenterCrop
}

// steps is the largest number of plan steps that the operation can draw.
func (o *Op) steps() int {
	switch o.Kind {
	case RandomResizedCrop, ResizeWhole, CenterCrop, ResizeCenterCrop:
		return 0
	case ColorJitter:
		return 4
	case RandAugment, TorchvisionRandAugment, TimmRandAugment:
		return o.N
	}
	return 1
}

// check checks the operation's ranges for a view of size×size.
func (o *Op) check(size int) *fault {
	within := func(name string, v, lo, hi float64) *fault {
		// This form refuses NaN, too.
		if !(v >= lo && v <= hi) {
			return &fault{name, "is " + num(v), fmt.Sprintf("give %s to %s", num(lo), num(hi))}
		}
		return nil
	}
	interval := func(name string, r Range, lo, hi float64) *fault {
		if !(r[0] >= lo && r[1] <= hi && r[0] <= r[1]) {
			return &fault{
				name, fmt.Sprintf("is [%s, %s]", num(r[0]), num(r[1])),
				fmt.Sprintf("give [min, max] with %s ≤ min ≤ max ≤ %s", num(lo), num(hi)),
			}
		}
		return nil
	}
	first := func(fs ...*fault) *fault {
		for _, f := range fs {
			if f != nil {
				return f
			}
		}
		return nil
	}
	filter := func() *fault {
		if o.Filter != Bilinear && o.Filter != Bicubic {
			return &fault{"filter", fmt.Sprintf("is %q", o.Filter), `give "bilinear" or "bicubic"`}
		}
		return nil
	}
	switch o.Kind {
	case RandomResizedCrop:
		return first(interval("scale", o.Scale, 1e-4, 1), interval("ratio", o.Ratio, 0.01, 100), filter())
	case ResizeWhole:
		return filter()
	case CenterCrop:
		return first(within("fraction", o.Fraction, 0.01, 1), filter())
	case ResizeCenterCrop:
		// torchvision pads what is smaller than its crop with black; nobody means that.
		return first(within("resize", float64(o.Resize), float64(size), maxResize), filter())
	case PaddedCrop:
		return within("padding", float64(o.Padding), 1, float64(size))
	case Flip, Grayscale:
		return within("p", o.P, 0, 1)
	case ColorJitter:
		return first(within("p", o.P, 0, 1), within("brightness", o.Brightness, 0, maxJitter),
			within("contrast", o.Contrast, 0, maxJitter), within("saturation", o.Saturation, 0, maxJitter),
			within("hue", o.Hue, 0, 0.5))
	case GaussianBlur:
		return first(within("p", o.P, 0, 1), interval("sigma", o.Sigma, 0.01, maxSigma))
	case Solarize:
		return first(within("p", o.P, 0, 1), within("threshold", float64(o.Threshold), 0, 256))
	case RandAugment:
		return first(within("p", o.P, 0, 1), within("n", float64(o.N), 1, maxRand), within("m", float64(o.M), 2, 10))
	case TorchvisionRandAugment:
		return first(within("n", float64(o.N), 1, maxRand), within("m", float64(o.M), 0, tvBins-1))
	case TrivialAugmentWide:
		return nil
	case TimmRandAugment:
		f := first(within("p", o.P, 0, 1), within("n", float64(o.N), 1, maxRand),
			within("m", float64(o.M), 0, timmLevels), within("mstd", o.MStd, 0, maxMStd))
		if f == nil && o.Filter != "" {
			f = filter()
		}
		for _, v := range o.Fill {
			f = first(f, within("fill", float64(v), 0, 255))
		}
		return f
	}
	return &fault{"op", fmt.Sprintf("%q is unknown", o.Kind), bounded.Suggest(string(o.Kind), opNames()) + "use one of " + strings.Join(opNames(), ", ")}
}

func num(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func validViewName(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// ViewSpecs are the run spec's views.
func (p *Policy) ViewSpecs() []schemas.ViewSpec {
	out := make([]schemas.ViewSpec, len(p.Views))
	for i, v := range p.Views {
		out[i] = schemas.ViewSpec{Name: v.Name, Role: v.Role, Size: v.Size}
	}
	return out
}

// Resize returns a copy of the policy with other view sizes: one for each view, or a
// single one if all views have the same size. The shorter side of a resize_center_crop
// keeps its ratio to the view's: 256 for 224 becomes 146 for 128. The error wraps
// errs.ErrUsage.
func (p *Policy) Resize(sizes ...int) (*Policy, error) {
	q := *p
	q.Views = append([]View(nil), p.Views...)
	same := true
	for _, v := range q.Views {
		same = same && v.Size == q.Views[0].Size
	}
	if len(sizes) != len(q.Views) && (len(sizes) != 1 || !same) {
		return nil, errs.New("resize policy", p.label(), fmt.Sprintf("give %d sizes, one for each view", len(q.Views)),
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d sizes for views of different sizes", len(sizes))))
	}
	for i := range q.Views {
		v := &q.Views[i]
		before, size := v.Size, sizes[min(i, len(sizes)-1)]
		v.Size = size
		if len(v.Ops) > 0 && v.Ops[0].Kind == ResizeCenterCrop && size > 0 && before > 0 {
			v.Ops = append([]Op(nil), v.Ops...)
			v.Ops[0].Resize = (2*v.Ops[0].Resize*size + before) / (2 * before)
		}
	}
	if err := q.Validate(); err != nil {
		return nil, err
	}
	return &q, nil
}

// maxCanonical bounds what ParseCanonical accepts.
const maxCanonical = 1 << 18

// Canonical is the policy as one line of JSON with a fixed order of keys, its form in
// the run spec. Equal strings draw equal plans.
func (p *Policy) Canonical() string {
	b, err := json.Marshal(p)
	if err != nil {
		// Only NaN and infinities fail to marshal, and Validate refuses those.
		return ""
	}
	return string(b)
}

// ParseCanonical parses what Canonical wrote. Its error wraps errs.ErrCorrupt if s is no
// such text, errs.ErrUsage if its ranges are impossible.
func ParseCanonical(s string) (*Policy, error) {
	bad := func(cause error) error {
		return errs.New("parse policy", "of the run spec", "start the run with the same build on every machine",
			errs.BecauseErr(errs.ErrCorrupt, cause))
	}
	if len(s) > maxCanonical {
		return nil, bad(fmt.Errorf("%d bytes, over %d", len(s), maxCanonical))
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.DisallowUnknownFields()
	p := new(Policy)
	if err := d.Decode(p); err != nil {
		return nil, bad(err)
	}
	if d.InputOffset() != int64(len(s)) {
		return nil, bad(fmt.Errorf("text after the policy"))
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}
