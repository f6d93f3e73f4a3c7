package augment

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// The presets are policies like any user's; each names its source.
//
//go:embed presets/*.yaml
var presetFiles embed.FS

var presets = sync.OnceValues(func() (map[string]*Policy, error) {
	names, err := fs.Glob(presetFiles, "presets/*.yaml")
	if err != nil {
		return nil, err
	}
	all := map[string]*Policy{}
	for _, file := range names {
		text, err := presetFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		ps, err := parsePolicies(file, text)
		if err != nil {
			return nil, err
		}
		for _, p := range ps {
			if all[p.Name] != nil {
				return nil, errs.New("policy", file, "rename one of them", errs.Because(errs.ErrUsage, "two presets are named "+p.Name))
			}
			all[p.Name] = p
		}
	}
	return all, nil
})

// Preset returns the built-in policy of that name; see Presets. The error wraps
// errs.ErrNotFound and lists the names.
func Preset(name string) (*Policy, error) {
	all, err := presets()
	if err != nil {
		return nil, err
	}
	if p := all[name]; p != nil {
		return p, nil
	}
	return nil, errs.New("policy", name, bounded.Suggest(name, Presets())+"use one of "+strings.Join(Presets(), ", ")+", or a YAML file", errs.ErrNotFound)
}

// Presets lists the built-in policies in alphabetical order.
func Presets() []string { return slices.Clone(presetNames()) }

// presetNames looks for the names alone, in the lines that give them: every start of a program
// lists them in its help, and reading the policies themselves takes 9 ms.
var presetNames = sync.OnceValue(func() (names []string) {
	files, _ := fs.Glob(presetFiles, "presets/*.yaml") // presets reports the error; tests keep it from shipping
	for _, file := range files {
		text, _ := presetFiles.ReadFile(file) // likewise
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "name: "); ok {
				names = append(names, strings.TrimSpace(name))
			}
		}
	}
	slices.Sort(names)
	return names
})
