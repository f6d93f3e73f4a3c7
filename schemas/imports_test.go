package schemas_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the house's import rule: what each top-level package (with all
// that lies below it) may import of resslt itself. cmd is free.
var mayImport = map[string][]string{
	"schemas": {"schemas"}, // its own tests
	"ingest":  {"schemas", "ingest"},
	"augment": {"schemas", "augment"},
	"batcher": {"schemas", "batcher"},
	"train":   {"schemas", "train"},
}

// mayImportC are the only packages that may import "C".
var mayImportC = map[string]bool{"train/torch": true, "augment/turbo": true}

func TestImportRule(t *testing.T) {
	const root = ".."
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(rel))
		top, _, _ := strings.Cut(pkg, "/")
		allowed, ruled := mayImport[top]
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if imp == "C" && !mayImportC[pkg] {
				t.Errorf(`%s imports "C"; only train/torch and augment/turbo may`, rel)
			}
			if own, ok := strings.CutPrefix(imp, "resslt/"); ok && ruled {
				to, _, _ := strings.Cut(own, "/")
				if !contains(allowed, to) {
					t.Errorf("%s imports resslt/%s; package %s may import only %v", rel, own, top, allowed)
				}
			}
			yaml := pkg == "schemas/bounded/boundedyaml" && strings.HasPrefix(imp, "github.com/goccy/go-yaml")
			if top == "schemas" && strings.Contains(imp, ".") && !strings.HasPrefix(imp, "github.com/apache/arrow/") && !yaml {
				t.Errorf("%s imports %s; schemas may import Arrow and the standard library only", rel, imp)
			}
			if top == "train" && strings.Contains(imp, "nats") {
				t.Errorf("%s imports %s; train knows no network", rel, imp)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 5 {
		t.Fatalf("found %d Go files under %s; the walk is broken", files, root)
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// A bad sample is replaced, so only a decoder makes one, and the cap on its size: what reads
// bytes from a store never does, whatever its error wraps.
func TestWhoMakesBadSamples(t *testing.T) {
	may := map[string]bool{"augment/decode.go": true, "ingest/folder.go": true, "schemas/badsample.go": true}
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			makes := ok && id.Name == "NewBadSample"
			if lit, ok := n.(*ast.CompositeLit); ok {
				sel, _ := lit.Type.(*ast.SelectorExpr)
				makes = makes || sel != nil && sel.Sel.Name == "BadSample"
			}
			if !makes {
				return true
			}
			if found[rel] = true; !may[rel] && !strings.HasPrefix(rel, "batcher/internal/") {
				t.Errorf("%s makes a BadSample: only decoders may, and the cap on a sample's size", rel)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for file := range may {
		if !found[file] {
			t.Errorf("%s makes no BadSample: the rule names a place that is gone", file)
		}
	}
}
