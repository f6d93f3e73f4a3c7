package recipe

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/errs"

	"github.com/goccy/go-yaml"
)

//go:embed recipes/*.yaml sweeps/*.yaml
var embedded embed.FS

// library is one kind of YAML file: those embedded in a folder, and the user's own.
// Recipes and sweeps are found, parsed and refused in the same way.
type library struct {
	kind string       // what errors call a file: "recipe"
	dir  string       // folder of the embedded files
	form reflect.Type // struct whose yaml tags are the keys
}

var (
	recipes = library{kind: "recipe", dir: "recipes", form: reflect.TypeFor[file]()}
	sweeps  = library{kind: "sweep", dir: "sweeps", form: reflect.TypeFor[Sweep]()}
)

// names lists the embedded files in order, without folder and ending.
func (l library) names() []string {
	files, err := fs.Glob(embedded, l.dir+"/*.yaml")
	if err != nil {
		return nil // the pattern is a valid constant
	}
	for i, f := range files {
		files[i] = stem(f)
	}
	return files
}

// isFile tells a path from the name of an embedded file.
func isFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// stem is the last element of a path without its YAML ending: the default name.
func stem(where string) string {
	return strings.TrimSuffix(strings.TrimSuffix(path.Base(where), ".yml"), ".yaml")
}

// read returns the text of an embedded file, or of a file if name is a path.
func (l library) read(name string) ([]byte, error) {
	if isFile(name) {
		raw, err := bounded.ReadFile(name, boundedyaml.MaxBytes)
		if err != nil {
			return nil, errs.New("read "+l.kind, name, "name an existing file or one of "+strings.Join(l.names(), ", "),
				errs.BecauseErr(errs.ErrUsage, err))
		}
		return raw, nil
	}
	raw, err := embedded.ReadFile(l.dir + "/" + name + ".yaml")
	if err != nil {
		return nil, errs.New(l.kind, name, bounded.Suggest(name, l.names())+"use one of "+strings.Join(l.names(), ", ")+", or a path ending in .yaml",
			errs.Because(errs.ErrUsage, "there is none of that name"))
	}
	return raw, nil
}

// parse decodes raw into the struct that into points to; where is named in errors.
func (l library) parse(where string, raw []byte, into any) error {
	err := decode(raw, into)
	if err == nil {
		return nil
	}
	hint := "fix the YAML at that place"
	var unknown *unknownKey
	if errors.As(err, &unknown) {
		hint = "did you mean " + bounded.Nearest(unknown.key, keysOf(l.form)) + "?"
	}
	return errs.New(l.kind, where, hint, errs.Because(errs.ErrUsage, err.Error()))
}

// unknownKey is a key that no field has, at line:column.
type unknownKey struct{ key, at string }

func (u *unknownKey) Error() string { return "unknown key " + u.key + " at " + u.at }

// decode is strict: unknown and repeated keys, fractions for whole numbers and a second
// document are errors, on one line, with line and column where the parser knows them.
// It leaves into alone where raw is empty.
func decode(raw []byte, into any) error {
	if err := boundedyaml.Check(raw); err != nil {
		return err
	}
	return boundedyaml.Protect(func() error { return decodeChecked(raw, into) })
}

func decodeChecked(raw []byte, into any) error {
	raw, err := bounded.Text(raw)
	if err != nil || len(bytes.TrimSpace(raw)) == 0 {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict())
	if err = d.Decode(into); err == nil {
		if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
			return errors.New("a second document follows the first")
		}
		var written any
		if err := yaml.Unmarshal(raw, &written); err != nil {
			return err
		}
		return wholeNumbers("", written, reflect.TypeOf(into).Elem())
	}
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		if tok := unknown.GetToken(); tok != nil {
			return &unknownKey{key: tok.Value, at: fmt.Sprintf("%d:%d", tok.Position.Line, tok.Position.Column)}
		}
	}
	if bad := badValueOf(err); bad != nil {
		return bad
	}
	return errors.New(yaml.FormatError(err, false, false))
}

// wholeNumbers refuses fractions for integer fields, which the YAML library would
// truncate. key is the path of value, which is decoded into a t.
func wholeNumbers(key string, value any, t reflect.Type) error {
	switch t.Kind() {
	case reflect.Int, reflect.Uint64:
		if f, ok := value.(float64); ok {
			return fmt.Errorf("%s is %g, not a whole number", key, f)
		}
	case reflect.Slice:
		list, _ := value.([]any)
		for _, v := range list {
			if err := wholeNumbers(key, v, t.Elem()); err != nil {
				return err
			}
		}
	case reflect.Struct:
		values, _ := value.(map[string]any)
		for i := range t.NumField() { // in order, so that the same file gives the same error
			f := t.Field(i)
			if f.Anonymous {
				if err := wholeNumbers(key, value, f.Type); err != nil {
					return err
				}
				continue
			}
			if err := wholeNumbers(keyOf(f), values[keyOf(f)], f.Type); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyOf is the key of a field, its yaml tag without options.
func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

// keysOf lists the yaml tags of a struct and of those within it, in order.
func keysOf(t reflect.Type) (keys []string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return keysOf(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				continue
			}
			if !f.Anonymous && !slices.Contains(keys, keyOf(f)) {
				keys = append(keys, keyOf(f))
			}
			for _, k := range keysOf(f.Type) {
				if !slices.Contains(keys, k) {
					keys = append(keys, k)
				}
			}
		}
	}
	return keys
}
