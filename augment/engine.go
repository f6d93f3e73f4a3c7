package augment

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// Engine makes painters. Name is its name and version, such as "ref/2", and is part of
// the run spec: engines of equal names give equal bytes for equal plans and samples. An
// Engine is safe for many goroutines.
type Engine interface {
	Name() string
	NewPainter(l Limits) Painter
}

// checker is an Engine that can lack something on this machine. Its error says what;
// EngineByName, NewRenderer and CheckEngines return it.
type checker interface{ Check() error }

// CheckEngine returns the error of e's method Check, if it has one.
func CheckEngine(e Engine) error {
	if c, ok := e.(checker); ok {
		return c.Check()
	}
	return nil
}

// Kernels names the instruction set of the engine's kernels; "" if they have only one
// form. No engine's bytes depend on it.
func Kernels(e Engine) string {
	if k, ok := e.(interface{ Kernels() string }); ok {
		return k.Kernels()
	}
	return ""
}

// Painter is the part of an engine for one goroutine: it decodes a sample and executes
// plans on it. A Renderer calls it in the order
//
//	Open → (Decode → Paint … Paint) → Open …
//
// and Close once at the end. It reuses its buffers, so that rendering allocates next to
// nothing.
type Painter interface {
	// Open reads the sample's size without decoding it, after checking the
	// limits. The painter may keep sample.Data until the next Open or Close.
	// The error names the sample; where its bytes are at fault, it is a schemas.BadSample.
	Open(sample *schemas.Sample) (w, h int, err error)
	// Decode decodes the pixels of box, which contains Plan.Source of all later plans.
	Decode(box Box) error
	// Paint renders the plan into dst, (S,S,3) uint8, HWC, RGB.
	Paint(p *Plan, dst []byte) error
	// Close frees memory that the garbage collector does not manage.
	Close() error
}

// engines are the built-in ones, by preference: the first one with the highest rank is
// the default.
var engines struct {
	sync.RWMutex
	list []rankedEngine
}

type rankedEngine struct {
	rank int
	Engine
}

// RegisterEngine adds an engine; DefaultEngine is the one with the highest rank (ref 0,
// gift 10). Packages call it from init, as for image formats. A second engine of the
// same name is ignored.
func RegisterEngine(rank int, e Engine) {
	engines.Lock()
	defer engines.Unlock()
	for _, have := range engines.list {
		if have.Name() == e.Name() {
			return
		}
	}
	engines.list = append(engines.list, rankedEngine{rank, e})
	sort.SliceStable(engines.list, func(i, j int) bool { return engines.list[i].rank > engines.list[j].rank })
}

func init() {
	for _, f := range []Formats{AllFormats, PackedFormats, FirstFormats} {
		RegisterEngine(10, giftEngine{f})
		RegisterEngine(0, refEngine{f})
	}
}

// DefaultEngine is the fastest engine that is built in.
func DefaultEngine() Engine {
	engines.RLock()
	defer engines.RUnlock()
	return engines.list[0].Engine
}

// RawEngine is the engine of e's family for data sets of raw pixels, which no decoder
// touches: the oldest version. Their runs keep the digests that they have always had.
func RawEngine(e Engine) Engine {
	family, _, _ := strings.Cut(e.Name(), "/")
	engines.RLock()
	defer engines.RUnlock()
	for _, have := range engines.list {
		if f, _, _ := strings.Cut(have.Name(), "/"); f == family {
			e = have.Engine // the oldest is last
		}
	}
	return e
}

// PackedEngine is the engine of e's family for data sets of packed JPEGs: the version that
// decodes them. It renders everything else as e does.
func PackedEngine(e Engine) Engine {
	family, _, _ := strings.Cut(e.Name(), "/")
	engines.RLock()
	defer engines.RUnlock()
	for _, have := range engines.list {
		f, version, _ := strings.Cut(have.Name(), "/")
		version, _, _ = strings.Cut(version, "-") // gift's names its target, too
		if f == family && version == PackedFormats.Version() {
			return have.Engine
		}
	}
	return e
}

// EngineNames lists the built-in engines, the default first.
func EngineNames() []string {
	engines.RLock()
	defer engines.RUnlock()
	out := make([]string, len(engines.list))
	for i, e := range engines.list {
		out[i] = e.Name()
	}
	return out
}

// CheckEngines returns the first error of CheckEngine over the built-in engines, for
// programs that should rather not start than refuse every run.
func CheckEngines() error {
	engines.RLock()
	defer engines.RUnlock()
	for _, e := range engines.list {
		if err := CheckEngine(e.Engine); err != nil {
			return err
		}
	}
	return nil
}

// EngineByName returns the engine that a run spec names, with its version. The error
// wraps errs.ErrMismatch and names both sides, or is CheckEngine's. EngineByFamily takes
// what a person types, such as "gift".
func EngineByName(name string) (Engine, error) {
	engines.RLock()
	defer engines.RUnlock()
	for _, e := range engines.list {
		if e.Name() == name {
			if err := CheckEngine(e.Engine); err != nil {
				return nil, err
			}
			return e.Engine, nil
		}
	}
	have := make([]string, len(engines.list))
	for i, e := range engines.list {
		have[i] = e.Name()
	}
	return nil, errs.New("engine", fmt.Sprintf("%q", name),
		bounded.Suggest(name, append(engineFamilies(have), have...))+"run a worker with that engine, or start the run with an engine that every worker has",
		errs.Because(errs.ErrMismatch, "this build has "+strings.Join(have, ", ")))
}

