package augment

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

// somePlans are drawn plans of every preset, so of every kind of step.
func somePlans(t testing.TB) []Plan {
	t.Helper()
	var plans []Plan
	for _, name := range Presets() {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		for v := range p.Views {
			for s := range int64(6) {
				plans = append(plans, Draw(p, v, Key{Seed: 2, Sample: s}, 500, 375))
			}
		}
	}
	return plans
}

func TestPlanSurvivesItsEncoding(t *testing.T) {
	kinds := map[StepKind]bool{}
	longest := 0
	for _, p := range somePlans(t) {
		b, err := p.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, len(b))
		q, err := ParsePlan(b)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := q.AppendBinary(nil)
		if !bytes.Equal(b, c) || p.String() != q.String() {
			t.Fatalf("%s became %s", p.String(), q.String())
		}
		if s := p.String(); strings.Contains(s, "\n") || strings.Contains(s, "step ") {
			t.Errorf("%q is not one line of names", s)
		}
		for _, s := range p.Steps {
			kinds[s.Kind] = true
		}
		for n := range b {
			if _, err := ParsePlan(b[:n]); !errors.Is(err, errs.ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v, want ErrCorrupt", n, len(b), err)
			}
		}
		if _, err := ParsePlan(append(b, 0)); !errors.Is(err, errs.ErrCorrupt) {
			t.Fatalf("a byte too many: %v", err)
		}
	}
	for kind, d := range stepArgs {
		if d.name != "" && !kinds[StepKind(kind)] {
			t.Errorf("no preset drew %s", d.name)
		}
	}
	t.Logf("longest encoding %d bytes", longest)
	if _, err := ParsePlan([]byte{windowVersion + 1}); !errors.Is(err, errs.ErrUnsupported) {
		t.Errorf("another version: %v, want ErrUnsupported", err)
	}
}

func TestPlanValidate(t *testing.T) {
	base := func() Plan {
		return Plan{Size: 32, SrcW: 50, SrcH: 40, Box: Box{1, 2, 30, 20}, Filter: Bilinear}
	}
	for name, spoil := range map[string]func(*Plan){
		"size":          func(p *Plan) { p.Size = 0 },
		"huge size":     func(p *Plan) { p.Size = 100000 },
		"view":          func(p *Plan) { p.View = -1 },
		"source":        func(p *Plan) { p.SrcW = 70000 },
		"box":           func(p *Plan) { p.Box.X = 21 },
		"empty box":     func(p *Plan) { p.Box.W = 0 },
		"overflow":      func(p *Plan) { p.Box = Box{1 << 62, 0, 1 << 62, 1} },
		"filter":        func(p *Plan) { p.Filter = "lanczos" },
		"kind":          func(p *Plan) { p.Steps = []Step{{Kind: 99}} },
		"kind 0":        func(p *Plan) { p.Steps = []Step{{}} },
		"factor":        func(p *Plan) { p.Steps = []Step{{Kind: StepBrightness, Arg: [7]int32{maxFactor + 1}}} },
		"sigma":         func(p *Plan) { p.Steps = []Step{{Kind: StepBlur, Arg: [7]int32{1 << 30}}} },
		"extra arg":     func(p *Plan) { p.Steps = []Step{{Kind: StepFlip, Arg: [7]int32{1}}} },
		"many steps":    func(p *Plan) { p.Steps = make([]Step, maxSteps+1) },
		"narrow window": func(p *Plan) { p.Window = Window{W: 31, H: 40} },
		"window beyond": func(p *Plan) { p.Window = Window{W: 40, H: 40, X: 9} },
		"window before": func(p *Plan) { p.Window = Window{W: 40, H: 40, Y: -1} },
		"vast window":   func(p *Plan) { p.Window = Window{W: maxWindow + 1, H: 40} },
		"window offset": func(p *Plan) { p.Window = Window{X: 1} },
	} {
		p := base()
		spoil(&p)
		if err := p.Validate(); !errors.Is(err, errs.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	p := base()
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	src := &Image{W: 51, H: 40, Pix: make([]byte, 3*51*40)}
	if err := Execute(&p, src, make([]byte, 3*32*32)); !errors.Is(err, errs.ErrMismatch) {
		t.Errorf("another picture: %v, want ErrMismatch", err)
	}
}

// TestPlanVersions: a plan without a window has the bytes that it always had, which start
// with 1; older builds refuse one with a window by its version.
func TestPlanVersions(t *testing.T) {
	p := Plan{View: 1, Size: 32, SrcW: 500, SrcH: 375, Box: Box{1, 2, 30, 200}, Filter: Bicubic, Steps: []Step{{Kind: StepSolarize, Arg: [7]int32{128}}}}
	b, _ := p.AppendBinary(nil)
	if want := []byte{1, 1, 32, 0xf4, 3, 0xf7, 2, 1, 2, 30, 0xc8, 1, 1, 1, 8, 0x80, 2}; !bytes.Equal(b, want) {
		t.Errorf("the plan is %#v, want %#v", b, want)
	}
	p.Window = Window{W: 341, H: 256, X: 58, Y: 16}
	b, _ = p.AppendBinary(nil)
	if want := []byte{2, 1, 32, 0xf4, 3, 0xf7, 2, 1, 2, 30, 0xc8, 1, 0xd5, 2, 0x80, 2, 58, 16, 1, 1, 8, 0x80, 2}; !bytes.Equal(b, want) {
		t.Errorf("the plan with a window is %#v, want %#v", b, want)
	}
	q, err := ParsePlan(b)
	if err != nil || q.Window != p.Window {
		t.Errorf("parsed as %s, %v", q.String(), err)
	}
	// The same plan has one encoding.
	if _, err := ParsePlan([]byte{2, 1, 32, 0xf4, 3, 0xf7, 2, 1, 2, 30, 0xc8, 1, 0, 0, 0, 0, 1, 0}); !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("an empty window: %v, want ErrCorrupt", err)
	}
}

func FuzzParsePlan(f *testing.F) {
	for i, p := range somePlans(f) {
		if i%17 == 0 {
			b, _ := p.AppendBinary(nil)
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePlan(b)
		if err != nil {
			return
		}
		c, _ := p.AppendBinary(nil)
		q, err := ParsePlan(c)
		if err != nil || q.String() != p.String() {
			t.Fatalf("%s became %s, %v", p.String(), q.String(), err)
		}
		if p.SrcW*p.SrcH > 1<<14 || p.Size > 64 {
			return
		}
		// Whatever parses can be rendered.
		src := &Image{W: p.SrcW, H: p.SrcH, Pix: make([]byte, 3*p.SrcW*p.SrcH)}
		if err := Execute(&p, src, make([]byte, 3*p.Size*p.Size)); err != nil {
			t.Fatal(err)
		}
	})
}
