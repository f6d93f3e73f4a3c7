package recipe

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"reflect"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/errs"

	"github.com/goccy/go-yaml"
)

// Names lists the embedded recipes in order.
func Names() []string { return recipes.names() }

// Load reads an embedded recipe by name, or a file if name ends in .yaml or .yml.
// The recipe is not resolved yet. Errors wrap errs.ErrUsage.
func Load(name string) (*Recipe, error) {
	raw, err := recipes.read(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, raw)
}

// Parse reads a recipe from YAML; where is its name or path, which errors name. The
// keys override those of the recipe that it extends, or the defaults.
func Parse(where string, raw []byte) (*Recipe, error) {
	base, err := extended(where, raw)
	if err != nil {
		return nil, err
	}
	f := file{Recipe: base}
	if err := recipes.parse(where, raw, &f); err != nil {
		return nil, err
	}
	if f.Name == "" {
		f.Name = stem(where)
	}
	return &f.Recipe, nil
}

// ParseResolved reads a resolved recipe, as a checkpoint holds it. It names every key
// that its build knew. A key that it lacks is newer and gets the value that means what
// older builds did, so that the run continues to the same weights.
func ParseResolved(where string, raw []byte) (*Recipe, error) {
	r, err := Parse(where, raw)
	if err != nil {
		return nil, err
	}
	var has map[string]any
	if err := recipes.parse(where, raw, &has); err != nil {
		return nil, err
	}
	if _, ok := has["fused"]; !ok {
		r.Fused = false // every op was libtorch's
	}
	or(&r.TauTStart, r.TauT) // as Resolve fills them
	or(&r.MoCHiHardest, r.defaultHardest())
	return r, nil
}

// file is a recipe as it is written, with the one key that the resolved recipe lacks.
type file struct {
	Extends string `yaml:"extends"`
	Recipe  `yaml:",inline"`
}

// extends is the name of the recipe that raw extends; "" if raw cannot be read, which
// parse reports with its place.
func extends(raw []byte) string {
	var f struct {
		Extends string `yaml:"extends"`
	}
	raw, err := bounded.Text(raw)
	if err != nil || boundedyaml.Check(raw) != nil {
		return ""
	}
	if boundedyaml.Protect(func() error { return yaml.Unmarshal(raw, &f) }) != nil {
		return ""
	}
	return f.Extends
}

// extended is the recipe that raw's keys override: the one that it extends, without
// what that one says about itself, or the defaults.
func extended(where string, raw []byte) (Recipe, error) {
	name := extends(raw)
	if name == "" {
		return Default(), nil
	}
	if isFile(name) && !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(where), name)
	}
	base, err := recipes.read(name)
	if err != nil {
		return Recipe{}, err
	}
	if again := extends(base); again != "" {
		return Recipe{}, errs.New("recipe", where, "extend "+again+" itself",
			errs.Because(errs.ErrUsage, name+", which it extends, extends another"))
	}
	r, err := Parse(name, base)
	if err != nil {
		return Recipe{}, err
	}
	r.Name, r.Claim, r.Source, r.Hardware, r.Measured = "", "", "", "", ""
	return *r, nil
}

// Set applies overrides of the form key=value, with the value in YAML.
func (r *Recipe) Set(overrides ...string) error {
	before := *r
	given := map[string]bool{}
	defer func() { r.noteShortened(&before, given) }()
	for _, o := range overrides {
		key, value, ok := strings.Cut(o, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return errs.New("--set", short(o), "write key=value, e.g. --set epochs=5", errs.ErrUsage)
		}
		field, known := r.field(key)
		if !known {
			return errs.New("--set", short(o), "did you mean "+bounded.Nearest(key, keys())+"? `resslt recipe show` lists every key",
				errs.Because(errs.ErrUsage, "unknown key "+short(key)))
		}
		if field.Kind() == reflect.String {
			field.SetString(value) // verbatim: a URI may contain YAML's special characters
			continue
		}
		given[key] = true
		if strings.TrimSpace(value) == "" {
			value = `""`
		}
		changed := *r // so that a refused value changes nothing
		if err := decode([]byte(key+": "+value+"\n"), &changed); err != nil {
			why := err.Error()
			var bad *badValue
			if errors.As(err, &bad) {
				why = key + " " + bad.what // there is but one line
			}
			return errs.New("--set", short(o), "give a value of the type that `resslt recipe show` shows", errs.Because(errs.ErrUsage, why))
		}
		*r = changed
	}
	return nil
}

// noteShortened keeps a warning where epochs was overridden and the lengths that were meant
// for the recipe's own were not: a warm-up that took a twentieth of the run would then be most
// of it. The lengths stay as they are, so that a recipe means the same everywhere.
func (r *Recipe) noteShortened(before *Recipe, given map[string]bool) {
	if !given["epochs"] || r.Epochs >= before.Epochs || r.Epochs < 1 {
		return
	}
	share := func(r *Recipe, length float64) float64 { return length / float64(r.Epochs) }
	ramp, own := r.ObjectiveOf().Ramp, r.ObjectiveOf().Held()
	var keep, scale []string
	for _, l := range []struct {
		key  string
		of   func(*Recipe) float64
		mind bool
	}{
		{ramp, func(r *Recipe) float64 { f, _ := r.field(ramp); return f.Float() }, ramp != ""},
		{"hold_epochs", func(r *Recipe) float64 { return r.HoldEpochs }, own},
		{"lr_warmup_epochs", func(r *Recipe) float64 { return r.LRWarmupEpochs }, true},
	} {
		if !l.mind {
			continue
		}
		now, was := share(r, l.of(r)), share(before, l.of(before))
		if given[l.key] || now <= was || now < 0.25 {
			continue
		}
		keep = append(keep, fmt.Sprintf("%s stays %g", l.key, l.of(r)))
		scale = append(scale, fmt.Sprintf("%s=%.3g", l.key, was*float64(r.Epochs)))
	}
	if keep != nil {
		r.shortened = fmt.Sprintf("epochs=%d, while %s; for the recipe's shares of the run set %s", r.Epochs, strings.Join(keep, " and "), strings.Join(scale, " and "))
	}
}

// short is what an error repeats of a text that somebody gave.
func short(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// YAML is the recipe as a file that Load accepts, with the keys in the struct's order.
func (r *Recipe) YAML() []byte {
	out, err := yaml.Marshal(r)
	if err != nil {
		// Strings, numbers and lists of them: Marshal has nothing to refuse.
		return []byte("# " + err.Error() + "\n")
	}
	return out
}

// All yields every key with its value, in the order of the YAML file.
func (r *Recipe) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		v := reflect.ValueOf(r).Elem()
		for i, key := range keys() {
			if !yield(key, v.Field(i).Interface()) {
				return
			}
		}
	}
}

// Keys are the recipe's keys, those of --set, in the struct's order.
func Keys() []string { return keys() }

// keys are the recipe's keys in the struct's order.
func keys() []string { return keysOf(reflect.TypeFor[Recipe]()) }

// field is the recipe's field with that key.
func (r *Recipe) field(key string) (reflect.Value, bool) {
	for i, k := range keys() {
		if k == key {
			return reflect.ValueOf(r).Elem().Field(i), true
		}
	}
	return reflect.Value{}, false
}
