package batcher_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Every error that begins here says what to do; one that is passed on under
// another name brings its own hint.
func TestErrorsHaveHints(t *testing.T) {
	fset := token.NewFileSet()
	var files []string
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".go" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != "New" || len(call.Args) != 4 {
				return true
			}
			calls++
			hint, literal := call.Args[2].(*ast.BasicLit)
			_, passedOn := call.Args[3].(*ast.Ident)
			if literal && hint.Value == `""` && !passedOn {
				t.Errorf("%s: an error without a hint", fset.Position(call.Pos()))
			}
			return true
		})
	}
	if calls < 60 {
		t.Fatalf("only %d errors were found", calls)
	}
}
