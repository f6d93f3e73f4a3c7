package recipe

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"

	"resslt/schemas/errs"

	"github.com/goccy/go-yaml"
)

//go:embed recipes/*.yaml
var embedded embed.FS

// Names lists the embedded recipes in order.
func Names() []string {
	files, err := fs.Glob(embedded, "recipes/*.yaml")
	if err != nil {
		return nil // the pattern is constant and sound
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	return files
}

// Load reads an embedded recipe by name, or a file where name ends in .yaml or
// .yml. The recipe is not resolved yet. Errors wrap ErrUsage.
func Load(name string) (*Recipe, error) {
	raw, err := read(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, raw)
}

// isFile tells a path from the name of an embedded recipe.
func isFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// read gives the text of an embedded recipe or a file.
func read(name string) ([]byte, error) {
	if isFile(name) {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, errs.New("read recipe", name, "name an existing file or one of "+strings.Join(Names(), ", "),
				errs.BecauseErr(errs.ErrUsage, err))
		}
		return raw, nil
	}
	raw, err := embedded.ReadFile("recipes/" + name + ".yaml")
	if err != nil {
		return nil, errs.New("recipe", name, "use one of "+strings.Join(Names(), ", ")+", or a path ending in .yaml",
			errs.Because(errs.ErrUsage, "there is none of that name"))
	}
	return raw, nil
}

// Parse reads a recipe from YAML; where is its name or path, and named in errors.
// A recipe that extends another is laid over it.
func Parse(where string, raw []byte) (*Recipe, error) {
	r, err := base(where, raw)
	if err != nil {
		return nil, err
	}
	if err := decode(raw, &r); err != nil {
		return nil, errs.New("recipe", where, hintFor(err), errs.Because(errs.ErrUsage, err.Error()))
	}
	if r.Name == "" {
		r.Name = strings.TrimSuffix(strings.TrimSuffix(path.Base(where), ".yml"), ".yaml")
	}
	return &r, nil
}

// ParseResolved reads a resolved recipe, as a checkpoint holds it. It names every key
// of its time, so one that it lacks came later, and gets what earlier builds did: the
// run goes on to the weights that it was on its way to.
func ParseResolved(where string, raw []byte) (*Recipe, error) {
	r, err := Parse(where, raw)
	if err != nil {
		return nil, err
	}
	var has map[string]any
	if err := yaml.Unmarshal(raw, &has); err != nil {
		return nil, errs.New("recipe", where, hintFor(err), errs.Because(errs.ErrUsage, err.Error()))
	}
	if _, ok := has["fused"]; !ok {
		r.Fused = false // every op was libtorch's
	}
	return r, nil
}

// file is a recipe as it is written: with one key that the resolved recipe, which
// is printed flat, has not.
type file struct {
	Extends string `yaml:"extends"`
	Recipe  `yaml:",inline"`
}

// extends is what a recipe says that it extends; nothing where it cannot be read,
// which is decode's to report, with its place.
func extends(raw []byte) string {
	var f struct {
		Extends string `yaml:"extends"`
	}
	if yaml.Unmarshal(raw, &f) != nil {
		return ""
	}
	return f.Extends
}

// base is what the recipe's keys are laid over: the defaults, or the recipe that
// it extends, less what that one states of itself.
func base(where string, raw []byte) (Recipe, error) {
	name := extends(raw)
	if name == "" {
		return Default(), nil
	}
	if isFile(name) && !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(where), name)
	}
	under, err := read(name)
	if err != nil {
		return Recipe{}, err
	}
	if again := extends(under); again != "" {
		return Recipe{}, errs.New("recipe", where, "extend "+again+" itself",
			errs.Because(errs.ErrUsage, name+", which it extends, extends another"))
	}
	r, err := Parse(name, under)
	if err != nil {
		return Recipe{}, err
	}
	r.Name, r.Claim, r.Source, r.Hardware, r.Measured = "", "", "", "", ""
	return *r, nil
}

