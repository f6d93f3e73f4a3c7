package augment

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
)

// good is a policy that the cases below spoil, line by line.
const good = `name: mine
views:
  - name: weak
    role: teacher
    size: 32
    ops:
      - random_resized_crop: {scale: [0.2, 1]}
      - flip
  - name: strong
    role: student
    size: 32
    count: 2
    ops:
      - resize: {filter: bicubic}
      - color_jitter:
          brightness: 0.4
          hue: 0.1
      - gaussian_blur: {p: 1, sigma: [0.1, 2]}
`

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy("mine.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range p.ViewSpecs() {
		names = append(names, v.Name+":"+string(v.Role))
	}
	if got := strings.Join(names, " "); got != "weak:teacher strong1:student strong2:student" {
		t.Errorf("views are %s", got)
	}
	if op := p.Views[0].Ops[0]; op.Ratio != (Range{3.0 / 4, 4.0 / 3}) || op.Filter != Bilinear || op.Scale != (Range{0.2, 1}) {
		t.Errorf("crop is %+v", op)
	}
	if op := p.Views[0].Ops[1]; op.Kind != Flip || op.P != 0.5 {
		t.Errorf("flip is %+v", op)
	}
	if op := p.Views[2].Ops[1]; op.Brightness != 0.4 || op.Hue != 0.1 || op.P != 0.8 || op.Contrast != 0 {
		t.Errorf("jitter is %+v", op)
	}
	if p.Limits != DefaultLimits {
		t.Errorf("limits are %+v", p.Limits)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	for _, c := range []struct{ from, to, at, says string }{
		{"name: mine", "nam: mine", "mine.yaml:1: nam", "unknown key"},
		{"role: teacher", "rolle: teacher", "mine.yaml:4: views[0].rolle", "name, role, size, count, ops"},
		{"role: teacher", "role: pupil", "mine.yaml:4: views[0].role", `"pupil"`},
		{"- flip", "- flop", "mine.yaml:8: views[0].ops[1]", `"flop" is an unknown operation`},
		{"scale: [0.2, 1]", "scale: [1, 0.2]", "mine.yaml:7: views[0].ops[0].scale", "[1, 0.2]"},
		{"scale: [0.2, 1]", "scale: [0, 1]", "mine.yaml:7: views[0].ops[0].scale", "[0, 1]"},
		{"scale: [0.2, 1]", "scale: 0.2", "mine.yaml:7: views[0].ops[0].random_resized_crop.scale", "no pair"},
		{"scale: [0.2, 1]", "scale: [0.2, .nan]", "mine.yaml:7:", "pair of numbers"},
		{"scale: [0.2, 1]", "zoom: [0.2, 1]", "mine.yaml:7: views[0].ops[0].random_resized_crop.zoom", "filter, ratio, scale"},
		{"size: 32\n    ops", "size: 0\n    ops", "mine.yaml:5: views[0].size", "is 0"},
		{"size: 32\n    ops", "size: 1000000000\n    ops", "mine.yaml:5: views[0].size", "1000000000"},
		{"size: 32\n    ops", "size: 3.5\n    ops", "mine.yaml:5: views[0].size", "whole number"},
		{"filter: bicubic", "filter: lanczos", "mine.yaml:14: views[1].ops[0].filter", `"lanczos"`},
		{"hue: 0.1", "hue: 0.6", "mine.yaml:17: views[1].ops[1].hue", "is 0.6"},
		{"hue: 0.1", "hue: much", "mine.yaml:17: views[1].ops[1].color_jitter.hue", "no number"},
		{"brightness: 0.4", "brightness: -1", "mine.yaml:16: views[1].ops[1].brightness", "is -1"},
		{"p: 1,", "p: 1.5,", "mine.yaml:18: views[1].ops[2].p", "is 1.5"},
		{"sigma: [0.1, 2]", "sigma: [-1, 2]", "mine.yaml:18: views[1].ops[2].sigma", "[-1, 2]"},
		{"- resize: {filter: bicubic}", "- resize_center_crop: {resize: 31}", "mine.yaml:14: views[1].ops[0].resize", "give 32 to 8192"},
		{"- resize: {filter: bicubic}", "- resize_center_crop: {resize: 100000}", "mine.yaml:14: views[1].ops[0].resize", "is 100000"},
		{"- resize: {filter: bicubic}", "- resize_center_crop: {filter: box}", "mine.yaml:14: views[1].ops[0].filter", `"box"`},
		{"- flip\n", "- resize_center_crop\n", "mine.yaml:8: views[0].ops[1]", "out of place"},
		{"- flip\n", "- padded_crop: {padding: 0}\n", "mine.yaml:8: views[0].ops[1].padding", "give 1 to 32"},
		{"- flip\n", "- padded_crop: {padding: 33}\n", "mine.yaml:8: views[0].ops[1].padding", "is 33"},
		{"- flip\n", "- torchvision_rand_augment: {m: 31}\n", "mine.yaml:8: views[0].ops[1].m", "give 0 to 30"},
		{"- flip\n", "- torchvision_rand_augment: {n: 9}\n", "mine.yaml:8: views[0].ops[1].n", "is 9"},
		{"- flip\n", "- trivial_augment_wide: {m: 3}\n", "mine.yaml:8: views[0].ops[1].trivial_augment_wide.m", "unknown key"},
		{"count: 2", "count: 0", "mine.yaml:12: views[1].count", "is 0"},
		{"count: 2", "count: 1000000000", "mine.yaml:12: views[1].count", "is 1000000000"},
		{"- resize: {filter: bicubic}", "- flip", "mine.yaml:14: views[1].ops[0]", "out of place"},
		{"- flip\n", "- resize\n", "mine.yaml:8: views[0].ops[1]", "out of place"},
		{"name: strong\n    role: student\n    size: 32\n    count: 2", "name: weak\n    role: student\n    size: 32", "mine.yaml:9: views[1].name", `"weak" is taken`},
		{"name: mine\n", "name: mine\nname: yours\n", "mine.yaml", "already defined"},
		{"name: mine\n", "name: mine\nlimits: {max_pixels: 0}\n", "mine.yaml:2: limits.max_pixels", "is 0"},
		{"name: mine\n", "name: mine\nlimits: {max_pixel: 1}\n", "mine.yaml:2: limits.max_pixel", "unknown key"},
		{"name: mine\n", "name: [mine\n", "mine.yaml", ""},
		{"views:", "views: &a 3 #", "mine.yaml", ""},
		{good, "", "mine.yaml", "holds 0"},
		{good, "just words", "mine.yaml:1", "no mapping"},
		{good, good + "---\n" + good, "mine.yaml", "holds 2"},
		{good, strings.Repeat("[", 30000), "mine.yaml", "nests deeper"},
		{good, strings.Repeat("- ", 30000), "mine.yaml", "nests deeper"},
		{good, strings.Repeat("a", 70000), "mine.yaml", "over 65536"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%q is not in the text", c.from)
		}
		_, err := ParsePolicy("mine.yaml", []byte(text))
		if !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%.40q: got %v, want ErrUsage", c.to, err)
			continue
		}
		if s := err.Error(); !strings.Contains(s, c.at) || !strings.Contains(s, c.says) || !strings.Contains(s, "hint:") || strings.Contains(s, "\n") {
			t.Errorf("%.40q:\n got %s\nwant %s … %s … hint, on one line", c.to, s, c.at, c.says)
		}
	}
}

