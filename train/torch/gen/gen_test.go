package main

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestGeneratedFileIsUpToDate(t *testing.T) {
	ops, err := os.ReadFile("../ops.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Generate(string(ops))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../ops_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("ops_gen.go is not what ops.txt gives; run go generate ./train/torch")
	}
}

func TestParseSchema(t *testing.T) {
	cases := []struct {
		line   string
		goName string
		want   Schema
	}{
		{"aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)", "Add_", Schema{
			Name: "aten::add_", Overload: "Tensor", InPlace: true, Returns: []string{"Tensor"},
			Args: []Arg{{"Tensor", "self"}, {"Tensor", "other"}, {"Scalar", "alpha"}},
		}},
		{"aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", "MaxDim", Schema{
			Name: "aten::max", Overload: "dim", Returns: []string{"Tensor", "Tensor"},
			Args: []Arg{{"Tensor", "self"}, {"int", "dim"}, {"bool", "keepdim"}},
		}},
		{"aten::chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]", "Chunk", Schema{
			Name: "aten::chunk", Returns: []string{"Tensor[]"},
			Args: []Arg{{"Tensor", "self"}, {"int", "chunks"}, {"int", "dim"}},
		}},
		{"aten::_foreach_add_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()", "ForeachAddList_", Schema{
			Name: "aten::_foreach_add_", Overload: "List",
			Args: []Arg{{"Tensor[]", "self"}, {"Tensor[]", "other"}, {"Scalar", "alpha"}},
		}},
		{"aten::mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", "MeanDim", Schema{
			Name: "aten::mean", Overload: "dim", Returns: []string{"Tensor"},
			Args: []Arg{{"Tensor", "self"}, {"int[]?", "dim"}, {"bool", "keepdim"}, {"ScalarType?", "dtype"}},
		}},
		{"aten::roll(Tensor self, int[1] shifts, int[1] dims=[]) -> Tensor", "Roll", Schema{
			Name: "aten::roll", Returns: []string{"Tensor"},
			Args: []Arg{{"Tensor", "self"}, {"int[]", "shifts"}, {"int[]", "dims"}},
		}},
	}
	for _, c := range cases {
		got, err := ParseSchema(c.line)
		if err != nil {
			t.Error(err)
			continue
		}
		c.want.Text = c.line
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.line, got, c.want)
		}
		if got.GoName() != c.goName {
			t.Errorf("%s: named %s, want %s", c.line, got.GoName(), c.goName)
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	for name, c := range map[string]struct{ ops, says string }{
		"no schema":      {"# fine\nrelu", "line 2"},
		"unknown type":   {"aten::f(Dict x) -> Tensor", `"Dict"`},
		"unknown result": {"aten::f(Tensor x) -> (Tensor, int)", `"Tensor, int"`},
		"same name":      {"aten::f(Tensor x) -> Tensor\naten::f.Tensor(Tensor x) -> Tensor", "taken"},
		"nameless":       {"aten::f(Tensor) -> Tensor", "no name"},
	} {
		if _, err := Generate(c.ops); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.says)
		}
	}
}