// Set applies overrides of the form key=value, value in YAML.
func (r *Recipe) Set(overrides ...string) error {
	for _, o := range overrides {
		key, value, ok := strings.Cut(o, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return errs.New("--set", o, "write key=value, e.g. --set epochs=5", errs.ErrUsage)
		}
		field, known := r.field(key)
		if !known {
			return errs.New("--set", o, "did you mean "+nearest(key)+"? `resslt recipe show` lists every key",
				errs.Because(errs.ErrUsage, "unknown key "+key))
		}
		if field.Kind() == reflect.String {
			field.SetString(value) // as it stands: a URI may hold what YAML would take apart
			continue
		}
		if strings.TrimSpace(value) == "" {
			value = `""`
		}
		if err := decode([]byte(key+": "+value+"\n"), r); err != nil {
			return errs.New("--set", o, "give a value of the type that `resslt recipe show` shows", errs.Because(errs.ErrUsage, err.Error()))
		}
	}
	return nil
}

// YAML is the recipe as a file that Load would take, keys in order of the struct.
func (r *Recipe) YAML() []byte {
	out, err := yaml.Marshal(r)
	if err != nil {
		// Strings, numbers and lists of them: Marshal has nothing to refuse.
		return []byte("# " + err.Error() + "\n")
	}
	return out
}

// unknownKey stands at line:column.
type unknownKey struct{ key, at string }

func (u *unknownKey) Error() string { return "unknown key " + u.key + " at " + u.at }

// decode is strict: unknown and repeated keys, fractions where a whole number
// belongs, and a second document are errors, on one line, with line and column
// where the parser knows them.
func decode(raw []byte, r *Recipe) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict())
	f := file{Recipe: *r}
	err := d.Decode(&f)
	if err == nil {
		*r = f.Recipe
		if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
			return errors.New("a second document follows the first")
		}
		return wholeNumbers(raw, r)
	}
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		if tok := unknown.GetToken(); tok != nil {
			return &unknownKey{key: tok.Value, at: fmt.Sprintf("%d:%d", tok.Position.Line, tok.Position.Column)}
		}
	}
	return errors.New(yaml.FormatError(err, false, false))
}

// wholeNumbers refuses fractions for integer fields: the YAML library cuts them.
func wholeNumbers(raw []byte, r *Recipe) error {
	var values map[string]any
	if err := yaml.Unmarshal(raw, &values); err != nil {
		return err
	}
	for _, key := range keys() { // in order, so that the same file gives the same error
		field, _ := r.field(key)
		t := field.Type()
		list, _ := values[key].([]any)
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		} else {
			list = []any{values[key]}
		}
		for _, v := range list {
			if f, ok := v.(float64); ok && (t.Kind() == reflect.Int || t.Kind() == reflect.Uint64) {
				return fmt.Errorf("%s is %g, not a whole number", key, f)
			}
		}
	}
	return nil
}

func hintFor(err error) string {
	var u *unknownKey
	if errors.As(err, &u) {
		return "did you mean " + nearest(u.key) + "?"
	}
	return "fix the YAML at that place"
}

// keys are the recipe's keys in order of the struct.
func keys() []string {
	t := reflect.TypeFor[Recipe]()
	out := make([]string, t.NumField())
	for i := range out {
		out[i] = t.Field(i).Tag.Get("yaml")
	}
	return out
}

// field is the recipe's field of that key.
func (r *Recipe) field(key string) (reflect.Value, bool) {
	for i, k := range keys() {
		if k == key {
			return reflect.ValueOf(r).Elem().Field(i), true
		}
	}
	return reflect.Value{}, false
}

// nearest is the key with the smallest edit distance.
func nearest(key string) string {
	best, bestD := "", 1<<30
	for _, k := range keys() {
		if d := editDistance(strings.ToLower(key), strings.ToLower(k)); d < bestD {
			best, bestD = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost = 1 + min(diag, row[j], row[j-1])
			}
			diag, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
