package main

import (
	"fmt"
	"regexp"
	"strings"
)

// Schema is one line of ops.txt.
type Schema struct {
	Text     string // the line
	Name     string // "aten::add"
	Overload string // "Tensor"
	Args     []Arg
	Returns  []string // types without alias marks: "Tensor", "Tensor[]", "bool"
	// InPlace: the result is the first argument, changed in place: "Tensor(a!)".
	InPlace bool
}

// Arg is one argument: a type without alias marks or list size ("int[]?"), and
// a name.
type Arg struct{ Type, Name string }

var (
	schemaLine = regexp.MustCompile(`^(\w+::\w+)(?:\.(\w+))?\((.*)\) -> (.+)$`)
	aliasMarks = regexp.MustCompile(`\([a-z](?:!| -> \*)?\)`)
	listSize   = regexp.MustCompile(`\[\d+\]`)
)

// ParseSchema reads a schema as libtorch prints it.
func ParseSchema(line string) (Schema, error) {
	m := schemaLine.FindStringSubmatch(line)
	if m == nil {
		return Schema{}, fmt.Errorf("%q: not a schema; want aten::name.overload(type name, ...) -> type", line)
	}
	s := Schema{Text: line, Name: m[1], Overload: m[2]}
	for _, part := range splitTop(m[3]) {
		if part == "*" { // the keyword-only mark; in Go every argument is positional
			continue
		}
		part, _, _ = strings.Cut(part, "=") // the caller spells defaults out
		i := strings.LastIndexByte(part, ' ')
		if i < 0 {
			return Schema{}, fmt.Errorf("%q: argument %q has no name", line, part)
		}
		s.Args = append(s.Args, Arg{Type: plainType(part[:i]), Name: part[i+1:]})
	}
	s.InPlace = strings.Contains(m[4], "!")
	ret := strings.TrimSpace(m[4])
	if inner, ok := strings.CutPrefix(ret, "("); ok {
		ret = strings.TrimSuffix(inner, ")")
	}
	for _, part := range splitTop(ret) {
		kind, _, _ := strings.Cut(plainType(part), " ") // a result's name is not needed
		s.Returns = append(s.Returns, kind)
	}
	return s, nil
}

func plainType(t string) string {
	return listSize.ReplaceAllString(aliasMarks.ReplaceAllString(t, ""), "[]")
}

// splitTop splits at the commas outside brackets.
func splitTop(s string) (parts []string) {
	depth, start := 0, 0
	for i, r := range s {
		switch r {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(s[start:]); last != "" {
		parts = append(parts, last)
	}
	return parts
}

// silentOverloads maps the overloads that Go's names omit or abbreviate, those that
// PyTorch's callers get by default. Any other overload is appended to the name.
var silentOverloads = map[string]string{
	"": "", "Tensor": "", "self": "", "int": "", "using_ints": "", "memory_format": "", "start_step": "", "dim_IntList": "Dim",
}

// GoName is the function's name: the schema's name and, unless it is the usual
// one, its overload, in CamelCase; the underscore of an in-place op comes last.
func (s Schema) GoName() string {
	base := s.Name[strings.Index(s.Name, "::")+2:]
	mark := ""
	if strings.HasSuffix(base, "_") {
		mark = "_"
	}
	over, silent := silentOverloads[s.Overload]
	if !silent {
		over = camel(s.Overload)
	}
	return camel(base) + over + mark
}

// like reports whether s is zeros_like or similar: it takes dtype and device from its
// tensor, so that Go omits them.
func (s Schema) like() bool { return strings.HasSuffix(s.Name, "_like") }

func camel(s string) string {
	var b strings.Builder
	for _, part := range strings.Split(s, "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// goName is PyTorch's name of the argument in camelCase.
func (a Arg) goName() string {
	if a.Name == strings.ToUpper(a.Name) {
		return strings.ToLower(a.Name)
	}
	c := camel(a.Name)
	return strings.ToLower(c[:1]) + c[1:]
}