// engineFamilies are the names of engines up to the slash.
func engineFamilies(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i], _, _ = strings.Cut(n, "/")
	}
	return slices.Compact(out)
}

// EngineByFamily returns an engine by its name up to the slash, for command lines:
// "gift", "ref", or a whole name; "" means the default. The error is EngineByName's.
func EngineByFamily(name string) (Engine, error) {
	if name == "" {
		name = DefaultEngine().Name()
	}
	for _, n := range EngineNames() {
		if family, _, _ := strings.Cut(n, "/"); family == name {
			return EngineByName(n)
		}
	}
	return EngineByName(name)
}

// Renderer draws and renders all views of a sample from one decode. It belongs to one
// goroutine. What it renders depends only on its arguments, never on what it rendered
// before.
type Renderer struct {
	policy  *Policy
	painter Painter
	plans   []Plan
}

// NewRenderer makes a renderer of the policy by the engine. Errors are those of Validate
// and CheckEngine.
func NewRenderer(e Engine, p *Policy) (*Renderer, error) {
	if err := CheckEngine(e); err != nil {
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &Renderer{policy: p, painter: e.NewPainter(p.Limits), plans: make([]Plan, len(p.Views))}, nil
}

// Render draws the plan of every view for key, renders them, and appends each
// plan's encoding to plans[v][:0].
//
// pixels[v] is (S,S,3) uint8, HWC, RGB, with S = Views[v].Size, owned by the
// caller and valid only when the error is nil. plans is nil or has one entry for each
// view, whose buffers the result reuses. The error is a schemas.BadSample if the sample's
// bytes are at fault (the caller then takes another sample or makes a tombstone), ErrUsage
// if the arguments are.
func (r *Renderer) Render(sample *schemas.Sample, key Key, pixels, plans [][]byte) ([][]byte, error) {
	if err := r.checkBuffers(pixels); err != nil {
		return plans, err
	}
	w, h, err := r.painter.Open(sample)
	if err != nil {
		return plans, err
	}
	for v := range r.plans {
		drawInto(&r.plans[v], r.policy, v, key, w, h)
	}
	if err := r.paint(r.plans, pixels); err != nil {
		return plans, err
	}
	if cap(plans) < len(r.plans) {
		plans = append(make([][]byte, 0, len(r.plans)), plans...)
	}
	plans = plans[:len(r.plans)]
	for v := range r.plans {
		plans[v], _ = r.plans[v].AppendBinary(plans[v][:0]) // the error is nil by contract
	}
	return plans, nil
}

// Replay renders given plans, one for each view, such as those of a recipe log: with the
// same engine, the pixels are those of Render. The error wraps ErrMismatch if a plan was
// drawn for another view or a picture of another size.
func (r *Renderer) Replay(sample *schemas.Sample, plans []Plan, pixels [][]byte) error {
	if err := r.checkBuffers(pixels); err != nil {
		return err
	}
	if len(plans) != len(r.policy.Views) {
		return errs.New("replay", sample.Key, "give the plans of all views of one sample",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("%d plans for %d views", len(plans), len(r.policy.Views))))
	}
	w, h, err := r.painter.Open(sample)
	if err != nil {
		return err
	}
	for v := range plans {
		p := &plans[v]
		if err := p.Validate(); err != nil {
			return err
		}
		if p.View != v || p.Size != r.policy.Views[v].Size || p.SrcW != w || p.SrcH != h {
			return errs.New("replay", sample.Key, "use the data set and policy of the recorded run",
				errs.Because(errs.ErrMismatch, fmt.Sprintf("plan %d is of view %d, %d×%d → %d; the picture is %d×%d → %d",
					v, p.View, p.SrcW, p.SrcH, p.Size, w, h, r.policy.Views[v].Size)))
		}
	}
	return r.paint(plans, pixels)
}

func (r *Renderer) paint(plans []Plan, pixels [][]byte) error {
	var box Box
	for v := range plans {
		box = box.Union(plans[v].Source())
	}
	if err := r.painter.Decode(box); err != nil {
		return err
	}
	for v := range plans {
		if err := r.painter.Paint(&plans[v], pixels[v]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Renderer) checkBuffers(pixels [][]byte) error {
	if len(pixels) != len(r.policy.Views) {
		return errs.New("render", r.policy.label(), "give one buffer for each view",
			errs.Because(errs.ErrUsage, fmt.Sprintf("%d buffers for %d views", len(pixels), len(r.policy.Views))))
	}
	for v := range pixels {
		if s := r.policy.Views[v].Size; len(pixels[v]) != 3*s*s {
			return errs.New("render", r.policy.Views[v].Name, fmt.Sprintf("give %d bytes", 3*s*s),
				errs.Because(errs.ErrUsage, fmt.Sprintf("buffer of %d bytes", len(pixels[v]))))
		}
	}
	return nil
}

// Close frees the painter's memory. The renderer is not used afterwards.
func (r *Renderer) Close() error { return r.painter.Close() }
