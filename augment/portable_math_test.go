package augment

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// exactMath are the functions of package math that IEEE 754 or their definition
// fix to the last bit, whether a CPU has an instruction for them or not. Exp, Log,
// Pow, Sin and the like are not: see portable_math.go.
var exactMath = map[string]bool{"Abs": true, "Ceil": true, "Floor": true, "Frexp": true, "Ldexp": true, "RoundToEven": true, "Sqrt": true, "Trunc": true}

// TestMathIsExact: the package calls no other function of math. gift.go may: its
// engine's name carries the architecture.
func TestMathIsExact(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "gift.go" {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "math" {
					calls++
					if !exactMath[s.Sel.Name] {
						t.Errorf("%s: math.%s may differ between architectures", set.Position(s.Pos()), s.Sel.Name)
					}
				}
			}
			return true
		})
	}
	if calls < 10 {
		t.Errorf("%d calls of package math were seen: the test looks in the wrong place", calls)
	}
}