func TestPresets(t *testing.T) {
	all, err := presets()
	if err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(Presets(), names) {
		t.Errorf("Presets lists %v, want %v", Presets(), names)
	}
	for _, name := range []string{
		"weak", "small", "imagenet", "imagenet-2crop", "imagenet-multi", "imagenet-strong",
		"plain", "center", "simclr", "moco-v2", "byol", "swav", "dino", "clsa", "table4-none", "table4-all",
		"supervised", "supervised-randaugment", "supervised-trivialaugment", "supervised-small", "eval", "eval-232", "eval-bicubic", "eval-small",
	} {
		if _, err := Preset(name); err != nil {
			t.Error(err)
		}
	}
	rows := 0
	for _, name := range Presets() {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Source == "" {
			t.Errorf("%s names no source", name)
		}
		if strings.HasPrefix(name, "table4-") {
			rows++
		}
		q, err := ParseCanonical(p.Canonical())
		if err != nil {
			t.Fatal(err)
		}
		if q.Canonical() != p.Canonical() {
			t.Errorf("%s does not survive its canonical form", name)
		}
	}
	if rows != 14 {
		t.Errorf("%d rows of table 4, want 14", rows)
	}
	multi, err := Preset("imagenet-multi")
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]Range{224: {0.14, 1}, 192: {0.117, 0.86}, 160: {0.095, 0.715}, 128: {0.073, 0.571}, 96: {0.05, 0.429}}
	for _, v := range multi.Views[1:] {
		if v.Ops[0].Scale != want[v.Size] {
			t.Errorf("%d crop has scale %v, the paper %v", v.Size, v.Ops[0].Scale, want[v.Size])
		}
		delete(want, v.Size)
	}
	if len(want) > 0 {
		t.Errorf("crops missing: %v", want)
	}
	if _, err := Preset("imagnet"); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("misspelt preset: %v", err)
	}
}

func TestResize(t *testing.T) {
	small, err := Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	p, err := small.Resize(64)
	if err != nil || p.Views[0].Size != 64 || p.Views[1].Size != 64 || small.Views[0].Size != 32 {
		t.Errorf("resized to %+v, the preset is %+v, %v", p.ViewSpecs(), small.ViewSpecs(), err)
	}
	multi, err := Preset("imagenet-multi")
	if err != nil {
		t.Fatal(err)
	}
	for _, sizes := range [][]int{nil, {32}, {32, 32}, {0, 1, 1, 1, 1, 1}} {
		if _, err := multi.Resize(sizes...); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("Resize(%v): %v, want ErrUsage", sizes, err)
		}
	}
	if _, err := multi.Resize(64, 64, 56, 48, 40, 32); err != nil {
		t.Error(err)
	}
	eval, err := Preset("eval")
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]int{224: 256, 128: 146, 288: 329} {
		p, err := eval.Resize(size)
		if err != nil || p.Views[0].Ops[0].Resize != want || eval.Views[0].Ops[0].Resize != 256 {
			t.Errorf("a view of %d is cut from %d, want %d; %v", size, p.Views[0].Ops[0].Resize, want, err)
		}
	}
}

func TestParseCanonicalRefuses(t *testing.T) {
	small, err := Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	good := small.Canonical()
	for text, want := range map[string]error{
		"":             errs.ErrCorrupt,
		good[:50]:      errs.ErrCorrupt,
		good + good:    errs.ErrCorrupt,
		`{"nam":"x"}`:  errs.ErrCorrupt,
		`{"name":"x"}`: errs.ErrUsage,
		strings.Replace(good, `"scale":[0.2,1]`, `"scale":[1,0.2]`, 1): errs.ErrUsage,
		strings.Replace(good, `"op":"flip"`, `"op":"flop"`, 1):         errs.ErrUsage,
	} {
		if _, err := ParseCanonical(text); !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", text, err, want)
		}
	}
}

func TestEngineByName(t *testing.T) {
	_, err := EngineByName("turbo/99")
	if !errors.Is(err, errs.ErrMismatch) || !strings.Contains(err.Error(), "turbo/99") || !strings.Contains(err.Error(), DefaultEngine().Name()) {
		t.Errorf("unknown engine: %v, want ErrMismatch that names both", err)
	}
	newest := map[string]string{} // by family
	for _, n := range EngineNames() {
		e, err := EngineByName(n)
		if err != nil || e.Name() != n {
			t.Errorf("EngineByName(%q): %v", n, err)
		}
		family, _, _ := strings.Cut(n, "/")
		if newest[family] == "" {
			newest[family] = n
		}
		if e, err = EngineByFamily(family); err != nil || e.Name() != newest[family] {
			t.Errorf("EngineByFamily(%q): %v", family, err)
		}
	}
	if e, err := EngineByFamily(""); err != nil || e != DefaultEngine() {
		t.Errorf("no name: %v", err)
	}
}

func TestRenderRefusesWrongBuffers(t *testing.T) {
	p, err := Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRenderer(DefaultEngine(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := &schemas.Sample{Encoding: schemas.RawGray, Width: 28, Height: 28, Data: make([]byte, 784)}
	for _, pixels := range [][][]byte{nil, {make([]byte, 3072)}, {make([]byte, 3072), make([]byte, 3071)}} {
		if _, err := r.Render(s, Key{}, pixels, nil); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("%d buffers: %v, want ErrUsage", len(pixels), err)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("views: [{ops: [flip: {p: 1}]}]"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("? - ? - x\n: !!str |\n  y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		boundedtest.Allocates(t, 64<<20, 2000, len(text), func() {
			p, err := ParsePolicy("fuzz", text)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Fatalf("more than one line: %q", err)
				}
				return
			}
			q, err := ParseCanonical(p.Canonical())
			if err != nil || q.Canonical() != p.Canonical() {
				t.Fatalf("does not survive its canonical form: %v\n%s", err, p.Canonical())
			}
			for v := range p.Views {
				plan := Draw(p, v, Key{}, 40, 30)
				if err := plan.Validate(); err != nil {
					t.Fatalf("draws an invalid plan: %v", err)
				}
			}
		})
	})
}
